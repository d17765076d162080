"""bench/vram: the report, and other estimators beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import capped
import cases
import grid
import peer_tables
import peers
import pytest
import report
import t4
import tables
from vram_case import CASE, GIB, STAMP

# The report


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

    def memory(case: cases.Case, *_: Any, **__: Any) -> Any:
        verdict = "no" if case.cap_gib else "fits"
        sizes = {"allocated_peak_bytes": 4 * GIB, "peak_bytes": 5 * GIB, "phase": "train"}
        interval = {"low_bytes": 4 * GIB, "high_bytes": 6 * GIB}
        return SimpleNamespace(
            memory=SimpleNamespace(**sizes, **interval, verdict=verdict, method="tape")
        )

    monkeypatch.setattr(report, "predict", memory)
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


def row(**changes: Any) -> tables.Row:
    facts: dict[str, Any] = {
        "case": "c",
        "split": "score",
        "architecture": "qwen3",
        "method": "lora",
        "gpu": "NVIDIA H200",
        "cap": None,
        "outcome": "ran",
        "allocated": 100,
        "driver": 110,
        "phase": "train",
        "predicted_allocated": 100,
        "predicted_driver": 110,
        "low": 105,
        "high": 115,
        "verdict": "fits",
        "predicted_phase": "train",
        "way": "tape",
    }
    return tables.Row(**facts | changes)


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


# Other estimators


def item(**changes: Any) -> dict[str, Any]:
    case = {**asdict(replace(CASE, dtype="bfloat16", optimizer="adamw_torch_fused")), **changes}
    return {"id": "x", "folder": "f", "parameters": 7 * 10**9, "case": case}


def test_estimators_answer_what_they_cover() -> None:
    full = item(method="full", dtype="float32")
    assert peers.llama_factory_table(full) == 126e9
    assert peers.llama_factory_table(item(method="full")) == 56e9
    assert peers.llama_factory_table(item(method="qlora", quantization="nf4")) == 3.5e9
    assert peers.llama_factory_table(item(method="prefix")) is None
    assert peers.unsloth_table(item(method="qlora")) == 5e9
    assert peers.unsloth_table(item()) == 19e9
    assert peers.unsloth_table({**item(), "parameters": 10**9}) is None
    assert peers.deepspeed_rule(full) == 140e9
    assert peers.deepspeed_rule(item()) is None
    assert peers.accelerate_rule(full) == 8 * 7e9
    assert peers.accelerate_rule({**full, "case": {**full["case"], "optimizer": "sgd"}}) is None


def test_fitcheck_is_asked_in_its_own_words() -> None:
    question = peers.fitcheck_question(item(method="qlora", quantization="nf4"))
    assert question is not None
    assert question["training"]["lora_targets"] == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert question["training"]["double_quant"] is True
    assert question["training"]["flash_attn"] is True
    for change in ({"rows": "packed"}, {"method": "prompt"}, {"dora": True}):
        assert peers.fitcheck_question(item(**change)) is None


def test_peers_stand_beside_us_on_the_cases_they_answer() -> None:
    found = [row(case="a"), row(case="b", predicted_driver=121)]
    text = peer_tables.peer_table(found, {"them": {"source": "s", "answers": {"b": 220}}})
    assert "| score | **ftspec** | 2 of 2 | 5.00% |" in text
    assert "| score | them | 1 of 2 | 100.00% | 100.00% | +0.00% | +100.00% | 10.00% |" in text


def test_the_t4_rows_are_read_in_place(tmp_path: Path) -> None:
    run = {
        "model_id": "HuggingFaceTB/SmolLM2-135M",
        "run": {
            "kernel": "flash",
            "attn_impl": "sdpa",
            "seq_len": 512,
            "batch_size": 2,
            "quantization": "none",
            "double_quant": False,
            "lora_rank": 16,
            "lora_targets": ["q_proj"],
        },
        "measured": {
            "peak_allocated_mib": 100.0,
            "peak_reserved_mib": 120.0,
            "process_mib": 200.0,
            "cuda_context_mib": 80.0,
        },
    }
    entry = {"run_id": "r", "role": "holdout", "file": "runs.json", "index": 0}
    (tmp_path / "manifest.json").write_text(json.dumps({"rows": [entry]}))
    (tmp_path / "runs.json").write_text(json.dumps({"runs": [run]}))
    with pytest.raises(FileNotFoundError, match="LICENSE"):
        t4.load_t4(tmp_path)
    (tmp_path / t4.LICENCE).write_text("MIT")
    (found,) = t4.load_t4(tmp_path)
    assert (found.method, found.attention, found.allocated) == ("lora", "sdpa", 100 * 2**20)
    assert found.config is not None
    question = t4.fitcheck_t4(found, tmp_path)
    assert question is not None
    assert question["parameters"] == 134_515_008
    assert json.loads(Path(question["config"]).read_text()) == found.config
    text = peer_tables.t4_table(tmp_path, {"r": 220 * 2**20})
    assert "| holdout | fitcheck-llm, process | 1 | 10.00% |" in text
    assert "not predicted yet" in text
    answered = peer_tables.t4_table(tmp_path, {}, lambda row: 2 * row.allocated)
    assert "| holdout | ftspec, allocated | 1 | 100.00% |" in answered
