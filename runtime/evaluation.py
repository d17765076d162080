"""What evaluate.py found, as a section of the run's page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftspec.doctor.page import Section

NAME = "evaluation.json"


def read_evaluation(run: Path) -> dict[str, Any] | None:
    """Return a run's evaluation.json; None where it was not evaluated, or of another layout."""
    try:
        result = json.loads((run / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(result, dict) and {"models", "metrics", "signature"} <= set(result)
    return result if whole and result.get("schema_version") == 1 else None


def evaluation_section(run: Path) -> Section | None:
    """Return the section that shows a run's evaluation; None where there is none."""
    from ftspec.doctor.page import section

    result = read_evaluation(run)
    if result is None:
        return None
    return section(
        "evaluation",
        "Held-out rows, before and after",
        "evaluation.html.j2",
        f"{result.get('rows')} rows",
        result=result,
        scores=list(_scores(result)),
        categories=list(_categories(result)),
    )


def _scores(result: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for metric in result["metrics"]:
        for model, found in result["models"].items():
            score = found[metric]
            row = {"metric": metric, "model": model, "value": _value(metric, score["value"])}
            if model == "base":
                yield {**row, "change": "", "interval": ""}
            else:
                change, low, high = _changes(metric, score)
                yield {**row, "change": change, "interval": f"{low} to {high}"}


def _categories(result: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for label, found in (result.get("categories") or {}).items():
        for metric, values in found["metrics"].items():
            shown = {name: _value(metric, value) for name, value in values.items()}
            yield {"label": label, "rows": found["rows"], "metric": metric, **shown}


def _changes(metric: str, score: Mapping[str, Any]) -> list[str]:
    """Write a change and its interval: a share for perplexity, points for the others."""
    if metric == "perplexity":
        return [f"{100 * score[key]:+.1f} %" for key in ("change", "low", "high")]
    keys = ("difference", "difference_low", "difference_high")
    return [f"{score[key]:+.1f}" for key in keys]


def _value(metric: str, value: float) -> str:
    return f"{value:,.3f}" if metric == "perplexity" else f"{value:.1f}"
