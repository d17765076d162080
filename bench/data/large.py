"""Make a file of alpaca rows from a seed, of any size, and check it: rows a second and memory.

    python bench/data/large.py --mib 500                          # make, check, say
    python bench/data/large.py --mib 10240 --folder /data --write bench/data/LARGE.md

Known defects are put in at known shares, and what is found is held against them. Nothing is read
but what was made; the file is removed at the end unless --keep is given.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ftspec.doctor.data.check import Checked, Wanted, check
from ftspec.doctor.data.readers.source import find_sources

SMALL = "the of and to is in that it for was with are this as on by not from at which".split()
SENTENCES, WORDS = 60_000, 30_000
RECENT = 5_000  # earlier rows of which copies are made
SHARES = {"duplicate": 0.01, "near-duplicate": 0.01, "invalid-json": 0.001, "pii-email": 0.002}


def sentences(source: random.Random) -> list[str]:
    """Return sentences of made-up words among small English ones."""
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(source.choices(letters, k=source.randrange(3, 11))) for _ in range(WORDS)]
    made = []
    for _ in range(SENTENCES):
        count = source.randrange(6, 22)
        chosen = [
            source.choice(SMALL) if source.random() < 0.4 else source.choice(words)
            for _ in range(count)
        ]
        made.append(f"{' '.join(chosen).capitalize()}{source.choice('...?!')}")
    return made


def rows(seed: int) -> Iterator[tuple[str, str]]:
    """Yield lines of JSON without end, each with the name of its defect or none."""
    source = random.Random(seed)
    pool = sentences(source)
    recent: list[dict[str, str]] = []
    names, weights = [*SHARES, ""], [*SHARES.values(), 1 - sum(SHARES.values())]
    number = 0
    while True:
        for defect in source.choices(names, weights, k=10_000):
            number += 1
            row = _row(source, pool, number)
            if defect in ("duplicate", "near-duplicate") and recent:
                row = dict(source.choice(recent))
                if defect == "near-duplicate":
                    row["output"] += f" That makes {number}."
            elif defect == "pii-email":
                row["output"] += f" Write to {source.choice(SMALL)}.{number}@mail-corp.de."
            elif not defect:
                recent.append(row)
                if len(recent) > RECENT:
                    recent[source.randrange(RECENT)] = recent.pop()
            line = json.dumps(row, ensure_ascii=False)
            yield (line[:-2] if defect == "invalid-json" else line), defect


def _row(source: random.Random, pool: list[str], number: int) -> dict[str, str]:
    asked = f"{source.choice(pool)[:-1]}, case {number}?"
    given = " ".join(source.choices(pool, k=2)) if source.random() < 0.3 else ""
    said = " ".join(source.choices(pool, k=source.randrange(3, 8)))
    return {"instruction": asked, "input": given, "output": said}


def make(path: Path, size: int, seed: int) -> dict[str, int]:
    """Write a file of about `size` bytes; return how many rows have which defect."""
    counts = dict.fromkeys([*SHARES, ""], 0)
    written = 0
    with path.open("w", encoding="utf-8", buffering=1 << 20) as file:
        for line, defect in rows(seed):
            written += file.write(line) + 1
            file.write("\n")
            counts[defect] += 1
            if written >= size:
                return counts
    raise AssertionError


class Memory(threading.Thread):
    """Notes the most memory that this process and those it began held at one time, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0

    def run(self) -> None:
        """Look five times a second."""
        import psutil

        me = psutil.Process()
        while True:
            held = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    held += process.memory_info().rss
                except psutil.Error:
                    pass
            self.most = max(self.most, held)
            time.sleep(0.2)


def measured(path: Path, near: bool, processes: int) -> tuple[Checked, float, float, int]:
    """Return what was found, seconds of clock and of CPU, and the most bytes held."""
    memory = Memory()
    memory.start()
    sources = find_sources([str(path)], Path())
    start, before = time.perf_counter(), os.times()
    result = check(sources, Wanted(near=near, progress=_said()), processes)
    clock, after = time.perf_counter() - start, os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    return result, clock, cpu, memory.most


def _said() -> Callable[[str], None] | None:
    if not sys.stderr.isatty():
        return None
    return lambda words: print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)


def report(path: Path, counts: dict[str, int], processes: int) -> Iterator[str]:
    """Yield what was measured, in Markdown."""
    total, size = sum(counts.values()), path.stat().st_size
    yield f"{total:,} rows, {size / 2**20:,.0f} MiB, {processes} processes, {os.cpu_count()} cores."
    yield "Rows a second are by the clock, with what else ran there; those of CPU time are not."
    yield "\n| checks | rows a second | rows a second of CPU | most memory held |"
    yield "| --- | --- | --- | --- |"
    found: dict[str, int] = {}
    for near in (False, True):
        result, clock, cpu, most = measured(path, near, processes)
        name = "all, near-duplicates too" if near else "all but near-duplicates"
        rates = f"{result.rows / clock:,.0f} | {result.rows / cpu:,.0f}"
        yield f"| {name} | {rates} | {most / 2**20:,.0f} MiB |"
        found = {f.name: f.evidence["count"] for f in result.findings}
        assert result.rows == total, (result.rows, total)
    yield "\n| rule | rows made so | found |\n| --- | --- | --- |"
    for name in SHARES:
        yield f"| {name} | {counts[name]:,} | {found.get(name, 0):,} |"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield f"\nThe first process alone held {peak / 1024:,.0f} MiB at most."


def main() -> None:
    """Make the file, check it, and say what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=500, help="size of the file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    path = given.folder / f"ftspec-large-{given.mib}-{given.seed}.jsonl"
    counts = make(path, given.mib << 20, given.seed)
    lines = [f"# A large file\n\n`python bench/data/large.py --mib {given.mib}`:"]
    try:
        for line in report(path, counts, given.processes):
            print(line, flush=True)
            lines.append(line)
    finally:
        if not given.keep:
            path.unlink()
    if given.write:
        given.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
