"""Score `ftspec data` on files with known defects, on injected ones, and by speed.

    python bench/data/bench.py                                    # all, to the terminal
    python bench/data/bench.py --write bench/data/RESULTS.md
    python bench/data/bench.py --part fuzz --files 100000         # mutated files

Real files lie in the folder that --data names (`INDEX.tsv` tells where each is from); what is not
there is skipped, with the reason. Seeds are fixed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inject import INJECTORS

from ftspec.doctor.data.catalogue import RULES
from ftspec.doctor.data.check import Checked, Wanted, check, rows_of
from ftspec.doctor.data.clean import clean
from ftspec.doctor.data.fixes import FIXES
from ftspec.doctor.data.near import ALIKE, Near, shingles
from ftspec.doctor.data.readers.source import find_sources
from ftspec.doctor.data.record import UnreadableDataError

DATA = Path(__file__).parents[3] / "shared" / "data"
TRAIN = "openai__grade-school-math/grade_school_math/data/train.jsonl"
TEST = "openai__grade-school-math/grade_school_math/data/test.jsonl"
SOCRATIC = "openai__grade-school-math/grade_school_math/data/test_socratic.jsonl"
DEMOS = "hiyouga__LLaMA-Factory/data"
ALPACA = f"{DEMOS}/alpaca_en_demo.json"
TOOLS = "teknium1__GPTeacher/Toolformer/toolformer"
PER_RULE, BASE = 200, 1200
JUDGED = ("truncated-answer", "refusal", "wrong-language")
NOT_BLIND = """\
Prose: answers of 160 characters and more of a real demo set; the others: GSM8K.
What a rule finds in the rows before the injection is left out: precision tells of new findings
alone, and the table above of those on clean rows. Rules on truncated answers, cards, telephone
numbers and repeated prompts were bettered on these rows, and words of placeholders, refusals and
no-input texts were chosen by who wrote the rules: those figures are not blind.
"""
# file -> rule -> rows that are known to have the defect (research, by other means)
KNOWN = {
    f"{TOOLS}-similarity-0.9-dataset.json": {"mojibake": 17},
    f"{TOOLS}-dedupe-only-dataset.json": {"mojibake": 0},
    ALPACA: {"duplicate": 14, "no-input-text": 8},
    f"{DEMOS}/dpo_en_demo.json": {"duplicate": 5},
    f"{DEMOS}/glaive_toolcall_en_demo.json": {"duplicate": 35},
    "axolotl-ai-cloud__axolotl/tests/fixtures/conversation.missingturns.json": {"empty-turn": 1},
    TRAIN: {"duplicate": 0},
}


def checked(paths: list[Path], held_out: list[Path] = [], near: bool = False) -> Checked:  # noqa: B006
    """Check files as one data set."""
    sources = find_sources([str(path) for path in paths], Path())
    kept = find_sources([str(path) for path in held_out], Path())
    return check(sources, Wanted(held_out=kept, near=near))


def rows_found(result: Checked, rule: str) -> set[int]:
    """Return the rows in which a rule found something."""
    return {row for f in result.findings if f.name == rule for row in f.evidence["rows"]}


def known(data: Path) -> Iterator[str]:
    """Yield the table of real files whose defects are known."""
    yield "## Known defects of real files\n"
    yield "| file | rule | known | found |\n| --- | --- | --- | --- |"
    for name, rules in KNOWN.items():
        if not (data / name).is_file():
            yield f"| {Path(name).name} | skipped: not at hand | | |"
            continue
        result = checked([data / name])
        for rule, count in rules.items():
            yield f"| {Path(name).name} | {rule} | {count} | {len(rows_found(result, rule))} |"
    if not all((data / name).is_file() for name in (TRAIN, TEST, SOCRATIC)):
        yield "| GSM8K | skipped: not at hand | | |"
        return
    for train, held, count in ((TRAIN, TEST, 0), (TEST, SOCRATIC, 1319)):
        found = rows_found(checked([data / train], [data / held]), "leakage")
        names = f"{Path(train).name} against {Path(held).name}"
        yield f"| {names} | leakage | {count} | {len(found)} |"
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "chat.json"
        rows = [json.loads(line) for line in (data / TRAIN).read_text().splitlines()]
        turns = [[("user", r["question"]), ("assistant", r["answer"])] for r in rows]
        other.write_text(
            json.dumps([{"messages": [{"role": a, "content": b} for a, b in t]} for t in turns])
        )
        found = rows_found(checked([data / TRAIN], [other]), "leakage")
    yield f"| train.jsonl against itself as `messages` | leakage | {len(rows)} | {len(found)} |"


def false_findings(data: Path) -> Iterator[str]:
    """Yield the table of what is found in clean rows."""
    yield "\n## False findings on clean rows\n"
    yield "The control characters are zero-width spaces that do stand there; still counted.\n"
    yield "| file | rows | rows with a warning or error | per 1,000 |\n| --- | --- | --- | --- |"
    for name in (TRAIN, TEST, SOCRATIC):
        if not (data / name).is_file():
            yield f"| {Path(name).name} | skipped: not at hand | | |"
            continue
        result = checked([data / name])
        told = [f for f in result.findings if f.severity.value != "info"]
        rows = {row for f in told for row in f.evidence["rows"]}
        names = ", ".join(f"{f.name} {f.evidence['count']}" for f in told) or "none"
        share = 1000 * len(rows) / result.rows
        yield f"| {Path(name).name} | {result.rows:,} | {len(rows)} ({names}) | {share:.2f} |"


def base_rows(data: Path, prose: bool) -> list[dict[str, Any]]:
    """Return clean alpaca rows: GSM8K's, or for judgements on prose those of a real demo set."""
    if prose:
        rows = json.loads((data / ALPACA).read_text())
        long = [r for r in rows if len(r["output"]) >= 160 and "```" not in r["output"]]
        return [r for r in long if r["output"].rstrip()[-1:] in ".!?"]
    lines = (data / TRAIN).read_text().splitlines()[: 2 * BASE]
    rows = [json.loads(line) for line in lines]
    return [{"instruction": r["question"], "input": "", "output": r["answer"]} for r in rows]


