"""`ftspec explain`, and that every rule of every part has its page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from commands import Ftspec

from ftspec.cli.explain import every_rule
from ftspec.cli.topics import TOPICS
from ftspec.spec.rule import Rule

HEADINGS = (
    "What it finds",
    "Why it matters",
    "Evidence it needs",
    "Example",
    "What to do",
    "References",
)
SERIES = {"spec": "01", "compiler": "123", "runtime": "3", "doctor": "45"}


def part(rule: Rule[Any]) -> str:
    return rule.find.__module__.split(".")[1]


def test_codes_are_unique_and_names_but_one_are_too() -> None:
    rules = every_rule()
    codes = [rule.code for rule in rules]
    assert len(codes) == len(set(codes))
    names = [rule.name for rule in rules]
    assert {name for name in names if names.count(name) > 1} == {"wrong-type"}  # of specs, of rows
    assert {part(rule) for rule in rules} == set(SERIES)


def test_a_name_of_two_rules_shows_both(ftspec_: Ftspec) -> None:
    answer = ftspec_("explain", "wrong-type")
    assert "FT102" in answer.out
    assert "FT5" in answer.out


@pytest.mark.parametrize("rule", every_rule(), ids=lambda rule: rule.name)
def test_every_rule_has_a_page(rule: Rule[Any], ftspec_: Ftspec) -> None:
    assert re.fullmatch(r"FT\d{3}", rule.code)
    assert rule.code[2] in SERIES[part(rule)]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
    assert rule.summary.endswith(".")
    headings = [line for line in rule.page.splitlines() if line in HEADINGS]
    assert tuple(headings) == HEADINGS
    for heading in HEADINGS:
        body = rule.page.split(f"\n{heading}\n")[1].split("\n")[0]
        assert body.startswith("    ") and body.strip(), f"{heading} says nothing"
    answer = ftspec_("explain", rule.code)
    assert answer.code == 0
    head = f"{rule.code} {rule.name} ({rule.severity.value})\n\n{rule.summary}\n"
    assert answer.out.startswith(head)


def test_a_name_or_a_code_in_any_case(ftspec_: Ftspec) -> None:
    pages = {ftspec_("explain", word).out for word in ("FT101", "ft101", "unknown-key", " Ft101 ")}
    assert len(pages) == 1
    assert ftspec_("explain", "Unknown-Key").code == 0


def test_an_unknown_rule_names_the_nearest(ftspec_: Ftspec) -> None:
    answer = ftspec_("explain", "unknwon-key")
    assert (answer.code, answer.out) == (2, "")
    assert "No rule `unknwon-key`. Did you mean `unknown-key`?" in answer.err
    assert "`ftspec explain` lists all" in ftspec_("explain", "zzz").err


def test_without_a_code_all_are_listed(ftspec_: Ftspec) -> None:
    lines = ftspec_("explain").out.splitlines()
    topics = [["topic", name] for name in TOPICS]
    rules = [[rule.code, rule.name] for rule in every_rule()]
    assert [line.split()[:2] for line in lines] == rules + topics


def test_a_topic_has_a_page_and_stands_in_the_list(ftspec_: Ftspec) -> None:
    assert "few examples" in ftspec_("explain", "when-to-fine-tune").out
    assert "when-to-fine-tune" in ftspec_("explain").out
