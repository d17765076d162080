"""bench/speed: the planner's choice beside the best of what was timed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "speed"))

import judged
import settings


def write(folder: Path, rates: dict[str, float | None], chosen: str) -> Path:
    setting = {"name": "short", "cap_gib": 12}
    items = [{"id": f"short-{n}", "setting": setting, "chosen": n == chosen} for n in rates]
    (folder / "cases.json").write_text(json.dumps(items))
    stamp: dict[str, Any] = {"gpu": "G", "driver": "1", "versions": {"torch": "2"}}
    rows = [
        {"case": f"short-{n}", "exit": 0 if rate else 76, "tokens_per_second": rate, **stamp}
        for n, rate in rates.items()
    ]
    out = folder / "out.jsonl"
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return out


def test_the_choice_is_held_against_the_best(tmp_path: Path) -> None:
    out = write(tmp_path, {"b1": 50.0, "b4": 100.0, "b16": None}, "b1")
    text = judged.report(out, tmp_path, tmp_path / "PLANNER.md").read_text()
    assert "50% on median, and 50% at worst, over 1 settings" in text
    assert "| short | 12 | **b1** | 50 | 0.0 | 50% |" in text
    assert "| short | 12 | b16 | exit 76 | 0.0 | - |" in text


def test_a_choice_that_died_is_worth_nothing(tmp_path: Path) -> None:
    out = write(tmp_path, {"b1": 50.0, "b16": None}, "b16")
    text = judged.report(out, tmp_path, tmp_path / "PLANNER.md").read_text()
    assert "0% at worst" in text


def test_without_a_time_of_the_choice_nothing_is_written(tmp_path: Path) -> None:
    out = write(tmp_path, {"b1": 50.0}, "other")
    with pytest.raises(SystemExit, match="no setting"):
        judged.report(out, tmp_path, tmp_path / "PLANNER.md")


def test_what_is_judged_was_not_calibrated_on() -> None:
    calibrated = {setting.model for setting in settings.CALIBRATE}
    assert not calibrated & {setting.model for setting in settings.JUDGE}
    assert len(settings.JUDGE) >= 6
    assert all(len(setting.points) >= 12 for setting in settings.JUDGE)
    for setting in (*settings.CALIBRATE, *settings.JUDGE):
        lengths = setting.row_lengths()
        assert len(lengths) == setting.rows and max(lengths) <= setting.max_length
        assert lengths == setting.row_lengths()
