"""Other code for an attempt: scripts of a changed plan, in the attempt's own folder.

The project's own files stay as they are. Where the user has edited them nothing is compiled, since
the edits would be lost: the difference to apply by hand is returned instead.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ftspec.compiler.emit import SCRIPTS, emit
from ftspec.compiler.plan import Plan
from ftspec.compiler.project import edited
from ftspec.runtime.rungs import QUANTIZED_METHODS
from ftspec.runtime.state import RunFolder

HERE = "HERE = Path(__file__).resolve().parent\n"
# runs/<n>/attempt-<k>/train.py: data, models and runs are found from the project, as before.
HERE_BELOW = "HERE = Path(__file__).resolve().parents[3]  # the project's folder\n"


@dataclass(frozen=True, slots=True)
class Recompiled:
    """What became of it: `folder` holds the scripts, or None and `difference` says by hand what.

    edited: the files that the user has edited.
    """

    folder: Path | None
    edited: tuple[str, ...] = ()
    difference: str = ""


def quantized(project: Path, run: RunFolder, number: int) -> Recompiled | None:
    """Write scripts with the frozen base in 4 bits for attempt `number` of a run.

    They go on in the same run: the plan's hash in them is the project's own. None where the plan
    is not of this version, or not of a method with a frozen base.
    """
    try:
        before = Plan.model_validate_json((project / "plan.json").read_bytes())
    except (OSError, ValidationError):
        return None
    if before.method.type not in QUANTIZED_METHODS or before.method.quantization != "none":
        return None
    after = _in_four_bits(before)
    theirs = tuple(name for name in edited(project) if name in SCRIPTS)
    scripts = _below(emit(after), before.digest, after.digest)
    if theirs:
        return Recompiled(None, theirs, _difference(emit(before), emit(after)))
    folder = run.path / f"attempt-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in scripts.items():
        (folder / name).write_bytes(content)
    return Recompiled(folder)


def _in_four_bits(plan: Plan) -> Plan:
    method = plan.method.model_copy(
        update={
            "type": QUANTIZED_METHODS[plan.method.type],
            "quantization": "nf4",
            "double_quant": True,
        }
    )
    note = "changed at run time; it was not predicted anew"
    memory = plan.memory.model_copy(update={"verdict": "unknown", "peak_bytes": None, "note": note})
    return plan.model_copy(update={"method": method, "memory": memory})


def _below(files: dict[str, bytes], project_digest: str, own_digest: str) -> dict[str, bytes]:
    """Return scripts that lie in runs/<n>/attempt-<k> and belong to the run around them."""
    found = {}
    for name, content in files.items():
        if name.endswith(".py") or name == "plan.json":
            text = content.decode("utf-8").replace(HERE, HERE_BELOW)
            text = text.replace(f'PLAN = "{own_digest}"', f'PLAN = "{project_digest}"')
            found[name] = text.encode("utf-8")
    return found


def _difference(before: dict[str, bytes], after: dict[str, bytes]) -> str:
    lines: list[str] = []
    for name in SCRIPTS:
        old, new = (
            files[name].decode("utf-8").splitlines(keepends=True) for files in (before, after)
        )
        lines += difflib.unified_diff(old, new, fromfile=name, tofile=name, n=1)
    return "".join(lines)
