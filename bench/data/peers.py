"""Hold `ftspec data check` against other tools on the same two files, one clean and one not.

    python -m venv peers && peers/bin/pip install finelint trainproof modelbrew-cleaner together
    python bench/data/peers.py --python peers/bin/python --write bench/data/PEERS.md

A tool finds a row when it names it, for whatever reason. What a tool names of the clean rows is
counted as well. A tool that is not installed is left out, and said to be.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
KINDS = (
    *("invalid-json", "wrong-type", "missing-field", "mojibake", "control-characters"),
    *("pii-email", "secret", "empty-answer", "placeholder-answer", "refusal"),
)
EACH = 40
Found = tuple[set[int], str]  # rows from 1, and what there is to say


def ftspec(path: Path) -> Found:
    """Return the rows of findings that are warnings or worse."""
    from ftspec.doctor.data.check import Wanted, check
    from ftspec.doctor.data.readers.source import find_sources

    result = check(find_sources([str(path)], Path()), Wanted(near=True))
    told = [finding for finding in result.findings if finding.severity.value != "info"]
    return {row for finding in told for row in finding.evidence["rows"]}, ""


def finelint(path: Path) -> Found:
    """Return the affected records."""
    out = path.with_suffix(".finelint.json")
    command = [sys.executable, "-m", "finelint", "inspect", str(path)]
    script = Path(sys.executable).with_name("finelint")
    if script.exists():
        command = [str(script), "inspect", str(path)]
    subprocess.run(
        [*command, "--affected-records", str(out), "--report", str(out.with_suffix(".report"))],
        capture_output=True,
        check=False,
    )
    records = json.loads(out.read_text())["records"]
    return {record.get("line") or record.get("row") for record in records}, ""


def trainproof(path: Path) -> Found:
    """Return no rows, since it names three at most; its findings are told."""
    script = Path(sys.executable).with_name("trainproof")
    command = [str(script), "preflight", str(path), "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    findings = json.loads(answer.stdout)["reports"][0]["findings"]
    told = "; ".join(f"{f['id']}: {f['evidence']}" for f in findings if f["level"] != "PASS")
    return set(), f"names no more than three rows: {told or 'no finding'}"


def together(path: Path) -> Found:
    """Return no rows: it ends at the first fault."""
    from together.lib.utils.files import check_file

    return set(), f"ends at the first fault: {check_file(path)['message']}"


def modelbrew(path: Path) -> Found:
    """Return the rows with an issue that is more than information."""
    from modelbrew_cleaner import clean_file

    found = {
        issue.row_index + 1
        for row in clean_file(str(path))
        for issue in row.issues
        if str(getattr(issue.severity, "value", issue.severity)).lower() != "info"
    }
    return found, ""


TOOLS: dict[str, Callable[[Path], Found]] = {
    "ftspec": ftspec,
    "finelint": finelint,
    "modelbrew_cleaner": modelbrew,
    "trainproof": trainproof,
    "together": together,
}


def asked(tool: str, python: str, path: Path) -> tuple[set[int], str, float]:
    """Return what a tool found in a Python of its own, and the seconds it took."""
    start = time.perf_counter()
    answer = subprocess.run(
        [python, str(Path(__file__).resolve()), "--inner", tool, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or ["no words"]
        return set(), f"did not run: {lines[-1]}", 0.0
    document = json.loads(answer.stdout.splitlines()[-1])
    return set(document["rows"]), document["words"], time.perf_counter() - start


def files(data: Path, folder: Path) -> tuple[Path, Path, dict[int, str], int]:
    """Write a clean file and one with defects; return them, row -> defect, and how many rows."""
    from inject import INJECTORS
    from scores import base_rows, put

    rows = base_rows(data, False)
    source = random.Random(5)
    places = source.sample(range(len(rows)), EACH * len(KINDS))
    truth = {at: KINDS[number % len(KINDS)] for number, at in enumerate(places)}
    clean, sick = folder / "clean.jsonl", folder / "sick.jsonl"
    put(clean, rows)
    put(
        sick,
        [INJECTORS[truth[at]](row, source) if at in truth else row for at, row in enumerate(rows)],
    )
    return clean, sick, {at + 1: kind for at, kind in truth.items()}, len(rows)


def table(data: Path, python: str) -> Iterator[str]:
    """Yield what each tool found."""
    with tempfile.TemporaryDirectory() as folder:
        clean, sick, truth, count = files(data, Path(folder))
        yield f"{count:,} rows of GSM8K in alpaca form; {EACH} rows of each defect in the second."
        yield "The words of placeholders and refusals are those that our rules were written with.\n"
        yield f"| tool | {' | '.join(KINDS)} | clean rows named | seconds |"
        yield f"| --- |{' --- |' * (len(KINDS) + 2)}"
        said = []
        for tool in TOOLS:
            interpreter = sys.executable if tool == "ftspec" else python
            found, words, seconds = asked(tool, interpreter, sick)
            named, *_ = asked(tool, interpreter, clean)
            if words:
                said.append(f"\n{tool} {words}")
                continue
            shares = [sum(truth[row] == kind for row in found & truth.keys()) for kind in KINDS]
            cells = " | ".join(f"{share} of {EACH}" for share in shares)
            yield f"| {tool} | {cells} | {len(named)} | {seconds:.1f} |"
        yield from said


def main() -> None:
    """Ask every tool; or, as the inner program, one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--python", default=sys.executable, help="where the others are installed")
    parser.add_argument("--inner", nargs=2, metavar=("TOOL", "FILE"))
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    if given.inner:
        rows, words = TOOLS[given.inner[0]](Path(given.inner[1]))
        print(json.dumps({"rows": sorted(rows), "words": words}))
        return
    lines = ["# Other tools on the same files\n"]
    for line in table(given.data, given.python):
        print(line, flush=True)
        lines.append(line)
    if given.write:
        given.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
