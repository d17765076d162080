"""Each of the compiler's rules has a literate case file: a spec, what is found, a near miss.

The specs lie in the folder of `tests/world.py`; cards are named in them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from machines import CPU

from ftspec.compiler.facts.gpus import find_gpu
from ftspec.compiler.facts.hardware import Hardware, named
from ftspec.compiler.pipeline import compile_spec
from ftspec.compiler.rules.catalogue import FACT_RULES
from ftspec.spec.finding import Finding
from ftspec.spec.parse import parse
from ftspec.spec.render import render
from ftspec.spec.rule import Rule
from ftspec.spec.rules.catalogue import ALL_RULES

# What is detected where a case needs more than the CPU that the others stand on.
A100 = find_gpu("a100-80gb")
assert A100 is not None
INSTINCT = Hardware((), 64 * 2**30, 8, unmeasured=("AMD Instinct MI300X (192.0 GiB of its own)",))
DETECTED = {"effective-batch-lost": named(A100, 3), "unmeasured-hardware": INSTINCT}
CASES = Path(__file__).parent / "cases"
BY_NAME = {rule.name: rule for rule in FACT_RULES}
HEADINGS = (
    "What it finds",
    "Why it matters",
    "Evidence it needs",
    "Example",
    "What to do",
    "References",
)
_BLOCK = re.compile(r"^(Found|No finding):\n\n```yaml\n((?:.*\n)*?)```\n", re.MULTILINE)
_ANSWER = re.compile(r"\n```text\n((?:.*\n)*?)```\n")


@dataclass(frozen=True)
class Case:
    """A spec in a case file; `answer` is the span of what is expected, None for a near miss."""

    path: Path
    number: int
    spec: str
    expected: str | None
    answer: tuple[int, int] | None


def cases(path: Path) -> Iterator[Case]:
    text = path.read_text(encoding="utf-8")
    for number, block in enumerate(_BLOCK.finditer(text), start=1):
        answer = _ANSWER.match(text, block.end()) if block[1] == "Found" else None
        expected, span = (answer[1], answer.span(1)) if answer else (None, None)
        yield Case(path, number, block[2], expected, span)


ALL_CASES = [case for path in sorted(CASES.glob("*.md")) for case in cases(path)]


def findings(case: Case, world: Path) -> tuple[str, list[Finding]]:
    parsed = parse(case.spec, "ftspec.yaml")
    assert parsed.spec is not None, [item.title for item in parsed.findings]
    hardware = DETECTED.get(case.path.stem, CPU)
    found = list(compile_spec(parsed, world, hardware, project=world / "project").findings)
    return "".join(render(item, _text(item, case)) + "\n" for item in found), found


def _text(finding: Finding, case: Case) -> str | None:
    """Return the text that a finding's place is in, where it is the spec's."""
    here = finding.place is None or finding.place.file == "ftspec.yaml"
    return case.spec if here else None


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: f"{case.path.stem}-{case.number}")
def test_case(case: Case, world: Path, update_golden: bool) -> None:
    rendered, found = findings(case, world)
    names = [item.name for item in found]
    if case.answer is None:
        assert case.path.stem not in names
        return
    assert case.path.stem in names
    if update_golden:
        text = case.path.read_text(encoding="utf-8")
        now = next(again for again in cases(case.path) if again.number == case.number)
        assert now.answer is not None
        start, end = now.answer
        case.path.write_text(text[:start] + rendered + text[end:], encoding="utf-8")
        return
    assert rendered == case.expected


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: f"{case.path.stem}-{case.number}")
def test_a_finding_says_where_and_what_to_type(case: Case, world: Path) -> None:
    for item in findings(case, world)[1]:
        assert item.place is not None or not item.route, f"{item.code} points at nothing"
        assert item.help, f"{item.code} has no hint"
        assert not re.search(r"!$|\b(please|we|I)\b", item.title)
        assert not item.title.endswith(".")


def test_every_rule_has_a_found_case_and_a_near_miss() -> None:
    assert {path.stem for path in CASES.glob("*.md")} == set(BY_NAME)
    for name in BY_NAME:
        own = list(cases(CASES / f"{name}.md"))
        assert any(case.answer for case in own), f"{name} has no finding in its case file"
        assert any(case.answer is None for case in own), f"{name} has no near miss"


def test_codes_and_names_are_unique() -> None:
    every = [*ALL_RULES, *FACT_RULES]
    assert len({rule.code for rule in every}) == len({rule.name for rule in every}) == len(every)


@pytest.mark.parametrize("rule", FACT_RULES, ids=lambda rule: rule.name)
def test_page(rule: Rule[Any]) -> None:
    module = sys.modules[rule.find.__module__]
    assert rule.name == module.__name__.rpartition(".")[2].replace("_", "-")
    assert rule.summary.endswith(".")
    lines = rule.page.splitlines()
    assert [line for line in lines if line and not line[0].isspace()] == [rule.summary, *HEADINGS]
