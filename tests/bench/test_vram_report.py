"""bench/vram: the report, and its numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import capped
import cases
import grid
import predictions
import pytest
import report
import tables
from vram_case import CASE, GIB, STAMP, row


def result(measured: cases.Case, allocated: int, **changes: Any) -> dict[str, Any]:
    return {
        "case": measured.id,
        **STAMP,
        "exit": 0,
        "allocated": allocated,
        "reserved": allocated + GIB // 8,
        "context": GIB // 2,
        "phase": "backward",
        "said": "",
        **changes,
    }


def test_the_report_tells_the_splits_and_the_verdicts_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune = next(case for case in grid.grid() if case.split == "tune" and not case.eval_batch)
    score = next(case for case in grid.grid() if case.model == "Qwen/Qwen3-0.6B")
    candidate = next(case for case in grid.pool() if case.architecture == "llama")
    under_cap = replace(candidate, cap_gib=8)
    capped.write((under_cap,), tmp_path / "capped.json")
    monkeypatch.setattr(capped, "FILE", tmp_path / "capped.json")
    monkeypatch.setattr(report, "draw", lambda *_: [])

    def memory(case: cases.Case, folder: Path, *_: Any, **__: Any) -> Any:
        config = folder / "models" / case.folder / "config.json"
        config.parent.mkdir(parents=True)
        config.write_text("{}")
        verdict = "no" if case.cap_gib else "fits"
        sizes = {"allocated_peak_bytes": 4 * GIB, "peak_bytes": 5 * GIB, "phase": "train"}
        interval = {"low_bytes": 4 * GIB, "high_bytes": 6 * GIB}
        return SimpleNamespace(
            memory=SimpleNamespace(**sizes, **interval, verdict=verdict, method="tape")
        )

    monkeypatch.setattr(predictions, "predict", memory)
    died = {"exit": 76, "said": "CUDA out of memory"}
    lines = [
        result(tune, 5 * GIB),
        result(tune, 4 * GIB),
        result(score, 1, exit=1, said="a first try that failed"),
        result(score, round(4 * GIB / 1.1)),
        result(under_cap, 8 * GIB, cap_bytes=8 * GIB, **died),
        result(under_cap, 8 * GIB, cap_bytes=round(8.4 * GIB), **died),
        result(under_cap, 8 * GIB, cap_bytes=round(8.82 * GIB)),
        result(tune, GIB, case="gone"),
    ]
    out = tmp_path / "out.jsonl"
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = report.report(out, tmp_path / "work", target=tmp_path).read_text()
    assert "| score | allocated | 1 | 10.00% | 10.00% | +0.00% | +10.00% | 0% |" in text
    assert "| tune | allocated | 1 | 0.00% | 0.00% | +0.00% | +0.00% | 100% |" in text
    assert "results of 1 cases that the grid no longer has" in text
    assert "| no | 0 | 0 | 1 |" in text
    assert "said `no`, and ran: 0 of 3" in text
    assert f"| `{under_cap.id}` | tune | 8.00 | 5.00 | no | died | 8.82 |" in text
    assert "a first try that failed" not in text
    assert "2 of 2 cases" in text
    assert f"| `{tune.id} (NVIDIA H200)` | 2 | 25.000% |" in text
    assert "Today 0 of 1 are predicted within 85% to 110%" in text


def test_errors_keep_their_signs() -> None:
    found = [row(allocated=size) for size in (80, 100, 125)]
    assert [member.allocated_error for member in found] == pytest.approx([0.25, 0.0, -0.2])
    errors = [member.allocated_error or 0.0 for member in found]
    assert tables.error_cells(errors) == ["3", "20.00%", "25.00%", "-20.00%", "+25.00%"]
    assert row(predicted_allocated=None).allocated_error is None
    assert tables.error_cells([]) == ["0", "-", "-", "-", "-"]


def test_a_false_fit_is_named() -> None:
    rows_found = [
        row(case="dead", outcome="died"),
        row(case="swollen", outcome="over", cap=100),
        row(case="refused", verdict="no"),
        row(case="fine"),
        row(case="crashed", outcome="failed"),
    ]
    text = tables.verdicts(rows_found)
    assert "died or went over its cap: 2 of 4" in text
    assert "false: `dead`" in text
    assert "false: `swollen`" in text
    assert "false: `refused`" in text
    assert "crashed" not in text


def test_none_in_three_hundred_rules_out_one_percent() -> None:
    assert tables.bound(300) < 0.01 < tables.bound(290)
    assert "under" in tables.conclusions([row() for _ in range(300)])


def test_the_interval_and_capped_rows_are_counted_rightly() -> None:
    assert row(driver=100).inside is False
    assert row(driver=115).inside is True
    assert row(low=None).inside is None
    assert tables.accurate([row(cap=8), row(outcome="died"), row(case="kept")])[0].case == "kept"
    assert report.outcome(result(CASE, 8 * GIB), 8 * GIB) == "over"
    assert report.outcome(result(CASE, 7 * GIB), 8 * GIB) == "ran"
    assert report.outcome(result(CASE, GIB, exit=76), None) == "died"
    assert report.outcome(result(CASE, GIB, exit=124), None) == "failed"


def test_a_prediction_is_kept_for_the_code_that_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(iter(grid.grid()))
    made = predictions.Prediction(
        case=case.id,
        gpu="NVIDIA H200",
        code="now",
        config="",
        allocated=1,
        driver=2,
        low=1,
        high=3,
        verdict="fits",
        phase="train",
        way="tape",
    )
    monkeypatch.setattr(predictions, "code", lambda: "now")
    first = predictions.Predictions(tmp_path)
    first._keep(made)
    again = predictions.Predictions(tmp_path)
    again.make([(case, "NVIDIA H200")])  # nothing is missing
    assert again.of(case, "NVIDIA H200") == made
    monkeypatch.setattr(predictions, "code", lambda: "later")
    assert not predictions.Predictions(tmp_path).made
