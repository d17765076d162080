"""Every rule on data: what it finds, what comes near, and that its page is whole."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter

import pytest
from data_cases import CASES, GOOD, says

from ftspec.doctor.data.catalogue import DATA_RULES, RULES
from ftspec.doctor.data.fixes import FIXES

HEADINGS = (
    "What it finds",
    "Why it matters",
    "Evidence it needs",
    "Example",
    "What to do",
    "References",
)


def of(checked, name):
    return next((f for f in checked.findings if f.name == name), None)


@pytest.mark.parametrize(
    ("name", "row"), [(name, row) for name, (found, _) in CASES.items() for row in found]
)
def test_a_row_at_fault_is_found(name, row, checked) -> None:
    finding = of(checked([row]), name)
    assert finding is not None
    assert finding.evidence["rows"] == [1] and finding.evidence["count"] == 1
    assert finding.help


@pytest.mark.parametrize(
    ("name", "row"), [(name, row) for name, (_, near) in CASES.items() for row in near]
)
def test_a_row_that_comes_near_is_not(name, row, checked) -> None:
    assert of(checked([row]), name) is None


def test_every_broken_row_has_its_place(checked) -> None:
    finding = of(checked([GOOD[0], '{"text": }', GOOD[0], '{"text": "a"']), "invalid-json")
    assert finding.evidence["places"] == [
        {"row": 2, "line": 2, "column": 10},
        {"row": 4, "line": 4, "column": 13},
    ]


def test_good_rows_are_good(checked) -> None:
    for row in GOOD:
        assert {f.name for f in checked([row]).findings} == {"few-rows"}


def test_every_rule_on_a_row_has_cases() -> None:
    assert {item.rule.name for item in RULES if item.look} == set(CASES)


@pytest.mark.parametrize("rule", DATA_RULES, ids=lambda rule: rule.name)
def test_the_page_of_a_rule(rule) -> None:
    lines = rule.page.splitlines()
    assert [line for line in lines if line in HEADINGS] == list(HEADINGS)
    assert lines[0].endswith(".") and len(lines[0]) < 100


def test_codes_and_names_are_given_once() -> None:
    assert all(rule.code.startswith("FT5") for rule in DATA_RULES)
    for of_rules in (Counter(r.code for r in DATA_RULES), Counter(r.name for r in DATA_RULES)):
        assert set(of_rules.values()) == {1}


def test_fixes_are_of_rules() -> None:
    assert set(FIXES) <= {rule.name for rule in DATA_RULES}


def test_samples_are_masked_however_they_are_cut(checked) -> None:
    private = "bob@corp-mail.de 4111 1111 1111 1111 DE89370400440532013000 +44 7700 900123 "
    rows = [says(f"{'x' * pad} {private * 3}N/A \x01 &amp; xÂ²") for pad in range(0, 120, 7)]
    found = checked(rows).findings
    assert len(found) > 6
    for finding in found:
        shown = str(finding.evidence.get("samples")) + finding.found + finding.title
        for secret in ("corp-mail", "1111", "3704", "900123", "b@c"):
            assert secret not in shown, (finding.name, shown)


def test_an_address_of_a_reserved_domain_is_information(checked) -> None:
    finding = of(checked([says("Write to user@example.com for more.")]), "pii-email")
    assert finding.severity.value == "info"
    rows = [says("Write to user@example.com for more."), says("Write to user@corp-mail.de now.")]
    finding = of(checked(rows), "pii-email")
    assert finding.severity.value == "warning"
    assert finding.evidence["kinds"] == {"real": 1, "reserved": 1}


def test_without_ftfy_it_says_what_was_not_looked_for(checked, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = checked([says("The integral of xÂ² from 0 to 4.")])
    assert of(found, "mojibake") is None
    assert "pip install ftfy" in found.lacking[0]
