"""Lengths: counts, quantiles, templates that refuse; the emitted scripts count the same.

That the counts are those of the emitted `encode` is tested in `tests/emitted/test_encode.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import rows_of

from ftspec.compiler.facts import lengths
from ftspec.compiler.facts.lengths import Lengths, TemplateError, measure
from ftspec.compiler.facts.model import resolve_model

ALPACA = {"instruction": "instruction", "input": "input", "output": "output"}


@given(st.lists(st.integers(1, 500), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_a_length_that_its_share_does_not_exceed(
    tokens: list[int], share: float
) -> None:
    found = Lengths(tuple(tokens), tuple(tokens), len(tokens))
    chosen = found.quantile(share)
    assert chosen in tokens
    assert sum(length <= chosen for length in tokens) >= share * len(tokens) - 1e-9
    assert found.quantile(1) == found.longest == max(tokens)
    assert min(tokens) <= found.mean <= max(tokens)


def test_rows_over_a_limit_are_scaled_up_from_the_sample() -> None:
    found = Lengths((10, 20, 30, 40), (1, 1, 1, 1), 400)
    assert [found.over(limit) for limit in (5, 10, 39, 40)] == [400, 300, 100, 0]


def test_without_a_tokenizer_lengths_are_not_known(world: Path) -> None:
    rows = rows_of("alpaca", 3)
    assert measure(rows, resolve_model("untold", world), "alpaca", ALPACA) is None


def test_a_large_file_is_sampled_evenly(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths, "SAMPLE", 10)
    found = measure(rows_of("alpaca", 95), resolve_model("llama", world), "alpaca", ALPACA)
    assert found is not None
    assert len(found.tokens) == 10 and found.of_rows == 95


def test_a_template_that_refuses_a_row_says_why(world: Path) -> None:
    rows, model = rows_of("alpaca", 2), resolve_model("strict", world)
    assert measure(rows, model, "alpaca", ALPACA) is not None
    with pytest.raises(TemplateError, match="no system role"):
        measure(rows, model, "alpaca", ALPACA, "Be kind.")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for", "is not Jinja"),
        ("{{ messages[9]['role'] }}", "refuses a row"),
        ("{{ 1 / 0 }}", "refuses a row"),
        ("{{ messages.append(1) }}", "refuses a row"),
        ("{{ ''.__class__.__mro__ }}", "refuses a row"),
        ("{% for x in range(10 ** 9) %}{% endfor %}", "refuses a row"),
        ("{{ messages | nothing }}", "is not Jinja"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "refuses a row"),
    ],
)
def test_a_template_that_fails_is_a_finding_not_a_crash(
    template: str, words: str, world: Path
) -> None:
    with pytest.raises(TemplateError, match=words):
        measure(
            rows_of("alpaca", 1), resolve_model("llama", world), "alpaca", ALPACA, None, template
        )


def test_templates_may_use_what_transformers_offers(world: Path) -> None:
    template = (
        "{% for message in messages %}{% if loop.first %}{% continue %}{% endif %}"
        "{% generation %}{{ message | tojson }}{% endgeneration %}{% endfor %}"
        "{{ strftime_now('%Y') }}"
    )
    rows = rows_of("alpaca", 1)
    found = measure(rows, resolve_model("llama", world), "alpaca", ALPACA, None, template)
    assert found is not None and found.tokens[0] > 0
