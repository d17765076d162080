"""Readers of data: every kind of file, what is broken in it and where, and hub ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import rows_of, write_rows

from ftspec.compiler.facts import data
from ftspec.compiler.facts.data import DataUnreadableError, read_rows, resolve_data

ROWS = rows_of("prompt-completion", 5)


@pytest.mark.parametrize("ending", ["json", "jsonl", "ndjson", "csv", "parquet", "JSONL"])
def test_every_kind_of_file_gives_the_same_rows(ending: str, tmp_path: Path) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow writes Parquet")
    like = {"ndjson": "jsonl", "JSONL": "jsonl"}.get(ending, ending)
    write_rows(tmp_path / f"rows.{like}", ROWS).rename(tmp_path / f"rows.{ending}")
    facts = resolve_data([f"rows.{ending}"], tmp_path)
    assert list(facts.sample) == ROWS
    assert facts.kind == {"csv": "csv", "parquet": "parquet"}.get(like, "json")
    assert (facts.rows, facts.format) == (5, "prompt-completion")
    assert facts.columns == {"prompt": "prompt", "completion": "completion"}
    assert facts.digest and len(facts.digest) == 64


def test_parquet_without_pyarrow_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> Any:
        raise ImportError("No module named 'pyarrow'")
        yield

    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(data, "_parquet_rows", missing)
    facts = resolve_data(["rows.parquet"], tmp_path, "alpaca")
    assert facts.rows is None and facts.format == "alpaca"
    assert "pip install" in facts.note


BROKEN = [
    ("x.jsonl", b'{"prompt": "a", "completion": "b"}\n\n{"prompt": \n', "line 3 is not JSON"),
    ("x.jsonl", b'{"prompt": "a"}\n[1]\n', "line 2 is not a JSON object"),
    ("x.jsonl", b'{"prompt": "a"}\n3\n', "line 2 is not a JSON object"),
    ("x.jsonl", b'{"prompt": "a"}\n"\xff"\n', "is not UTF-8 text, first on line 2"),
    ("x.jsonl", b'{"prompt": ' + b"[" * 100_000, "line 1 is not JSON"),
    ("x.jsonl", b'{"prompt": ' + b"9" * 5000 + b"}", "line 1 is not JSON"),
    ("x.json", b'[{"prompt": "a"}, 3]', "entry 2 is not a JSON object"),
    ("x.json", b'[{"prompt": "a"}', "is not JSON"),
    ("x.json", b"[]", "holds no rows"),
    ("x.json", b"", "holds no rows"),
    ("x.json", b" \n\n ", "holds no rows"),
    ("x.csv", b"prompt,completion\na,b\na,b,c\n", "line 3 has more fields"),
    ("x.csv", b"prompt,completion\n", "holds no rows"),
    ("x.csv", b"", "holds no rows"),
    ("x.csv", b"\xff\xfe", "is not UTF-8 text, first on line 1"),
    ("x.parquet", b"PAR1 no", "is not Parquet"),
    ("x.txt", b"hello", "ends in none of .json"),
    ("x", b"hello", "ends in none of .json"),
]


@pytest.mark.parametrize(("name", "content", "words"), BROKEN)
def test_what_is_broken_is_said_with_its_line(
    name: str, content: bytes, words: str, tmp_path: Path
) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow reads Parquet")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataUnreadableError, match=words) as caught:
        resolve_data([name], tmp_path)
    assert name in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    for name, content in (
        ("x.jsonl", '{"prompt": "a", "completion": "é"}\r\n'),
        ("x.json", '[{"prompt": "a", "completion": "é"}]'),
        ("x.csv", "prompt,completion\r\na,é\r\n"),
    ):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content.encode())
        facts = resolve_data([name], tmp_path)
        assert facts.sample == ({"prompt": "a", "completion": "é"},)


def test_lines_end_with_newlines_alone(tmp_path: Path) -> None:
    rows = [{"prompt": "a\u2028b", "completion": "c\x85\x0bd"}, {"prompt": "e", "completion": "f"}]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "x.jsonl").write_text(text, encoding="utf-8", newline="")
    assert list(resolve_data(["x.jsonl"], tmp_path).sample) == rows


def test_a_csv_cell_may_hold_lines_and_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('prompt,completion\n"a\n""b""",c\nd\n')
    rows = resolve_data(["x.csv"], tmp_path).sample
    assert rows == ({"prompt": 'a\n"b"', "completion": "c"}, {"prompt": "d", "completion": None})


