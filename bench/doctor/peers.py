"""Run other diagnosing tools on the same logs, and write their rows for bench.py.

    python -m venv PEERS && PEERS/bin/pip install runmedic losslint trainspotter finetune-doctor \
        trainproof
    python bench/doctor/peers.py --venv PEERS --write peers.json

A tool's finding counts for a label where its code is one of those in CODES. Loud is what the tool
itself calls a warning or worse. A file counts as read where the tool gives an answer about it and
does not say that it holds no loss.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import LOGS, index

SECONDS = 60
Found = list[tuple[str, str]]  # code, severity
# label -> what the five call it; compared with the code in lower case, `_` for `-`
CODES: dict[str, tuple[str, ...]] = {
    "overfits": ("overfit",),
    "nan": ("nan", "non_finite", "numeric"),
    "diverges": ("diverg", "explod"),
    "flat": ("flat", "plateau", "stagnation", "not_learning", "dead_run", "improve", "loss_floor"),
    "oom": ("oom", "out_of_memory"),
    "zero_loss": ("zero_loss", "nan"),
    "resume_discontinuity": ("backtrack", "resume", "step_reset", "step_cliff", "restart"),
    "suspicious_low": ("too_low", "suspicious", "floor", "memor", "leak"),
}
QUIET = {"info", "pass", "ok", "note", ""}
# complaints about what was not logged, and notes on schedules, are no alarms
NAGS = ("no_val", "no_eval", "missing_eval", "missing_val", "lr_schedule", "no_validation")


@dataclass(slots=True)
class Tool:
    """How a tool is called, and how its findings are read from the JSON that it prints."""

    name: str
    command: tuple[str, ...]
    findings: Callable[[Any], Found | None]
    answers: dict[str, Found | None] = field(default_factory=dict)

    def ask(self, venv: Path, path: Path) -> Found | None:
        """Return what the tool finds in a file; None where it cannot read it."""
        command = [str(venv / "bin" / self.command[0]), *self.command[1:], str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return None
        try:
            return self.findings(json.loads(done.stdout))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return None


def _runmedic(answer: Any) -> Found | None:
    runs = answer if isinstance(answer, list) else [answer]
    if not any(run.get("roles", {}).get("train_loss") for run in runs) and not any(
        run.get("findings") for run in runs
    ):
        return None
    return [(f["check"], f["severity"]) for run in runs for f in run["findings"]]


def _losslint(answer: Any) -> Found | None:
    found = [(f["check"], f["severity"]) for f in answer["findings"]]
    points = sum(run.get("points", 0) for run in answer["runs"])
    return found if points and all(check != "parse" for check, _ in found) else None


def _trainspotter(answer: Any) -> Found | None:
    metrics = answer["run"]["metrics"]
    if not any("loss" in name for name in metrics):
        return None
    return [
        (str(f.get("check") or f.get("detector") or f.get("name") or f["id"]), f["severity"])
        for f in answer["findings"]
    ]


def _finetune_doctor(answer: Any) -> Found | None:
    return [(f["check"], f["severity"]) for f in answer["findings"]]


def _trainproof(answer: Any) -> Found | None:
    found = [(f["id"], f["level"]) for r in answer["reports"] for f in r["findings"]]
    unread = {"TP-NO-RECORDS", "TP-NO-LOSS"}
    return None if not answer["reports"] or unread & {code for code, _ in found} else found


def tools() -> list[Tool]:
    """Return the five, with the commands of the versions in README.md."""
    return [
        Tool("runmedic", ("runmedic", "diagnose", "--json"), _runmedic),
        Tool("losslint", ("losslint", "check", "--format", "json"), _losslint),
        Tool("trainspotter", ("trainspotter", "analyze", "--output", "json"), _trainspotter),
        Tool("finetune-doctor", ("finetune-doctor", "diagnose", "-f", "json"), _finetune_doctor),
        Tool("trainproof", ("trainproof", "doctor", "--json"), _trainproof),
    ]


def version(tool: Tool, venv: Path) -> str | None:
    """Return the installed version, or None where the tool is not installed."""
    pip = [str(venv / "bin" / "pip"), "show", tool.name]
    shown = subprocess.run(pip, capture_output=True, text=True, check=False).stdout
    lines = [line for line in shown.splitlines() if line.startswith("Version: ")]
    return lines[0].removeprefix("Version: ") if lines else None


def row(tool: Tool, rows: list[dict[str, str]]) -> dict[str, object]:
    """Return the tool's row of the table: counts over the files that it could read."""
    read = [r for r in rows if tool.answers[r["file"]] is not None]
    healthy = [r for r in read if r["label"] == "healthy"]
    alarms = [r for r in healthy if any(_loud(tool.answers[r["file"]] or []))]
    result: dict[str, object] = {
        "tool": tool.name,
        "read": f"{len(read)}/{len(rows)}",
        "alarms": f"{len(alarms)}/{len(healthy)}",
    }
    for label, codes in CODES.items():
        of = [r for r in read if r["label"] == label]
        hits = [r for r in of if _names(tool.answers[r["file"]] or [], codes)]
        result[label] = f"{len(hits)}/{len(of)}"
    return result


def _plain(code: str) -> str:
    return code.lower().replace("-", "_")


def _loud(found: Found) -> Iterator[str]:
    for code, severity in found:
        nag = any(name in _plain(code) for name in NAGS)
        if severity.lower() not in QUIET and not nag:
            yield code


def _names(found: Found, codes: tuple[str, ...]) -> bool:
    return any(code in _plain(name) for name, level in found for code in codes if level != "PASS")


def main() -> None:
    """Ask every installed tool about every file."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--venv", type=Path, required=True)
    options.add_argument("--logs", type=Path, default=LOGS)
    options.add_argument("--half", choices=("first", "second"))
    options.add_argument("--write", type=Path)
    options.add_argument("--answers", type=Path, help="write what each tool said of each file")
    given = options.parse_args()
    rows, table, said = index(given.logs, given.half), [], {}
    for tool in tools():
        installed = version(tool, given.venv)
        if installed is None:
            print(f"{tool.name} is not installed")
            continue
        tool.answers = {r["file"]: tool.ask(given.venv, given.logs / r["file"]) for r in rows}
        table.append({**row(tool, rows), "tool": f"{tool.name} {installed}"})
        said[tool.name] = tool.answers
        print(table[-1])
    if given.write:
        given.write.write_text(json.dumps(table, indent=1))
    if given.answers:
        given.answers.write_text(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
