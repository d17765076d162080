"""bench/vram: other estimators, and their table."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import peer_rules
import peer_tables
import peers
from vram_case import CASE, row


def item(**changes: Any) -> dict[str, Any]:
    case = {**asdict(replace(CASE, dtype="bfloat16", optimizer="adamw_torch_fused")), **changes}
    return {"id": "x", "folder": "f", "parameters": 7 * 10**9, "case": case}


def test_estimators_answer_what_they_cover() -> None:
    full = item(method="full", dtype="float32")
    assert peer_rules.llama_factory_table(full) == 126e9
    assert peer_rules.llama_factory_table(item(method="full")) == 56e9
    assert peer_rules.llama_factory_table(item(method="qlora", quantization="nf4")) == 3.5e9
    assert peer_rules.llama_factory_table(item(method="prefix")) is None
    assert peer_rules.unsloth_table(item(method="qlora")) == 5e9
    assert peer_rules.unsloth_table(item()) == 19e9
    assert peer_rules.unsloth_table({**item(), "parameters": 10**9}) is None
    assert peer_rules.deepspeed_rule(full) == 140e9
    assert peer_rules.deepspeed_rule(item()) is None
    assert peer_rules.accelerate_rule(full) == 8 * 7e9
    assert (
        peer_rules.accelerate_rule({**full, "case": {**full["case"], "optimizer": "sgd"}}) is None
    )


def test_fitcheck_is_asked_in_its_own_words() -> None:
    question = peers.fitcheck_question(item(method="qlora", quantization="nf4"))
    assert question is not None
    assert question["training"]["lora_targets"] == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert question["training"]["double_quant"] is True
    assert question["training"]["flash_attn"] is True
    assert question["gpu"] == "h200"
    capped_question = peers.fitcheck_question(item(method="qlora", cap_gib=8))
    assert capped_question is not None
    assert capped_question["vram_mib"] == 8192
    for change in ({"rows": "packed"}, {"method": "prompt"}, {"dora": True}):
        assert peers.fitcheck_question(item(**change)) is None


def peer(answers: dict[str, int], figure: str = "driver", **more: Any) -> dict[str, Any]:
    about = {"claims": "a peak", "asked": "so", "source": "https://example.org/them"}
    return {**about, "figure": figure, "answers": answers, **more}


def test_peers_stand_beside_us_on_the_cases_they_answer() -> None:
    found = [row(case="a"), row(case="b", predicted_driver=121)]
    text = peer_tables.peer_table(found, {"them": peer({"b": 220})})
    ours = "| score | **ftspec** | driver | 2 of 2 | 5.00% | 5.00% | 10.00% | +0.00% | +10.00% |"
    assert f"{ours} - | - |  |" in text
    theirs = "| score | them | driver | 1 of 2 | 100.00% | 100.00% | 100.00% | +0.00% | +100.00% |"
    assert f"{theirs} - | - | 10.00% |" in text
    assert "**them** claims a peak. Asked: so. [source](https://example.org/them)" in text


def test_peers_are_held_against_the_figure_they_claim() -> None:
    found = [row(case="a", split="tune", allocated=100, driver=200)]
    text = peer_tables.peer_table(found, {"them": peer({"a": 100}, "allocated")})
    assert "| all | them | allocated | 1 of 1 | 0.00% | 0.00% |" in text
    assert "| score | them | allocated | 0 of 0 | - | - | - | - | - | - | - | - |" in text


def test_a_false_fit_is_one_that_died_under_its_cap() -> None:
    found = [
        row(case="died", cap=100, outcome="died", verdict="no"),
        row(case="over", cap=100, outcome="over", verdict="tight"),
        row(case="ran", cap=100, outcome="ran", verdict="fits"),
        row(case="whole card", outcome="died", verdict="fits"),
    ]
    sizes = {"died": 90, "over": 101, "ran": 120, "whole card": 1}
    tables_of = peer_tables.peer_table(
        found,
        {
            "table": peer(sizes),
            "judge": peer(sizes, verdicts={"died": "tight", "ran": "fits"}),
            "silent": peer({}),
        },
    )
    ends = {
        line.split(" | ")[1]: line.split(" | ")[9:11]
        for line in tables_of.splitlines()
        if line.startswith("| all |") and "| driver |" in line
    }
    assert ends == {
        "**ftspec**": ["0 of 2", "0 of 1"],
        "table": ["1 of 2", "1 of 1"],
        "judge": ["0 of 1", "0 of 1"],
        "silent": ["-", "-"],
    }


def test_fitchecks_verdicts_are_told_in_our_words() -> None:
    said = {"x": {"total": 20.0, "tensors": 10.0, "verdict": "uncertain"}}
    entries = peers.case_entries([item(method="qlora", quantization="nf4")], said)
    total = entries[f"{peers.FITCHECK}, total"]
    assert (total["answers"], total["verdicts"]) == ({"x": 20.0}, {"x": "tight"})
    assert entries[f"{peers.FITCHECK}, tensors"]["answers"] == {"x": 10.0}
    assert entries["Unsloth's table"]["answers"] == {"x": 5e9}
    assert entries["DeepSpeed ZeRO-2 model states"]["answers"] == {}