def test_globs_and_lists_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for number, name in enumerate(["b.jsonl", "a.jsonl", "sub/c.jsonl"]):
        write_rows(tmp_path / name, rows_of("text", number + 1))
    facts = resolve_data(["*.jsonl"], tmp_path)
    assert [path.name for path in facts.files] == ["a.jsonl", "b.jsonl"] and facts.rows == 3
    deep = resolve_data(["**/*.jsonl"], tmp_path)
    assert [path.name for path in deep.files] == ["a.jsonl", "b.jsonl", "c.jsonl"]
    several = resolve_data(["sub/c.jsonl", "a.jsonl"], tmp_path)
    assert [path.name for path in several.files] == ["c.jsonl", "a.jsonl"]
    assert several.digest != resolve_data(["a.jsonl", "sub/c.jsonl"], tmp_path).digest


def test_a_name_may_hold_the_characters_of_a_glob(tmp_path: Path) -> None:
    write_rows(tmp_path / "train[1].jsonl", ROWS)
    assert resolve_data(["train[1].jsonl"], tmp_path).rows == 5


def test_the_digest_is_the_content_s(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", ROWS)
    write_rows(tmp_path / "b.jsonl", ROWS)
    write_rows(tmp_path / "c.jsonl", ROWS[:4])
    first, same, other = (resolve_data([f"{n}.jsonl"], tmp_path).digest for n in "abc")
    assert first == same != other


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nothing.jsonl", "there is no file `nothing.jsonl`"),
        ("./nothing", "there is no file `./nothing`"),
        ("/nothing", "there is no file `/nothing`"),
        ("a/b/c", "there is no file `a/b/c`"),
        ("*.csv", "no file matches"),
        ("folder", "is a folder; name its files"),
    ],
)
def test_what_is_not_there_is_said(source: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataUnreadableError) as caught:
        resolve_data([source], tmp_path)
    assert words in str(caught.value)


def test_files_of_several_kinds_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", ROWS)
    write_rows(tmp_path / "b.csv", ROWS)
    with pytest.raises(DataUnreadableError, match="several kinds .csv, json."):
        resolve_data(["a.jsonl", "b.csv"], tmp_path)


@pytest.mark.parametrize(
    ("source", "hub", "split"),
    [
        ("squad", "squad", "train"),
        ("tatsu-lab/alpaca", "tatsu-lab/alpaca", "train"),
        ("tatsu-lab/alpaca:test", "tatsu-lab/alpaca", "test"),
        ("a/b:train[:10%]", "a/b", "train[:10%]"),
    ],
)
def test_hub_ids(source: str, hub: str, split: str, tmp_path: Path) -> None:
    facts = resolve_data([source], tmp_path, "alpaca")
    assert (facts.kind, facts.hub, facts.split) == ("hub", hub, split)
    assert facts.rows is None and facts.format == "alpaca"


def test_columns_of_other_names(tmp_path: Path) -> None:
    write_rows(tmp_path / "x.jsonl", [{"q": "a", "a": "b", "more": "c"}])
    facts = resolve_data(["x.jsonl"], tmp_path, "alpaca", {"instruction": "q", "output": "a"})
    assert facts.columns == {"instruction": "q", "output": "a"}
    guessed = resolve_data(["x.jsonl"], tmp_path, None, {"instruction": "q", "output": "a"})
    assert guessed.format == "alpaca"


@pytest.mark.parametrize(
    ("format", "columns", "words"),
    [
        ("alpaca", {"instruction": "ask"}, "has no column `ask`; it has q, a"),
        ("alpaca", {"instruction": "q"}, "has no column `output`, which `alpaca` needs"),
        ("text", None, "has no column `text`, which `text` needs"),
        (None, None, "the columns q, a are of no known format"),
    ],
)
def test_columns_that_lack_are_named(
    format: str | None, columns: dict[str, str] | None, words: str, tmp_path: Path
) -> None:
    write_rows(tmp_path / "x.jsonl", [{"q": "a", "a": "b"}])
    with pytest.raises(DataUnreadableError) as caught:
        resolve_data(["x.jsonl"], tmp_path, format, columns)
    assert words in str(caught.value)


def test_a_field_that_the_first_row_lacks_is_found(tmp_path: Path) -> None:
    write_rows(tmp_path / "x.jsonl", [{"instruction": "a", "output": "b"}])
    with (tmp_path / "x.jsonl").open("a") as file:
        file.write('{"instruction": "a", "input": "c", "output": "b"}\n')
    columns = resolve_data(["x.jsonl"], tmp_path).columns
    assert columns == {"instruction": "instruction", "input": "input", "output": "output"}


@given(st.binary(max_size=60), st.sampled_from(["json", "csv"]))
@settings(max_examples=300, deadline=None)
def test_any_content_gives_rows_or_a_reason(content: bytes, kind: str) -> None:
    try:
        rows = list(read_rows(content, kind, "x"))
    except DataUnreadableError as error:
        assert "`x`" in str(error)
    else:
        assert all(isinstance(row, dict) for row in rows)
