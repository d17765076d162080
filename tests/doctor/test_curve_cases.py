"""Each rule has a log and the findings that it must give: tests/doctor/cases/<rule>.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ftspec.doctor.curves.rules import CURVE_RULES
from ftspec.spec.render import render

CASES = sorted((Path(__file__).parent / "cases").glob("*.md"))
BLOCK = re.compile(r"```(jsonl|json|text)\n(.*?)```\n", re.DOTALL)
HEADINGS = (
    "What it finds",
    "Why it matters",
    "Evidence it needs",
    "Example",
    "What to do",
    "References",
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_case_gives_its_findings(case: Path, diagnosed) -> None:
    blocks = dict(BLOCK.findall(case.read_text()))
    log = blocks.get("jsonl") or blocks["json"]
    shown = "\n\n".join(render(finding) for finding in diagnosed(log).findings) + "\n"
    assert shown == blocks["text"]


@pytest.mark.parametrize("rule", CURVE_RULES, ids=lambda rule: rule.name)
def test_the_rule_has_a_case_and_a_page(rule) -> None:
    stems = [case.stem for case in CASES]
    assert rule.name in stems
    assert f"[{rule.code}]" in (CASES[stems.index(rule.name)]).read_text()
    positions = [rule.page.index(f"\n{heading}\n") for heading in HEADINGS]
    assert positions == sorted(positions)
    assert rule.summary.endswith(".")


def test_codes_and_names_are_unique() -> None:
    assert len({rule.code for rule in CURVE_RULES}) == len(CURVE_RULES)
    assert len({rule.name for rule in CURVE_RULES}) == len(CURVE_RULES)
