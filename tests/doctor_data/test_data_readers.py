"""Readers of data: every row with its line, on after a broken one, packed or not."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from ftspec.doctor.data.readers import json_text, read
from ftspec.doctor.data.readers.source import find_sources
from ftspec.doctor.data.record import UnreadableDataError

ROWS = [{"instruction": f"say {n}", "output": f"I say\n{n} é 🙂"} for n in range(5)]


def records(path: Path):
    (source,) = find_sources([str(path)], Path())
    return list(read(source))


def put(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_json_lines_have_rows_and_lines(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in ROWS]
    text = "\ufeff" + lines[0] + "\r\n\n  \n" + "\n".join(lines[1:])
    found = records(put(tmp_path, "a.jsonl", text))
    assert [r.value for r in found] == ROWS
    assert [(r.number, r.line) for r in found] == [(1, 1), (2, 4), (3, 5), (4, 6), (5, 7)]


def test_every_broken_line_is_told_with_its_place(tmp_path: Path) -> None:
    good = json.dumps(ROWS[0]).encode()
    text = b"\n".join([good, b'{"a": }', good, b'{"a": "\xff"}', b'{"a": 1} x', b'{"a": "b', good])
    found = records(put(tmp_path, "a.jsonl", text))
    faults = [(r.number, r.fault.line, r.fault.column) for r in found if r.fault]
    assert faults == [(2, 2, 7), (4, 4, 8), (5, 5, 10), (6, 6, 7)]
    assert "0xFF" in found[3].fault.text
    assert [r.value for r in found if not r.fault] == [ROWS[0]] * 3
    assert found[1].raw == '{"a": }'


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk", [7, 64, 1 << 20])
def test_an_array_is_read_in_pieces(indent, chunk, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(json_text, "CHUNK", chunk)
    text = json.dumps(ROWS, indent=indent, ensure_ascii=False)
    found = records(put(tmp_path, "a.json", text))
    assert [r.value for r in found] == ROWS
    if indent:
        assert [r.line for r in found] == [2, 6, 10, 14, 18]


@pytest.mark.parametrize("chunk", [16, 1 << 20])
def test_an_array_goes_on_after_a_broken_row(chunk, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(json_text, "CHUNK", chunk)
    rows = [json.dumps(row) for row in ROWS]
    rows[1] = rows[1].replace('"output"', 'output"')
    rows[3] = rows[3].replace("}", "")
    found = records(put(tmp_path, "a.json", "[\n" + ",\n".join(rows) + "\n]\n"))
    assert [r.number for r in found if r.fault] == [2, 4]
    assert [r.fault.line for r in found if r.fault] == [3, 6]
    assert [r.value for r in found if not r.fault] == [ROWS[0], ROWS[2], ROWS[4]]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("[]", []),
        ("", []),
        ('{"text": "a"}', [{"text": "a"}]),
        ('{"text":\n "a"}\n{"text": "b"}', [{"text": "a"}, {"text": "b"}]),
        ('{"text": "a"}\n{"text": "b"}\n', [{"text": "a"}, {"text": "b"}]),
        ('[{"text": "a"}, 3, null, "b", [1]]', [{"text": "a"}, 3, None, "b", [1]]),
    ],
)
def test_other_shapes_of_json(text, rows, tmp_path: Path) -> None:
    assert [r.value for r in records(put(tmp_path, "a.json", text))] == rows


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"text": "a"},]', ["a comma too many"]),
        ('[,{"text": "a"}]', ["a comma too many"]),
        ('[{"text": "a"} {"text": "b"}]', ["a comma lacks before this row"]),
        ('[{"text": "a"},, {"text": "b"}]', ["a comma too many"]),
        ('[{"text": "a"}] x', ["has more after the end of the array"]),
        ('[{"text": "a"}, {"text": "b"}]', []),
    ],
)
def test_commas_and_brackets_of_an_array(text, words, tmp_path: Path) -> None:
    found = records(put(tmp_path, "a.json", text))
    assert [r.fault.text for r in found if r.fault] == words
    assert [r.number for r in found] == list(range(1, len(found) + 1))
    assert {"text": "a"} in [r.value for r in found]


def test_an_array_that_is_cut_is_told(tmp_path: Path) -> None:
    text = json.dumps(ROWS)
    for end in (len(text) - 1, len(text) - 20, 30):
        found = records(put(tmp_path, "a.json", text[:end]))
        assert found[-1].fault is not None
        assert [r.value for r in found[:-1]] == ROWS[: len(found) - 1]


def test_what_python_reads_and_json_is_not(tmp_path: Path) -> None:
    found = records(
        put(tmp_path, "a.jsonl", '{"a": NaN}\n{"a": 1}\n{"a": 1e999}\n{"a": -Infinity}')
    )
    assert [r.odd for r in found] == ["NaN", "", "1e999", "-Infinity"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" + "9" * 5000 + "]"])
def test_nesting_and_numbers_beyond_python_are_faults(text, tmp_path: Path) -> None:
    for name in ("a.json", "a.jsonl"):
        found = records(put(tmp_path, name, text))
        assert any(r.fault for r in found)


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["instruction", "output"])
        writer.writeheader()
        writer.writerows(ROWS)
    with path.open("a", encoding="utf-8") as file:
        file.write("one field\na,b,c\n")
    found = records(path)
    assert [r.value for r in found[:5]] == ROWS
    assert [r.line for r in found] == [2, 4, 6, 8, 10, 12, 13]
    assert [r.fault.text for r in found[5:]] == [
        "has 1 fields, the header 2",
        "has 3 fields, the header 2",
    ]


def test_packed_files_are_told_by_their_bytes(tmp_path: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    assert [r.value for r in records(put(tmp_path, "a.jsonl.gz", gzip.compress(text)))] == ROWS
    assert [r.value for r in records(put(tmp_path, "b.jsonl", gzip.compress(text)))] == ROWS
    assert [r.value for r in records(put(tmp_path, "c.jsonl.gz", text))] == ROWS
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.ZstdCompressor().compress(text)
    assert [r.value for r in records(put(tmp_path, "d.jsonl.zst", packed))] == ROWS


def test_a_damaged_packed_file_ends_with_a_broken_row(tmp_path: Path) -> None:
    text = "".join(json.dumps({"text": f"{n}" * 40}) + "\n" for n in range(60_000)).encode()
    packed = gzip.compress(text)
    found = records(put(tmp_path, "a.jsonl.gz", packed[: len(packed) // 2]))
    assert len(found) > 10 and found[-1].fault is not None
    with pytest.raises(UnreadableDataError, match="is damaged"):
        records(put(tmp_path, "b.jsonl.gz", packed[:30]))


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    found = records(tmp_path / "a.parquet")
    assert [r.value for r in found] == ROWS and found[0].line is None
    with pytest.raises(UnreadableDataError, match="no whole Parquet file"):
        records(put(tmp_path, "b.parquet", b"PAR1 and no more"))


def test_globs_and_what_is_no_file(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        put(tmp_path, name, '{"text": "a"}\n')
    found = find_sources([str(tmp_path / "*.jsonl"), str(tmp_path / "a.jsonl")], Path())
    assert [source.path.name for source in found] == ["a.jsonl", "b.jsonl"]
    put(tmp_path, "d.bin", b"\x00\x01")
    for name in ("nope.jsonl", "*.csv", "", "d.bin"):
        with pytest.raises(UnreadableDataError):
            find_sources([str(tmp_path / name)], Path())
