"""Cleaning: every row accounted for, the same again, nothing half written."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
from data_cases import CASES, says

from ftspec.doctor.data import clean as cleaning
from ftspec.doctor.data.clean import UnaccountedRowError, clean
from ftspec.doctor.data.fixes import FIXES, SAFE
from ftspec.doctor.data.readers.source import find_sources

ALL = tuple(FIXES)


def sick(seed: int = 1) -> list:
    """Return rows with every fault there is, in an order that the seed gives."""
    rows = [row for found, near in CASES.values() for row in (*found, *near)]
    random.Random(seed).shuffle(rows)
    return rows


def run(path: Path, out: Path | None, names=SAFE, held_out=()):
    (source,) = find_sources([str(path)], Path())
    return clean(source, out, names, held_out=held_out)


def lines(path: Path) -> list:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("names", [SAFE, ALL, ("duplicate",), ()])
def test_every_row_is_accounted_for_and_cleaning_again_changes_nothing(
    names, write, tmp_path: Path
) -> None:
    path = write(sick())
    ledger = run(path, tmp_path / "a.jsonl", names)
    assert ledger.rows == len(sick())
    assert ledger.written + len(ledger.aside) == ledger.rows
    document = json.loads((tmp_path / "a.ledger.json").read_text())
    rows = [row for first, last in document["kept"] for row in range(first, last + 1)]
    rows += [item["row"] for item in (*document["repaired"], *document["set_aside"])]
    assert sorted(rows) == list(range(1, ledger.rows + 1))
    aside = lines(tmp_path / "a.quarantine.jsonl")
    assert [item["row"] for item in aside] == [item["row"] for item in document["set_aside"]]
    assert all(item["reason"] and item["code"].startswith("FT5") for item in aside)

    again = run(tmp_path / "a.jsonl", tmp_path / "b.jsonl", names)
    assert (len(again.repaired), len(again.aside)) == (0, 0)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_the_same_input_gives_the_same_bytes(write, tmp_path: Path) -> None:
    path = write(sick())
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        run(path, tmp_path / folder / "a.jsonl.gz", ALL)
    for file in sorted((tmp_path / "x").iterdir()):
        assert file.read_bytes() == (tmp_path / "y" / file.name).read_bytes()
    assert gzip.decompress((tmp_path / "x/a.jsonl.gz").read_bytes())


def test_what_is_repaired_and_what_stays_byte_for_byte(write, tmp_path: Path) -> None:
    untouched = '{"instruction":   "Caf\\u00e9?", "output": "It is  there, in the\\ttown."}'
    rows = [
        untouched,
        says("The integral of xÂ² is &quot;known&quot;\x01 in cafe\u0301s."),
        says("A joke it is.", input="<noinput>"),
        says("Write to bob@corp-mail.de soon."),
    ]
    run(write(rows), tmp_path / "a.jsonl")
    text = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert text[0] == untouched
    found = lines(tmp_path / "a.jsonl")
    assert found[1]["output"] == 'The integral of x² is "known" in cafés.'
    assert found[2]["input"] == "" and "bob@corp-mail.de" in found[3]["output"]
    run(tmp_path / "a.jsonl", tmp_path / "b.jsonl", ("pii-email",))
    assert lines(tmp_path / "b.jsonl")[3]["output"] == "Write to [EMAIL] soon."


def test_a_repair_that_makes_a_duplicate_is_followed_by_its_removal(write, tmp_path) -> None:
    rows = [says("The integral of x² is known."), says("The integral of xÂ² is known.")]
    ledger = run(write(rows), tmp_path / "a.jsonl")
    assert [(row, reason.name) for row, _, reason in ledger.aside] == [(2, "duplicate")]


def test_the_first_row_that_is_kept_is_kept(write, tmp_path: Path) -> None:
    rows = [says("TODO"), says("TODO"), says("Done it is."), says("Done it is.")]
    ledger = run(write(rows), None)
    names = [(row, reason.name) for row, _, reason in ledger.aside]
    assert names == [(1, "placeholder-answer"), (2, "placeholder-answer"), (4, "duplicate")]


def test_leaked_rows_are_set_aside(write, tmp_path: Path) -> None:
    rows = [says("It is so.", f"What is said of number {n}?") for n in range(3)]
    held = write([{"question": "What is said of number 1?", "answer": "no"}], "held.jsonl")
    ledger = run(write(rows), None, held_out=find_sources([str(held)], Path()))
    assert [(row, reason.name) for row, _, reason in ledger.aside] == [(2, "leakage")]


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_other_forms_of_output(ending, write, tmp_path: Path) -> None:
    rows = [says(f"The answer, é {n}", f'What, "{n}"?') for n in range(3)]
    out = tmp_path / f"a.{ending}"
    run(write([*rows, rows[0]]), out)
    again = run(out, tmp_path / f"b.{ending}")
    assert again.rows == again.written == 3
    assert out.read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    if ending == "json":
        assert json.loads(out.read_text(encoding="utf-8")) == rows


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
def test_interrupted_it_leaves_nothing(error, write, tmp_path: Path, monkeypatch) -> None:
    path = write(sick())
    before = sorted(tmp_path.iterdir())

    class Breaks(cleaning.Rows):
        def write(self, *arguments) -> None:
            super().write(*arguments)
            if self._count == 20:
                raise error

    monkeypatch.setattr(cleaning, "Rows", Breaks)
    with pytest.raises(error):
        run(path, tmp_path / "a.jsonl")
    assert sorted(tmp_path.iterdir()) == before


def test_a_row_lost_is_an_error(write, tmp_path: Path, monkeypatch) -> None:
    def loses(*arguments):
        found = list(original(*arguments))
        yield from (*found[:3], *found[4:])

    original = cleaning.decisions
    monkeypatch.setattr(cleaning, "decisions", loses)
    with pytest.raises(UnaccountedRowError, match="row 4"):
        run(write(sick()), tmp_path / "a.jsonl")
    assert not (tmp_path / "a.jsonl").exists()
