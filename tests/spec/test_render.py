"""Rendering: the line, the caret, the hint; and nothing that could upset a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftspec.spec.finding import Finding, Place, Severity, worst
from ftspec.spec.parse import parse
from ftspec.spec.render import MAX_LINE, no_paint, printable, render


def finding(place: Place | None = None, **more: object) -> Finding:
    return Finding("FT999", "a-name", "a title", Severity.ERROR, place=place, **more)  # type: ignore[arg-type]


def test_the_shape() -> None:
    place = Place("a.yaml", 10, 3, 10, 7)
    text = "\n" * 9 + "a: bcde\n"
    shown = render(finding(place, found="what is there", help="type this\nor that"), text)
    assert shown == (
        "error[FT999]: a title\n"
        "  --> a.yaml:10:3\n"
        "   |\n"
        "10 | a: bcde\n"
        "   |   ^^^^ what is there\n"
        "   = help: type this\n"
        "   =       or that"
    )


def test_without_a_place() -> None:
    assert render(finding(found="x", help="y")) == ("error[FT999]: a title\n  = x\n  = help: y")


def test_a_span_over_several_lines_is_marked_on_the_first() -> None:
    shown = render(finding(Place("a", 1, 3, 3, 2)), "abcd\nef\ngh\n")
    assert shown.splitlines()[3:] == ["1 | abcd", "  |   ^^"]


def test_a_place_past_the_text_has_no_line() -> None:
    shown = render(finding(Place("a", 9, 1, 9, 2), found="gone"), "x\n")
    assert shown.splitlines()[1:] == [" --> a:9:1", "  = gone"]


@pytest.mark.parametrize(("before", "cells"), [("ab", 2), ("模型", 4), ("e\u0301", 1), ("\t", 1)])
def test_the_caret_stands_under_wide_letters(before: str, cells: int) -> None:
    column = len(before) + 1
    shown = render(finding(Place("a", 1, column, 1, column + 1)), before + "x\n")
    assert shown.splitlines()[-1] == "  | " + " " * cells + "^"


def test_a_long_line_is_cut_around_the_caret() -> None:
    text = "a" * 500 + "HERE" + "b" * 500
    lines = render(finding(Place("a", 1, 501, 1, 505)), text).splitlines()
    shown, marks = lines[-2][4:], lines[-1][4:]
    assert len(shown) <= MAX_LINE + 2
    assert shown[marks.index("^") : marks.rindex("^") + 1] == "HERE"


def test_colours_are_a_painter_s_business() -> None:
    styles: list[str] = []

    def paint(text: str, style: str) -> str:
        styles.append(style)
        return text

    item = finding(Place("a", 1, 1, 1, 2), found="f", help="h")
    assert render(item, "abc", paint) == render(item, "abc", no_paint)
    assert {"bold red", "bold", "blue", "bold green"} <= set(styles)


def test_control_characters_reach_no_terminal() -> None:
    parsed = parse('"\\e[31mred\\n": 1\nmodel: "\\x07"\nmethod: "\\e]0;x\\a"\n', "a\x1b[0m.yaml")
    for item in parsed.findings:
        shown = render(item, parsed.source.text)
        assert shown == "\n".join(map(printable, shown.split("\n")))


@given(st.text())
def test_printable_keeps_the_number_of_characters(text: str) -> None:
    assert len(printable(text)) == len(text)
    assert printable(text).isprintable()


def test_the_worst_finding_counts() -> None:
    mild = Finding("FT1", "a", "b", Severity.INFO)
    assert worst([]) is None
    assert worst([mild, finding()]) is Severity.ERROR
    assert Severity.WARNING.at_least(Severity.INFO)
    assert not Severity.INFO.at_least(Severity.WARNING)


def test_findings_as_json() -> None:
    parsed = parse("model: gpt2\nmethod: {type: full, r: 4}\ntrain: {epochs: .nan}\n", "a.yaml")
    adapter, nan = (item.as_json() for item in parsed.findings)
    assert adapter["code"] == "FT110"
    assert adapter["route"] == ["method", "r"]
    assert (adapter["line"], adapter["column"], adapter["end_column"]) == (2, 22, 23)
    assert adapter["prescriptions"][0]["patch"] == [
        {"path": "method.type", "from": "full", "to": "lora"}
    ]
    assert nan["evidence"]["value"] == "nan"
