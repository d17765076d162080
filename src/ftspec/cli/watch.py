"""`diagnose --watch`: follow a log that grows; a picture on a terminal, lines of news elsewhere."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from ftspec.cli.inputs import exit_code
from ftspec.cli.output import width
from ftspec.cli.paint import painter, speaks_unicode
from ftspec.doctor.curves.find import find_logs
from ftspec.doctor.curves.follow import follow
from ftspec.doctor.curves.log import UnreadableLogError
from ftspec.doctor.diagnose import Diagnosed, Diagnosis, SpecText, diagnose_run
from ftspec.doctor.examine import beside
from ftspec.doctor.github import as_github
from ftspec.doctor.report import as_json, run_lines
from ftspec.spec.finding import Finding, Severity

INTERRUPTED = 130
CLEAR = "\x1b[H\x1b[2J"
WIDEST = 120
OVER = ("end", "stop", "killed")

News = Callable[[Diagnosed, list[Finding]], str]


def watch(path: Path, given: SpecText | None, format: str, fail_on: str) -> int:
    """Follow a log until its run ends or Ctrl-C; returns the exit code."""
    told: dict[str, Severity] = {}
    print(f"following {path}; Ctrl-C ends it", file=sys.stderr, flush=True)
    try:
        for run in follow(path):
            item = diagnose_run(run, given or _beside(path))
            over = bool(run.events) and run.events[-1].kind in OVER
            if format == "text" and sys.stdout.isatty():
                print(screen(item), end="", flush=True)
            else:
                fresh = _fresh(item, told, over)
                print(NEWS[format](item, fresh), end="", flush=True)
            if over:
                return exit_code(item.findings, fail_on)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def screen(item: Diagnosed) -> str:
    """Return what a terminal shows: as much of the report as it has lines."""
    size = shutil.get_terminal_size((80, 24))
    unicode = speaks_unicode(sys.stdout)
    lines = run_lines(item, painter(sys.stdout), min(WIDEST, width()), unicode)
    room = max(5, size.lines - 1)
    if len(lines) > room:
        lines = [*lines[: room - 1], f"... {len(lines) - room + 1} more lines: ftspec diagnose"]
    return CLEAR + "\n".join(lines) + "\n"


def _beside(path: Path) -> SpecText | None:
    try:
        return beside(find_logs(path)[0])
    except (OSError, UnreadableLogError):
        return None


def _fresh(item: Diagnosed, told: dict[str, Severity], over: bool) -> list[Finding]:
    """Return the findings that are new or worse than when they were told.

    Information is about whole runs (`underfits`, `no-eval`), so it waits for the end.
    """
    fresh = []
    for finding in item.findings:
        if finding.severity is Severity.INFO and not over:
            continue
        before = told.get(finding.name)
        if before is None or (finding.severity != before and finding.severity.at_least(before)):
            told[finding.name] = finding.severity
            fresh.append(finding)
    return fresh


def _as_lines(item: Diagnosed, fresh: list[Finding]) -> str:
    paint = painter(sys.stdout)
    colours = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
    return "".join(
        f"{paint(f'{f.severity.value}[{f.code}]', colours[f.severity])} {f.name}: {f.title}\n"
        for f in fresh
    )


def _as_json_lines(item: Diagnosed, fresh: list[Finding]) -> str:
    if not fresh:
        return ""
    (run,) = as_json(Diagnosis((Diagnosed(item.run, tuple(fresh), item.spec),)))["runs"]
    ascii_only = not speaks_unicode(sys.stdout)
    return "".join(
        json.dumps({"source": run["source"], "finding": each}, ensure_ascii=ascii_only) + "\n"
        for each in run["findings"]
    )


def _as_commands(item: Diagnosed, fresh: list[Finding]) -> str:
    return as_github(Diagnosis((Diagnosed(item.run, tuple(fresh), item.spec),)))


NEWS: dict[str, News] = {"text": _as_lines, "json": _as_json_lines, "github": _as_commands}
