"""Specs that do not fit as written: what the ladder makes of them, and one notch less.

    python bench/ladder/ladder.py prepare DIR
    python bench/vram/bench.py measure DIR OUT.jsonl
    python bench/ladder/ladder.py report DIR OUT.jsonl

README.md beside this file says more.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "vram"))

import prepare as vram  # noqa: E402
from cases import Case  # noqa: E402
from rough import GIB  # noqa: E402

from ftspec.compiler.emit import emit  # noqa: E402
from ftspec.compiler.facts.hardware import Hardware  # noqa: E402
from ftspec.compiler.pipeline import compile_spec  # noqa: E402
from ftspec.compiler.plan import Plan  # noqa: E402
from ftspec.spec.edit import apply  # noqa: E402
from ftspec.spec.finding import Edit  # noqa: E402
from ftspec.spec.parse import parse  # noqa: E402

SEED = 20261124
EACH = 5  # specs under a cap
CAPS: dict[int, tuple[str, ...]] = {
    8: ("meta-llama/Llama-3.2-1B", "Qwen/Qwen2.5-1.5B", "google/gemma-2-2b", "Qwen/Qwen3-1.7B"),
    12: ("meta-llama/Llama-3.2-3B", "Qwen/Qwen2.5-3B", "microsoft/Phi-3-mini-4k-instruct"),
    16: ("mistralai/Mistral-7B-v0.1", "Qwen/Qwen3-4B", "Qwen/Qwen2.5-7B"),
    24: ("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-7B"),
    48: (
        "meta-llama/Llama-2-13b-hf",
        "Qwen/Qwen2.5-14B",
        "Qwen/Qwen3-32B",
        "meta-llama/Meta-Llama-3-70B",
    ),
}
LEAVE = ["quantize", "shorten"]


@dataclass(frozen=True)
class Drawn:
    """A spec that was drawn: its case, and its plans as written, tuned, and with one notch less."""

    case: Case
    written: Plan
    tuned: Plan
    less: Plan


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("prepare", "report"):
        verb = verbs.add_parser(name)
        verb.add_argument("folder", type=Path)
        if name == "report":
            verb.add_argument("out", type=Path)
    options = parser.parse_args()
    if options.verb == "prepare":
        archive = prepare(options.folder)
        print(f"{archive}: {archive.stat().st_size / 2**20:.2f} MiB")
    else:
        (HERE / "RESULTS.md").write_text(report(options.folder, options.out), encoding="utf-8")
    return 0


def prepare(folder: Path) -> Path:
    """Draw the specs, write their projects, and pack them as bench/vram's `measure` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for drawn in draw(folder):
        for kind, plan in (("tuned", drawn.tuned), ("less", drawn.less)):
            item = vram.entry(drawn.case, plan)
            item |= {"id": f"{drawn.case.id}-{kind}", "ladder": told(drawn, kind)}
            project = folder / "projects" / item["id"]
            project.mkdir(parents=True, exist_ok=True)
            files = emit(plan)
            for name in vram.CARRIED:
                (project / name).write_bytes(files[name])
            listed.append(item)
        memory = drawn.tuned.memory
        steps = ", ".join(f"{c.path} {c.asked} -> {c.planned}" for c in drawn.tuned.changes)
        print(f"{drawn.case.id:55} {(memory.peak_bytes or 0) / GIB:6.2f} GiB  {steps}", flush=True)
    (folder / "cases.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    for name in sorted({item["folder"] for item in listed}):
        vram.tensors(folder / "models" / name)
    return vram.pack(folder, listed)


def told(drawn: Drawn, kind: str) -> dict[str, Any]:
    """Return what the report needs to know of a run."""
    plan = drawn.tuned if kind == "tuned" else drawn.less
    return {
        "kind": kind,
        "of": drawn.case.id,
        "written_bytes": drawn.written.memory.peak_bytes,
        "low_bytes": plan.memory.low_bytes,
        "verdict": plan.memory.verdict,
        "batch": [plan.train.batch_size, plan.train.gradient_accumulation],
        "changes": [change.model_dump(mode="json") for change in drawn.tuned.changes],
        "less": [asked(drawn.less, change.path) for change in drawn.tuned.changes],
    }


def draw(folder: Path) -> Iterator[Drawn]:
    """Draw specs until each cap has its number."""
    hardware = vram.hardware_of("h200")
    for cap, models in CAPS.items():
        pick, kept, tries, seen = Random(f"{SEED} {cap}"), 0, 0, set()
        while kept < EACH:
            case = candidate(pick, models[tries % len(models)], cap)
            tries += 1
            if case.id in seen:
                continue
            seen.add(case.id)
            drawn = compiled(case, folder, hardware)
            if drawn is not None:
                yield drawn
                kept += 1


def candidate(pick: Random, model: str, cap: int) -> Case:
    """Draw one spec."""
    large = any(size in model for size in ("32B", "70B"))
    small = cap <= 12
    method = "qlora" if large else pick.choice(("lora", "lora", "qlora", *(["full"] * small)))
    options: dict[str, Any] = {}
    if method != "full":
        options = {
            "r": pick.choice((8, 16, 64)),
            "targets": pick.choice(("attention", "all-linear")),
        }
        options |= {"dropout": pick.choice((0.0, 0.05))}
    if method == "qlora":
        options["quantization"] = "nf4"
    return Case(
        model=model,
        method=method,
        batch=pick.choice((4, 6, 8, 16)),
        accumulation=pick.choice((1, 2)),
        length=pick.choice((512, 1024, 2048)),
        rows=pick.choice(("uniform", "ragged")),
        checkpointing=pick.choice((False, False, True)),
        cap_gib=cap,
        **options,
    )


def compiled(case: Case, folder: Path, hardware: Hardware) -> Drawn | None:
    """Compile a spec as written, tuned, and one notch less; None where it does not belong here."""
    vram._write_model(case, folder, None)
    text = vram.spec_text(case, folder)
    auto = {"memory": "auto", "speed": "auto", "overfitting": "off", "allow": LEAVE}
    lines = [
        f"tune: {json.dumps(auto)}" if line.startswith("tune:") else line
        for line in text.splitlines()
    ]
    spec = "\n".join(lines) + "\n"
    written = plan_of(text, case, folder, hardware)
    if written is None or written.memory.verdict != "no":
        return None
    tuned = plan_of(spec, case, folder, hardware)
    if tuned is None or not tuned.changes or tuned.memory.verdict != "fits":
        return None
    less = plan_of(apply(text, notch(tuned)), case, folder, hardware)
    return None if less is None else Drawn(case, written, tuned, less)


def plan_of(text: str, case: Case, folder: Path, hardware: Hardware) -> Plan | None:
    """Compile a spec; None where something other than memory stands against it, or no tape is.

    Every prediction here is a tape's: a live trace of each candidate would take hours.
    """
    project = folder / "projects" / case.id
    result = compile_spec(parse(text, f"{case.id}.yaml"), folder, hardware, project=project)
    errors = [f for f in result.findings if f.severity == "error" and f.name != "does-not-fit"]
    if errors or result.plan is None or result.plan.memory.method != "tape":
        return None
    return result.plan


def notch(plan: Plan) -> list[Edit]:
    """Return the changes of a plan, with the last rung taken back by one notch."""
    last = plan.changes[-1].rule
    edits = [Edit(c.path, c.asked, c.planned) for c in plan.changes if c.rule != last]
    if last == "batch":
        product = plan.train.batch_size * plan.train.gradient_accumulation
        larger = next(
            size for size in range(plan.train.batch_size + 1, product + 1) if product % size == 0
        )
        edits.append(Edit("train.batch_size", None, larger))
        edits.append(Edit("train.gradient_accumulation", None, product // larger))
    elif last == "shorten":
        edits.append(Edit("data.max_length", None, plan.data.max_length + 64))
    return edits


def asked(plan: Plan, path: str) -> Any:
    """Return a plan's value at a path."""
    section, _, key = path.partition(".")
    return getattr(getattr(plan, section), key)


def report(folder: Path, out: Path) -> str:
    """Return RESULTS.md."""
    items = {item["id"]: item for item in json.loads((folder / "cases.json").read_text())}
    rows = {}
    for line in out.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["case"] in items:
            rows[row["case"]] = row
    if not rows:
        raise SystemExit("no results of these cases")
    first = next(iter(rows.values()))
    versions = ", ".join(f"{name} {value}" for name, value in first["versions"].items())
    lines = [
        "# The ladder, run under caps",
        "",
        f"{first['gpu']}, driver {first['driver']}; {versions}. README.md says how.",
        "",
        "| cap, GiB | spec | as written, GiB | changed | tuned: predicted, driver's peak | ran "
        "| one notch less: predicted | ran |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    ran = died = kept = counted = 0
    for name in sorted({item["ladder"]["of"] for item in items.values()}):
        tuned, less = items[f"{name}-tuned"], items[f"{name}-less"]
        result, before = rows.get(f"{name}-tuned"), rows.get(f"{name}-less")
        if result is None:
            continue
        ladder = tuned["ladder"]
        made = "; ".join(
            f"{c['path'].partition('.')[2]} {c['asked']} -> {c['planned']}"
            for c in ladder["changes"]
        )
        ran += result["exit"] == 0
        died += result["exit"] != 0
        if before is not None:
            counted += 1
            kept += before["exit"] == 0
        case = tuned["case"]
        what = (
            f"{case['model'].partition('/')[2]} {case['method']} {case['batch']}x{case['length']}"
        )
        peak = (result.get("reserved") or 0) + (result.get("context") or 0)
        words = "-" if before is None else "yes" if before["exit"] == 0 else "no"
        lines.append(
            f"| {case['cap_gib']} | {what} x {case['accumulation']} "
            f"| {ladder['written_bytes'] / GIB:.1f} | {made} "
            f"| {tuned['peak_bytes'] / GIB:.2f}, {peak / GIB:.2f} "
            f"| {'yes' if result['exit'] == 0 else 'no: exit ' + str(result['exit'])} "
            f"| {less['peak_bytes'] / GIB:.2f} ({less['ladder']['verdict']}) | {words} |"
        )
    lines[3:3] = [
        f"{ran} of {ran + died} tuned plans ran; the effective batch is the spec's in each. With "
        f"one notch less {kept} of {counted} ran as well: the plan was more careful than needed.",
        "",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
