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
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from scores import ALPACA, DEMOS, TRAIN, checked, injected, rows_found

from ftspec.compiler.facts.model import ModelFacts
from ftspec.doctor.data.catalogue import RULES
from ftspec.doctor.data.check import Wanted, check, rows_of
from ftspec.doctor.data.clean import clean
from ftspec.doctor.data.fixes import FIXES
from ftspec.doctor.data.near import ALIKE, Near, shingles
from ftspec.doctor.data.readers.source import Source, find_sources
from ftspec.doctor.data.record import UnreadableDataError
from ftspec.doctor.data.report import as_json, as_text
from ftspec.doctor.data.tokens import Counting, Tokens

MEMORY = Path("/dev/shm")  # where there is one, mutated files need no disk
DATA = Path(__file__).parents[3] / "shared" / "data"
TEST = "openai__grade-school-math/grade_school_math/data/test.jsonl"
SOCRATIC = "openai__grade-school-math/grade_school_math/data/test_socratic.jsonl"
TOOLS = "teknium1__GPTeacher/Toolformer/toolformer"
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
    yield "Best of three, on a machine that others used at the time. Several processes:"
    yield "`LARGE.md`, on a larger file.\n"
    yield (
        "| file | rows | characters a row | all but near-duplicates | near-duplicates too "
        "| tokens, without these |"
    )
    yield "| --- | --- | --- | --- | --- | --- |"
    for name in (TRAIN, f"{TOOLS}-dedupe-only-dataset.json", ALPACA):
        if not (data / name).is_file():
            yield f"| {Path(name).name} | skipped: not at hand | | | | |"
            continue
        (source,) = find_sources([str(data / name)], Path())
        texts = [example.text for example in rows_of(source)]
        size = sum(map(len, texts)) / len(texts)
        with tempfile.TemporaryDirectory() as folder:
            counting = trained(texts, Path(folder) / "tokenizer.json")
            rates = [rate(source, near, None) for near in (False, True)]
            rates.append(rate(source, False, counting))
        figures = " | ".join(f"{rate:,.0f}" for rate in rates)
        yield f"| {Path(name).name} | {len(texts):,} | {size:,.0f} | {figures} |"


def rate(source: Source, near: bool, counting: Counting | None) -> float:
    """Return rows a second of CPU time, the best of three."""
    best, rows = float("inf"), 0
    for _ in range(3):
        tokens = Tokens(counting) if counting else None
        start = time.process_time()
        rows = check([source], Wanted(near=near, tokens=tokens)).rows
        best = min(best, time.process_time() - start)
    return rows / best


def trained(texts: list[str], file: Path) -> Counting:
    """Return how tokens are counted by a byte-level BPE of 16,000 tokens, trained on the rows."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=16_000, special_tokens=["</s>"], show_progress=False)
    made.train_from_iterator(texts, trainer)
    made.save(str(file))
    facts = ModelFacts("made", "folder", tokenizer_file=file, special_tokens={"eos_token": "</s>"})
    return Counting(facts, 1024)


def fuzz(files: int, first: int = 1) -> Iterator[str]:
    """Check and clean mutated files; raises at the first that is not as it should be."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "doctor_data"))
    yield "\n## Mutated files\n"
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        for number in range(files):
            try:
                counts.update(fuzzed(random.Random(1_000_000 * first + number), Path(folder)))
            except BaseException:
                print(f"file {number} of seed {first}", file=sys.stderr)
                raise
    yield f"{files:,} files, {counts['rows']:,} rows: no exception, every row accounted for, and"
    yield f"cleaning again changes nothing. {counts['findings']:,} findings,"
    yield f"{counts['repaired']:,} rows repaired, {counts['aside']:,} set aside."
    yield f"{counts['unreadable']:,} files cannot be read at all, and are told so."


def fuzzed(source: random.Random, folder: Path) -> dict[str, int]:
    """Check, tell and clean one mutated file; return what there was to count."""
    from data_mutations import mutated
    from test_data_fuzz import seed_file

    name, content = seed_file(source)
    path, out = folder / name, folder / "out.jsonl"
    path.write_bytes(mutated(content, source))
    try:
        sources = find_sources([str(path)], Path())
        result = check(sources, Wanted(near=True))
    except UnreadableDataError:
        return {"unreadable": 1}
    json.dumps(as_json(result), allow_nan=False).encode()
    as_text(result, {}).encode()
    assert all(1 <= row <= result.rows for f in result.findings for row in f.evidence["rows"])
    ledger = clean(sources[0], out, tuple(FIXES))
    again = clean(find_sources([str(out)], Path())[0], None, tuple(FIXES))
    assert ledger.rows == result.rows == ledger.written + len(ledger.aside)
    assert (again.rows, len(again.aside), len(again.repaired)) == (ledger.written, 0, 0)
    return {
        "rows": ledger.rows,
        "findings": len(result.findings),
        "repaired": len(ledger.repaired),
        "aside": len(ledger.aside),
    }


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
    parser.add_argument("--seed", type=int, default=1, help="of the mutated files")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    lines = [
        f"# `ftspec data` measured\n\n`python bench/data/bench.py --files {given.files}`, "
        f"{len(RULES)} rules.\n"
    ]
    for part in given.part or [*PARTS, "fuzz"]:
        for line in fuzz(given.files, given.seed) if part == "fuzz" else PARTS[part](given.data):
            print(line, flush=True)
            lines.append(line)
    if given.write:
        given.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
