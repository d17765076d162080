"""Reading YAML: the 1.2 core schema, positions, and a clear answer to whatever comes."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from strategies import texts

from ftspec.spec.finding import Place
from ftspec.spec.reader import MAX_CHARACTERS, read, resolve
from ftspec.spec.tree import Sequence, Table, descend, place_of, plain, span_of


def data(text: str | bytes) -> Any:
    source = read(text, "spec")
    assert source.findings == ()
    assert source.root is not None
    return plain(source.root)


def names(text: str | bytes) -> list[str]:
    return [finding.name for finding in read(text, "spec").findings]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2e-4", 2e-4),
        ("2E+4", 2e4),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("1_000", "1_000"),
        ("012", 12),
        ("0o14", 12),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("+3", 3),
        ("9" * 30, float("9" * 30)),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("inf", "inf"),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("~", None),
        ("null", None),
        ("", None),
        ("none", "none"),
        ("2024-01-01", "2024-01-01"),
        ("5%", "5%"),
        ("1e", "1e"),
        (".", "."),
        ("-", "-"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_plain_scalars_follow_yaml_1_2(written: str, value: Any) -> None:
    found = resolve(written)
    assert found == value
    assert type(found) is type(value)


def test_nan_is_read() -> None:
    assert math.isnan(data("a: .NaN")["a"])


@pytest.mark.parametrize("written", ['"2e-4"', "'true'", '"~"', "|\n  null\n", '"1"'])
def test_quoted_scalars_are_text(written: str) -> None:
    assert isinstance(data(f"a: {written}")["a"], str)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("\ufeffmodel: gpt2\n", "gpt2"),
        (b"\xef\xbb\xbfmodel: gpt2\n", "gpt2"),
        ("model: gpt2\r\nmethod: lora\r\n", "gpt2"),
        ("# first\n\nmodel: gpt2 # last", "gpt2"),
        ("model: größe/模型-😀\n".encode(), "größe/模型-😀"),
        ("model: gpt2\n".encode("utf-16"), "gpt2"),
        ("---\nmodel: gpt2\n...\n", "gpt2"),
        ('{"model": "gpt2"}', "gpt2"),
        ("%YAML 1.2\n---\nmodel: gpt2\n", "gpt2"),
    ],
)
def test_texts_that_are_fine(text: str | bytes, value: str) -> None:
    assert data(text)["model"] == value


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "empty-spec"),
        ("\n \n", "empty-spec"),
        ("\ufeff", "empty-spec"),
        ("# only a comment\n", "empty-spec"),
        ("---\n", "empty-spec"),
        ("~", "empty-spec"),
        ("model:\n\tname: gpt2\n", "tab-indentation"),
        ("model:\n  name: gpt2\n\tdtype: float32\n", "tab-indentation"),
        ("model: gpt2\x00", "not-text"),
        ("model: gpt2\x1b[31m", "not-text"),
        (b"model: \xff", "not-text"),
        (b"\xff\xfem", "not-text"),
        ("model: '", "broken-yaml"),
        ("model: @x", "broken-yaml"),
        ("model: gpt2\t# a tab before the comment\n", "broken-yaml"),
        ("model: {", "broken-yaml"),
        ("a: b: c", "broken-yaml"),
        ("a\nb: c", "broken-yaml"),
        ("a: &x.y 1", "broken-yaml"),
        ("a: *b", "unknown-anchor"),
        ("a: *.csv", "unknown-anchor"),
        ("a: &x [*x]", "unknown-anchor"),
        ("a: !!int 3", "yaml-tag"),
        ("a: !x 3", "yaml-tag"),
        ("a: !!set {b, c}", "yaml-tag"),
        ("a: 1\na: 2", "duplicate-key"),
        ('{a: 1, "a": 2}', "duplicate-key"),
        ("? [a, b]\n: 1", "key-not-text"),
        ("~: 1", "key-not-text"),
        ("true: 1", "key-not-text"),
        ("a: 1\n---\nb: 1", "several-documents"),
        ("- a", "not-a-mapping"),
        ("a", "not-a-mapping"),
    ],
)
def test_texts_that_are_not(text: str | bytes, name: str) -> None:
    assert names(text) == [name]


def test_all_duplicates_are_told_at_once() -> None:
    assert names("a: {x: 1, x: 2}\nb: 1\nb: 2\nb: 3\n") == ["duplicate-key"] * 3


@pytest.mark.parametrize("text", ["[" * 2**20, "{a: " * 2**18, "a: " + "[" * 200_000])
def test_a_megabyte_of_brackets_is_answered_at_once(text: str) -> None:
    begin = time.perf_counter()
    assert names(text) == ["too-large"] if len(text) > MAX_CHARACTERS else ["too-deep"]
    assert time.perf_counter() - begin < 2


def test_block_nesting_has_a_limit_too() -> None:
    text = "".join(f"{' ' * depth}a:\n" for depth in range(500))
    assert names(text) == ["too-deep"]


def test_anchors_cannot_explode() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    begin = time.perf_counter()
    assert names("\n".join(lines)) == ["too-many-nodes"]
    assert time.perf_counter() - begin < 2


def test_a_page_of_anchors_is_fine() -> None:
    assert data("a: &x {b: [1, 2]}\nc: *x\n") == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}


def test_a_merge_key_is_a_key_like_any_other() -> None:
    assert data("a: &x {b: 1}\nc: {<<: *x}\n")["c"] == {"<<": {"b": 1}}


TEXT = """\
# a comment
model: gpt2
method:
  type: lora
  target_modules: [q_proj, "v_proj"]
data: {train: größe.jsonl,
       eval: 5%}
"""


@pytest.mark.parametrize(
    ("route", "at_key", "place"),
    [
        (("model",), False, (2, 8, 2, 12)),
        (("model",), True, (2, 1, 2, 6)),
        (("method",), False, (3, 1, 3, 7)),
        (("method", "type"), False, (4, 9, 4, 13)),
        (("method", "r"), False, (3, 1, 3, 7)),
        (("method", "target_modules", 1), False, (5, 28, 5, 36)),
        (("method", "target_modules", 7), False, (5, 3, 5, 17)),
        (("data", "train"), False, (6, 15, 6, 26)),
        (("data", "eval"), False, (7, 14, 7, 16)),
    ],
)
def test_routes_lead_to_places(
    route: tuple[str | int, ...], at_key: bool, place: tuple[int, int, int, int]
) -> None:
    root = read(TEXT, "spec").root
    assert root is not None
    assert place_of(TEXT, "spec", span_of(root, route, at_key=at_key)) == Place("spec", *place)


def test_a_route_is_followed_as_far_as_it_goes() -> None:
    root = read(TEXT, "spec").root
    assert isinstance(root, Table)
    entry, node, followed = descend(root, ("method", "target_modules", 0, "more"))
    assert entry is None
    assert isinstance(descend(root, ("method", "target_modules"))[1], Sequence)
    assert (plain(node), followed) == ("q_proj", 3)


def test_an_alias_stands_where_it_is_written() -> None:
    text = "model: &x gpt2\noutput: *x\n"
    root = read(text, "spec").root
    assert root is not None
    assert place_of(text, "s", span_of(root, ("output",), at_key=False)).line == 2


@given(texts())
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_a_tree_or_a_finding(text: str | bytes) -> None:
    source = read(text, "spec")
    assert source.root is not None or source.findings
    lines = source.text.count("\n") + 1
    for finding in source.findings:
        assert finding.place is not None
        assert 1 <= finding.place.line <= lines
