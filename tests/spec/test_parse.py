"""Parsing: valid specs raise nothing, and no input makes a traceback."""

from __future__ import annotations

import json

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import documents, specs, texts

from ftspec.spec.finding import Severity
from ftspec.spec.parse import parse
from ftspec.spec.render import render


@given(specs())
@settings(max_examples=150, deadline=None)
def test_valid_specs_have_no_errors(spec: dict[str, object]) -> None:
    parsed = parse(yaml.safe_dump(spec), "ftspec.yaml")
    assert [item for item in parsed.findings if item.severity is Severity.ERROR] == []
    assert parsed.spec is not None


@given(documents())
@settings(max_examples=100, deadline=None)
def test_a_layout_does_not_change_the_meaning(text: str) -> None:
    parsed = parse(text, "ftspec.yaml")
    assert [item for item in parsed.findings if item.severity is Severity.ERROR] == []


@given(texts(), st.text(max_size=8))
@settings(max_examples=400, deadline=None)
def test_no_input_makes_a_traceback(text: str | bytes, name: str) -> None:
    parsed = parse(text, name)
    assert parsed.spec is not None or parsed.findings
    for finding in parsed.findings:
        assert finding.place is not None
        lines = render(finding, parsed.source.text)
        assert not any(ch < " " and ch != "\n" for ch in lines)
        json.dumps(finding.as_json(), allow_nan=False)
