"""Mutated files: no traceback, every row accounted for, cleaning twice is cleaning once."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from data_cases import CASES
from data_mutations import mutated

from ftspec.doctor.data.check import Wanted, check
from ftspec.doctor.data.clean import clean
from ftspec.doctor.data.fixes import FIXES
from ftspec.doctor.data.readers.source import find_sources
from ftspec.doctor.data.record import UnreadableDataError
from ftspec.doctor.data.report import as_json, as_text

ROWS = [row for found, near in CASES.values() for row in (*found, *near)]


def seed_file(source: random.Random) -> tuple[str, bytes]:
    """Return the name and content of a file of a few rows."""
    rows = source.sample(ROWS, source.randrange(1, 8))
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    kind = source.choice(["jsonl", "json", "csv"])
    if kind == "jsonl":
        return "rows.jsonl", "\n".join(texts).encode()
    if kind == "json":
        return "rows.json", ("[" + ",\n".join(texts) + "]").encode()
    return "rows.csv", ("instruction,output\n" + "\n".join(texts)).encode()


@pytest.mark.parametrize("block", range(6))
def test_mutated_files_make_no_traceback_and_lose_no_row(block, tmp_path: Path) -> None:
    source = random.Random(block)
    for _ in range(200):
        name, content = seed_file(source)
        path = tmp_path / name
        path.write_bytes(mutated(content, source))
        try:
            sources = find_sources([str(path)], Path())
            checked = check(sources, Wanted(near=True))
        except UnreadableDataError:
            continue
        json.dumps(as_json(checked), allow_nan=False).encode()
        as_text(checked, {}).encode()
        for finding in checked.findings:
            assert all(1 <= row <= checked.rows for row in finding.evidence["rows"])
        out = tmp_path / "out.jsonl"
        first = clean(sources[0], out, tuple(FIXES))
        assert first.rows == checked.rows == first.written + len(first.aside)
        again = clean(find_sources([str(out)], Path())[0], None, tuple(FIXES))
        assert (again.rows, len(again.aside), len(again.repaired)) == (first.written, 0, 0)
