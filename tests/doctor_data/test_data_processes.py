"""Parts and processes: what is found does not depend on who looks, or on how much is held."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import random
from pathlib import Path
from zlib import crc32

import pytest
from data_cases import CASES, says
from fakes import make_model

from ftspec.compiler.facts.model import resolve_model
from ftspec.doctor.data import part as parts
from ftspec.doctor.data.catalogue import RULES
from ftspec.doctor.data.check import Checked, Wanted, check
from ftspec.doctor.data.near import Near
from ftspec.doctor.data.processes import Job, parts_of, processes_for
from ftspec.doctor.data.readers.source import Source, find_sources
from ftspec.doctor.data.record import UnreadableDataError
from ftspec.doctor.data.report import as_json
from ftspec.doctor.data.tokens import Counting, Tokens

SICK = [row for found, near in CASES.values() for row in (*found, *near)]


def rows(count: int, seed: int = 1) -> list:
    """Return rows of all faults between good ones that are alike, the same, or neither."""
    source = random.Random(seed)
    words = "river stone bridge lamp garden winter letter market window road music".split()
    made = []
    for number in range(count):
        if source.random() < 0.2:
            made.append(source.choice(SICK))
        elif source.random() < 0.1 and made:
            made.append(source.choice(made))
        else:
            text = " ".join(source.choices(words, k=source.randrange(5, 40)))
            made.append(says(f"The {text} is {number % 50}.", f"What of {number % 400}?"))
    return made


def written(tmp_path: Path, count: int) -> tuple[Source, ...]:
    """Write the rows as JSON lines, packed lines, an array and a table."""
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows(count)]
    (tmp_path / "a.jsonl").write_text("\n".join(texts), encoding="utf-8")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(texts[::2]).encode()))
    (tmp_path / "c.json").write_text(f"[{','.join(texts[1::3])}]", encoding="utf-8")
    lines = "".join(f"ask {n},say {n % 7} of it\n" for n in range(count))
    (tmp_path / "d.csv").write_text(f"instruction,output\n{lines}", encoding="utf-8")
    names = ("a.jsonl", "b.jsonl.gz", "c.json", "d.csv")
    return find_sources([str(tmp_path / name) for name in names], Path())


def shown(checked: Checked) -> str:
    return json.dumps(as_json(checked), indent=1)


def test_findings_are_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    sources = written(tmp_path, 2_100)
    held = find_sources([str(tmp_path / "d.csv")], Path())
    make_model(tmp_path / "tiny")
    counting = Counting(resolve_model("tiny", tmp_path), max_length=24)
    documents = []
    for processes in (1, 2):
        wanted = Wanted(near=True, held_out=held, tokens=Tokens(counting))
        documents.append(shown(check(sources, wanted, processes)))
    assert documents[0] == documents[1]
    assert '"too-long"' in documents[0] and '"leakage"' in documents[0]
    assert multiprocessing.active_children() == []


def test_findings_are_the_same_for_any_size_of_parts(tmp_path: Path, monkeypatch) -> None:
    sources = written(tmp_path, 600)
    documents = []
    for size in (2_000, 300, 7):
        monkeypatch.setattr(parts, "ROWS", size)
        documents.append(shown(check(sources, Wanted(near=True))))
    assert documents[0] == documents[1] == documents[2]


def job(*sources: Source) -> Job:
    names = tuple(item.rule.name for item in RULES)
    return Job(sources, None, names, False, {}, None)


def test_a_file_that_cannot_be_read_is_told_by_the_first_process(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(UnreadableDataError, match="no whole Parquet file|needs pyarrow"):
        check(find_sources([str(path)], Path()), None, 2)


def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    found = parts_of(job(*written(tmp_path, 9_000)), 2)
    next(found)
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(UnreadableDataError, match="ended early"):
        list(found)
    assert multiprocessing.active_children() == []


def test_processes_end_when_no_one_reads_on(tmp_path: Path) -> None:
    found = parts_of(job(*written(tmp_path, 9_000)), 2)
    next(found)
    found.close()
    assert multiprocessing.active_children() == []


def test_small_files_are_looked_at_by_one_process(tmp_path: Path) -> None:
    sources = written(tmp_path, 50)
    assert processes_for(sources) == 1
    with (tmp_path / "a.jsonl").open("r+b") as file:
        file.truncate(20 * 2**20)
    assert processes_for(sources) >= 1


@pytest.mark.parametrize("split", [None, 40])
def test_near_duplicates_are_the_same_from_disk_and_from_parts(split) -> None:
    texts = [str(row) for row in rows(300)]
    pairs = []
    for held in (10, 1_000_000):
        near = Near(held)
        for start in range(0, len(texts), split or len(texts)):
            one = Near() if split else near
            for place, text in enumerate(texts[start : start + (split or len(texts))], start):
                one.add(place, text, crc32(text.encode()))
            if split:
                near.take(one)
        pairs.append(list(near.pairs()))
    assert pairs[0] == pairs[1] and len(pairs[0]) >= 3
