"""bench/speed: result lines of every kind are read, and a fit finds what made the steps."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench" / "speed"
sys.path.insert(0, str(BENCH))

import fit  # noqa: E402
import timings  # noqa: E402

from ftspec.compiler.facts.gpus import find_gpu  # noqa: E402
from ftspec.compiler.speed import Host, Share, step_seconds  # noqa: E402

CONFIG = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}
LINE: dict[str, Any] = {
    "case": "mine",
    "model": CONFIG,
    "method": "qlora",
    "batch": 4,
    "length": 1024,
    "rank": 16,
    "targets": ["all-linear"],
    "quantization": "nf4",
    "checkpointing": True,
    "gpu": "NVIDIA H200",
    "seconds_per_step": 0.5,
}


def read(folder: Path, *lines: dict[str, Any], name: str = "results.jsonl") -> list[timings.Row]:
    path = folder / name
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    return list(timings.read(path))


def test_a_line_that_tells_everything_itself(tmp_path: Path) -> None:
    (row,) = read(tmp_path, LINE)
    assert (row.name, row.seconds, row.gpu.name) == ("mine", 0.5, "NVIDIA H200")
    assert (row.job.shape.layers, row.job.batch, row.job.length) == (16, 4, 1024)
    assert len(row.job.adapted) == 7
    assert row.job.quantized and row.job.short_adapters and row.job.checkpointing


def test_a_model_of_the_catalogue(tmp_path: Path) -> None:
    (row,) = read(tmp_path, {**LINE, "model": "meta-llama/Llama-2-7b-hf", "method": "full"})
    assert row.job.trained == pytest.approx(6.74e9, rel=0.01)


def test_an_unknown_card_or_model_ends_it(tmp_path: Path) -> None:
    for change in ({"gpu": "abacus"}, {"model": "nobody/nothing"}):
        with pytest.raises(SystemExit, match="is not in the catalogue"):
            read(tmp_path, {**LINE, **change})


def test_crowded_and_failed_runs_tell_no_time(tmp_path: Path) -> None:
    line = {"case": "x", "step_seconds": [1.0, 2.0], "gpu": "NVIDIA H200", "exit": 0}
    for change in ({"crowded": True}, {"exit": 76}, {"step_seconds": []}, {"case": "no such"}):
        assert read(tmp_path, {**line, **change}) == []


def test_public_rows_of_a_t4(tmp_path: Path) -> None:
    run = {
        "model_id": "a/Model",
        "gpu": "Tesla T4",
        "run": {
            "quantization": "none",
            "attn_impl": "sdpa",
            "batch_size": 1,
            "seq_len": 512,
            "lora_rank": 8,
            "lora_targets": ["q_proj"],
            "grad_checkpoint": True,
        },
        "measured": {"step_seconds": 1.5},
        "model_config": {
            "num_layers": 4,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_attention_heads": 4,
            "num_kv_heads": 2,
            "vocab_size": 100,
            "tie_word_embeddings": True,
        },
    }
    other = {**run, "run": {**run["run"], "quantization": "nf4"}}
    path = tmp_path / "t4.json"
    path.write_text(json.dumps({"runs": [run, other]}), encoding="utf-8")
    (row,) = timings.read(path)
    assert (row.name, row.seconds) == ("Model 1 x 512", 1.5)
    assert row.job.full_logits and not row.job.masked and row.job.shape.kv_width == 32


def test_a_fit_finds_what_made_the_steps(tmp_path: Path) -> None:
    """Steps are made with other constants than the start's; shares and launches come back."""
    host, share = Host(3e-3, 5e-4, 3e-4, 5e-5, 3e-3, 15e-3), Share(0.4, 0.75, 1.0)
    gpu = find_gpu("h200")
    assert gpu is not None
    lines = []
    for method, batch, length in [
        ("lora", 1, 64), ("qlora", 1, 64), ("prefix", 1, 64), ("prefix", 2, 128),
        ("lora", 16, 2048), ("lora", 32, 1024), ("prefix", 16, 2048), ("prompt", 8, 4096),
    ]:  # fmt: skip
        quantization = "nf4" if method == "qlora" else "none"
        line = {**LINE, "method": method, "batch": batch, "length": length}
        lines.append({**line, "quantization": quantization, "checkpointing": False})
    rows = [
        timings.Row(
            row.name, row.job, gpu, step_seconds(row.job, gpu, share=share, host=host).likely
        )
        for row in read(tmp_path, *lines)
    ]
    values = fit.fit(rows)
    assert values["NVIDIA H200: products"] == pytest.approx(0.4, rel=0.15)
    for name in ("block", "adapter", "quantized"):
        assert values[name] == pytest.approx(asdict(host)[name], rel=0.25), name
    assert all(abs(math.log(fit.predicted(row, values) / row.seconds)) < 0.05 for row in rows)


def test_the_report_says_how_far_off_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{**LINE, "batch": batch, "seconds_per_step": 0.1 * batch} for batch in (2, 8)]
    lines += [{**line, "gpu": "Tesla T4", "seconds_per_step": 5.0} for line in lines[:1]]
    fit.report(read(tmp_path, *lines))
    out = capsys.readouterr().out
    assert "NVIDIA H200: products" in out
    assert out.count("| mine |") == 3
    assert "with the shares of Tesla T4: within a factor of" in out


def test_the_worst_of_ratios() -> None:
    assert fit.worst([1.1, 0.5, math.nan]) == 2.0
    assert math.isnan(fit.worst([math.nan]))