def injected(data: Path) -> Iterator[str]:
    """Yield precision and recall of each rule on injected defects."""
    yield f"\n## Injected defects: {PER_RULE} rows each\n"
    yield NOT_BLIND
    yield "| rule | rows | injected | precision | recall |\n| --- | --- | --- | --- | --- |"
    if not (data / TRAIN).is_file() or not (data / ALPACA).is_file():
        yield "| skipped: the clean sets are not at hand | | | | |"
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        for rule, inject in INJECTORS.items():
            rows, counts = base_rows(data, rule in JUDGED), [0, 0, 0]
            # A file's habit is part of judgements: one row in ten, in several files.
            share = min(PER_RULE, len(rows) // 10) if rule in JUDGED else PER_RULE
            for number in range(-(-PER_RULE // share)):
                source = random.Random(f"{rule} {number}")
                chosen = set(source.sample(range(len(rows)), share))
                put(path, rows)
                before = rows_found(checked([path]), rule)
                put(path, [inject(r, source) if at in chosen else r for at, r in enumerate(rows)])
                found = rows_found(checked([path]), rule) - before
                truth = {at + 1 for at in chosen} - before
                for at, more in enumerate((len(truth), len(found), len(found & truth))):
                    counts[at] += more
            truths, told, right = counts
            yield (
                f"| {rule}{' (prose)' if rule in JUDGED else ''} | {len(rows):,} | {truths} "
                f"| {100 * right / max(1, told):.1f} % | {100 * right / truths:.1f} % |"
            )


def put(path: Path, rows: list[Any]) -> None:
    """Write rows as JSON lines; a string is a line as it stands."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def near(data: Path) -> Iterator[str]:
    """Yield the table of near-duplicates against a comparison of all pairs."""
    yield "\n## Near-duplicates\n"
    yield f"Truth: all pairs compared, a row counts where one that stays is {ALIKE:.0%} alike.\n"
    yield "| file | rows | truth | found | of these true |\n| --- | --- | --- | --- | --- |"
    for name in (
        f"{TOOLS}-dedupe-only-dataset.json",
        f"{TOOLS}-similarity-0.7-dataset.json",
        ALPACA,
    ):
        if not (data / name).is_file():
            yield f"| {Path(name).name} | skipped: not at hand | | | |"
            continue
        (file,) = find_sources([str(data / name)], Path())
        texts = [f"{e.prompt} {' '.join(e.answers)}" for e in rows_of(file)][:2000]
        sets = [shingles(text) for text in texts]
        truth, kept = set(), []
        for at, one in enumerate(sets):
            if any(alike(one, sets[other]) for other in kept):
                truth.add(at)
            else:
                kept.append(at)
        sketches = Near()
        for at, text in enumerate(texts):
            sketches.add(at, text, at)
        found = {later for later, _, _ in sketches.pairs()}
        both = len(truth & found)
        counts = f"{len(texts):,} | {len(truth)} | {len(found)} | {both}"
        yield f"| {Path(name).name} | {counts} |"


def alike(one: set[int], other: set[int]) -> bool:
    """Say whether two sets have enough in common."""
    if min(len(one), len(other)) < ALIKE * max(len(one), len(other)):
        return False
    both = len(one & other)
    return both > 0 and both >= ALIKE * (len(one) + len(other) - both)


def speed(data: Path) -> Iterator[str]:
    """Yield rows a second of CPU time, the best of three."""
    yield "\n## Speed: rows a second of CPU time, one process\n"
    yield "Best of three, on a machine that others used at the time.\n"
    yield "| file | rows | all but near-duplicates | with them |\n| --- | --- | --- | --- |"
    for name in (TRAIN, f"{TOOLS}-dedupe-only-dataset.json", ALPACA):
        if not (data / name).is_file():
            yield f"| {Path(name).name} | skipped: not at hand | | |"
            continue
        rates = []
        for with_near in (False, True):
            best = float("inf")
            for _ in range(3):
                start = time.process_time()
                result = checked([data / name], near=with_near)
                best = min(best, time.process_time() - start)
            rates.append(f"{result.rows / best:,.0f}")
        yield f"| {Path(name).name} | {result.rows:,} | {' | '.join(rates)} |"


def fuzz(files: int, first: int = 1) -> Iterator[str]:
    """Check and clean mutated files; raises at the first that is not as it should be."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "doctor_data"))
    from data_mutations import mutated
    from test_data_fuzz import seed_file

    yield "\n## Mutated files\n"
    rows = unreadable = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(files):
            source = random.Random(1_000_000 * first + number)
            name, content = seed_file(source)
            path = Path(folder) / name
            path.write_bytes(mutated(content, source))
            try:
                sources = find_sources([str(path)], Path())
                result = check(sources, Wanted(near=True))
            except UnreadableDataError:
                unreadable += 1
                continue
            out = Path(folder) / "out.jsonl"
            ledger = clean(sources[0], out, tuple(FIXES))
            again = clean(find_sources([str(out)], Path())[0], None, tuple(FIXES))
            assert ledger.rows == result.rows == ledger.written + len(ledger.aside), number
            assert (again.rows, len(again.aside), len(again.repaired)) == (ledger.written, 0, 0)
            rows += ledger.rows
    yield f"{files:,} files, {rows:,} rows: no exception, every row accounted for, and cleaning"
    yield f"again changes nothing. {unreadable:,} files cannot be read at all, and are told so."


PARTS = {
    "known": known,
    "clean": false_findings,
    "injected": injected,
    "near": near,
    "speed": speed,
}


def main() -> None:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--part", choices=[*PARTS, "fuzz"], action="append")
    parser.add_argument("--files", type=int, default=2000, help="mutated files")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    lines = [
        f"# `ftspec data` measured\n\n`python bench/data/bench.py --files {given.files}`, "
        f"{len(RULES)} rules.\n"
    ]
    for part in given.part or [*PARTS, "fuzz"]:
        for line in fuzz(given.files) if part == "fuzz" else PARTS[part](given.data):
            print(line, flush=True)
            lines.append(line)
    if given.write:
        given.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
