"""Each rule has a literate case file: a spec, the findings exactly as rendered, and a near miss."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.parse import Parsed, parse
from ftspec.spec.render import render
from ftspec.spec.rule import Rule
from ftspec.spec.rules.catalogue import ALL_RULES
from ftspec.spec.rules.shape import no_data

CASES = Path(__file__).parent / "cases"
HEADINGS = (
    "What it finds",
    "Why it matters",
    "Evidence it needs",
    "Example",
    "What to do",
    "References",
)
BY_NAME = {rule.name: rule for rule in ALL_RULES}
_BLOCK = re.compile(r"^(Found|No finding):\n\n```yaml ?(.*)\n((?:.*\n)*?)```\n", re.MULTILINE)
_ANSWER = re.compile(r"\n```text\n((?:.*\n)*?)```\n")


@dataclass(frozen=True)
class Case:
    """A spec in a case file; `answer` is the span of what is expected, None for a near miss."""

    path: Path
    number: int
    spec: bytes
    expected: str | None
    answer: tuple[int, int] | None

    @property
    def rule(self) -> Rule[Any]:
        return BY_NAME[self.path.stem]


def cases(path: Path) -> list[Case]:
    text = path.read_text(encoding="utf-8")
    found = []
    for number, block in enumerate(_BLOCK.finditer(text), start=1):
        answer = _ANSWER.match(text, block.end()) if block[1] == "Found" else None
        found.append(
            Case(
                path,
                number,
                source(block[2], block[3]),
                answer[1] if answer else None,
                answer.span(1) if answer else None,
            )
        )
    return found


def source(how: str, block: str) -> bytes:
    """A block as it stands, with Python's escapes (`escaped`), or `repeated` a number of times."""
    if how == "escaped":
        return block.removesuffix("\n").encode().decode("unicode_escape").encode("latin-1")
    if how.startswith("repeated "):
        return block.encode() * int(how.split()[1])
    assert not how, f"unknown kind of block: {how}"
    return block.encode()


def findings(parsed: Parsed) -> Iterator[Finding]:
    yield from parsed.findings
    if parsed.spec is not None and parsed.spec.data.train is None:
        yield from (parsed.placed(finding) for finding in no_data.find(False))


def answer_to(case: Case) -> tuple[str, list[Finding]]:
    parsed = parse(case.spec, "ftspec.yaml")
    found = list(findings(parsed))
    return "".join(render(item, parsed.source.text) + "\n" for item in found), found


ALL_CASES = [case for path in sorted(CASES.glob("*.md")) for case in cases(path)]


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: f"{case.path.stem}-{case.number}")
def test_case(case: Case, update_golden: bool) -> None:
    rendered, found = answer_to(case)
    names = [item.name for item in found]
    if case.answer is None:
        assert case.rule.name not in names
        return
    assert case.rule.name in names
    if update_golden:
        rewrite(case.path)
        return
    assert rendered == case.expected


def rewrite(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for case in reversed(cases(path)):
        if case.answer is not None:
            start, end = case.answer
            text = text[:start] + answer_to(case)[0] + text[end:]
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: f"{case.path.stem}-{case.number}")
def test_a_finding_says_where_and_what_to_type(case: Case) -> None:
    for item in answer_to(case)[1]:
        assert item.place is not None
        assert item.help, f"{item.code} has no hint"
        assert not re.search(r"!$|\b(please|we|I)\b", item.title)
        assert not item.title.endswith(".")


def test_every_rule_has_a_found_case_and_a_near_miss() -> None:
    for name in BY_NAME:
        own = cases(CASES / f"{name}.md")
        assert any(case.answer for case in own), f"{name} has no finding in its case file"
        assert any(case.answer is None for case in own), f"{name} has no near miss"
    assert {path.stem for path in CASES.glob("*.md")} == set(BY_NAME)


def test_codes_and_names_are_unique_and_in_order() -> None:
    codes = [rule.code for rule in ALL_RULES]
    assert len(set(codes)) == len(codes)
    assert len(BY_NAME) == len(ALL_RULES)
    fields = [code for code in codes if code >= "FT110"]
    assert fields == [f"FT{number}" for number in range(110, 110 + len(fields))]


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.name)
def test_page(rule: Rule[Any]) -> None:
    module = sys.modules[rule.find.__module__]
    assert rule.name == module.__name__.rpartition(".")[2].replace("_", "-")
    assert rule.summary.endswith(".")
    lines = rule.page.splitlines()
    assert [line for line in lines if line and not line[0].isspace()] == [rule.summary, *HEADINGS]


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.name)
def test_the_page_s_example_is_an_example(rule: Rule[Any]) -> None:
    """The YAML in a page is a piece of a spec: completed, it raises the rule."""
    block = re.search(r"```yaml\n(.*?)\n\s*```", rule.page, re.DOTALL)
    if block is None:
        assert rule.name in ("empty-spec", "not-text", "too-deep", "too-large")
        return
    if rule.name == "too-many-nodes":
        return  # the example shows the shape; the case file holds enough of it
    lines = block[1].splitlines()
    width = len(lines[0]) - len(lines[0].lstrip())
    text = "\n".join(line[width:] for line in lines).replace("\\t", "\t") + "\n"
    if rule.severity is Severity.ERROR and rule.code < "FT101":
        names = [item.name for item in parse(text, "ftspec.yaml").findings]
        assert rule.name in names
        return
    if rule.name not in ("missing-key", "no-data", "mixed-forms"):
        for key, line in {"model": "model: gpt2", "method": "method: lora"}.items():
            if not re.search(rf"^{key}:", text, re.MULTILINE):
                text += f"{line}\n"
    assert rule.name in [item.name for item in findings(parse(text, "ftspec.yaml"))]
