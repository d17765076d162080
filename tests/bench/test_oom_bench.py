"""bench/oom: its cases differ, its data has one long row, its table says what happened."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parents[2] / "bench" / "oom"
sys.path.insert(0, str(BENCH))

import oom_cases  # noqa: E402
import oom_report  # noqa: E402

from ftspec.compiler.facts.catalogue import known_config  # noqa: E402
from ftspec.spec.parse import parse  # noqa: E402


def row(**changed: Any) -> dict[str, Any]:
    return {
        "case": "step-1-x-lora",
        "phase": "step 1",
        "model": "maker/x",
        "method": "lora",
        "cap_bytes": 3 * 2**30,
        "predicted_bytes": 5 * 2**30,
        "recovered": True,
        "attempts": 2,
        "out_of_memory": [["train", None]],
        "resumed_from": [None],
        "changes": [["train.batch_size", 8, 4], ["train.gradient_accumulation", 1, 2]],
        "effective_batches": [8],
        "losses": [[1, 2.0], [2, 1.01]],
        "calm_losses": [[1, 2.0], [2, 1.0]],
        "gpu": "a card",
        "versions": {"torch": "2"},
        **changed,
    }


def test_twelve_cases_and_more_in_five_phases() -> None:
    assert len({case.id for case in oom_cases.CASES}) == len(oom_cases.CASES) >= 12
    assert {case.phase for case in oom_cases.CASES} == {
        *("load", "step 1", "late step", "evaluate", "save")
    }
    for case in oom_cases.CASES:
        assert known_config(case.model) is not None
        text = oom_cases.as_text(oom_cases.spec(case))
        assert parse(text, "case.yaml").spec is not None


def test_one_row_is_long(tmp_path: Path) -> None:
    case = next(case for case in oom_cases.CASES if case.longest)
    oom_cases.write_data(case, tmp_path, 17)
    rows = (tmp_path / f"{case.id}.jsonl").read_text().splitlines()
    lengths = [len(json.loads(line)["text"]) + 1 for line in rows]
    assert lengths.index(case.longest) == 17
    assert lengths.count(case.length) == len(rows) - 1 == case.steps * case.rows - 1
    assert len(set(rows)) == len(rows)


def test_the_table(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    lost = row(recovered=False, calm_losses=[[1, 2.0]], effective_batches=[8, 16])
    out.write_text("".join(json.dumps(one) + "\n" for one in (row(), lost)))
    text = oom_report.report(out)
    assert "1 of 2 runs finished by themselves" in text
    assert "stayed what they were in 1 of 2" in text
    first, second = text.splitlines()[-2:]
    assert "| 3.00 | 5.00 | train 0 | the start | batch_size 8 -> 4;" in first
    assert first.endswith("| 1.00% at step 2 | yes |")
    assert second.endswith("| 2 steps, 1 without a cap | no |")
