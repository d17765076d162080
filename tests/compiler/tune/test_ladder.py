"""The ladder: rungs in order, each only if needed and only as far as needed, the batch kept."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from compiling import compiled
from machines import CPU, cards
from tiny import write_rows

from ftspec.compiler.facts.gpus import find_gpu
from ftspec.compiler.facts.hardware import Card, Hardware
from ftspec.compiler.pipeline import Compiled
from ftspec.spec.edit import apply

LLAMA_7B = "meta-llama/Llama-2-7b-hf"
ORDER = ("evaluation", "checkpointing", "batch", "optimizer", "quantize", "shorten")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ladder")
    rows = [{"instruction": "what is", "input": "", "output": "red " * 20} for _ in range(200)]
    write_rows(folder / "rows.jsonl", rows)
    return folder


def card(gibibytes: float) -> Hardware:
    gpu = find_gpu("a100-80gb")
    assert gpu is not None
    return Hardware((Card(gpu, round(gibibytes * 2**30)),), 2**36, 8, detected=False)


def tuned(root: Path, hardware: Hardware, **spec: Any) -> Compiled:
    return compiled({"model": LLAMA_7B, **spec}, root, hardware)


def asked(**train: Any) -> dict[str, Any]:
    return {"data": {"train": "rows.jsonl", "max_length": 1024}, "train": train}


def changed(result: Compiled) -> dict[str, tuple[Any, Any]]:
    assert result.plan is not None
    return {item.path: (item.asked, item.planned) for item in result.plan.changes}


def test_what_fits_is_left_alone(root: Path) -> None:
    spec = asked(batch_size=2, gradient_accumulation=8, activation_checkpointing=False)
    assert changed(tuned(root, card(79), method="lora", **spec)) == {}


def test_checkpointing_comes_first(root: Path) -> None:
    spec = asked(batch_size=4, gradient_accumulation=4, activation_checkpointing=False)
    result = tuned(root, card(24), method="lora", **spec)
    assert changed(result) == {"train.activation_checkpointing": (False, True)}


def test_the_batch_is_kept_when_it_is_split(root: Path) -> None:
    spec = asked(batch_size=16, gradient_accumulation=3, activation_checkpointing=True)
    result = tuned(root, card(20), method="lora", **spec)
    found = changed(result)
    assert found.keys() == {"train.batch_size", "train.gradient_accumulation"}
    assert result.plan is not None
    train = result.plan.train
    assert train.batch_size * train.gradient_accumulation == 48
    assert result.plan.memory.verdict == "fits"


def test_nothing_that_changes_what_is_learnt_is_done_without_leave(root: Path) -> None:
    result = tuned(root, card(12), method="lora", **asked(batch_size=2, gradient_accumulation=8))
    assert changed(result) == {}
    assert result.plan is not None
    assert result.plan.memory.verdict == "no"
    (finding,) = [item for item in result.findings if item.name == "does-not-fit"]
    assert [edit.path for edit in finding.prescriptions[0].patch] == ["method.type"]
    assert "--allow quantize" in finding.help


def test_leave_to_quantize_is_taken(root: Path) -> None:
    spec = asked(batch_size=2, gradient_accumulation=8)
    result = tuned(root, card(12), method="lora", tune={"allow": ["quantize"]}, **spec)
    assert changed(result) == {"method.type": ("lora", "qlora")}
    assert result.plan is not None
    assert result.plan.memory.verdict == "fits"
    assert result.plan.why["method.type"].by == "plan"


def test_a_prefix_is_never_checkpointed(root: Path) -> None:
    data = {"train": "rows.jsonl", "max_length": 2048}
    spec = {"data": data, "train": {"batch_size": 16, "gradient_accumulation": 1}}
    result = tuned(root, card(24), method="prefix", **spec)
    assert "train.activation_checkpointing" not in changed(result)
    assert result.plan is not None
    assert result.plan.train.activation_checkpointing is False


def test_rows_are_cut_only_as_far_as_needed(root: Path) -> None:
    spec = asked(batch_size=1, gradient_accumulation=16, activation_checkpointing=True)
    spec["data"]["max_length"] = 4096
    spec["tune"] = {"allow": ["shorten"]}
    result = tuned(root, card(13), method="lora", **spec)
    ((path, (before, length)),) = changed(result).items()
    assert (path, before) == ("data.max_length", 4096)
    longer = {**spec, "data": {**spec["data"], "max_length": length + 64}, "tune": {}}
    one_more = tuned(root, card(13), method="lora", **longer)
    assert one_more.plan is not None
    assert result.plan is not None
    assert one_more.plan.memory.verdict == "no"
    assert result.plan.memory.verdict != "no"


def test_suggest_changes_nothing_and_its_patch_fits(root: Path) -> None:
    spec: dict[str, Any] = {"model": LLAMA_7B, "method": "lora", "tune": {"memory": "suggest"}}
    spec |= asked(batch_size=16, gradient_accumulation=1, activation_checkpointing=False)
    text = json.dumps(spec)
    result = compiled(text, root, card(24))
    assert changed(result) == {}
    (finding,) = [item for item in result.findings if item.name == "does-not-fit"]
    patched = compiled(apply(text, finding.prescriptions[0].patch), root, card(24))
    assert patched.plan is not None
    assert patched.plan.memory.verdict == "fits"
    assert changed(patched) == {}


def test_off_judges_and_nothing_else(root: Path) -> None:
    spec = asked(batch_size=16, gradient_accumulation=1, activation_checkpointing=False)
    result = tuned(root, card(24), method="lora", tune={"memory": "off"}, **spec)
    assert changed(result) == {}
    (finding,) = [item for item in result.findings if item.name == "does-not-fit"]
    assert finding.prescriptions == ()


def test_a_large_evaluation_batch_shrinks_and_training_stays(root: Path) -> None:
    spec = asked(batch_size=1, gradient_accumulation=16, activation_checkpointing=True)
    spec["train"]["eval_batch_size"] = 256
    spec["data"]["eval"] = "90%"  # no batch has more rows than are held out
    result = tuned(root, card(24), method="lora", **spec)
    assert changed(result).keys() == {"train.eval_batch_size"}


def test_an_8_bit_optimizer_is_for_those_who_allow_it(root: Path) -> None:
    spec: dict[str, Any] = {"model": "meta-llama/Llama-3.2-1B", "method": "full"}
    spec |= asked(batch_size=1, gradient_accumulation=16)
    spec["model"] = {"name": spec["model"], "dtype": "bfloat16"}
    result = compiled({**spec, "tune": {"allow": ["optimizer"]}}, root, card(10))
    assert changed(result) == {"train.optimizer": (None, "adamw_8bit")}
    without = compiled(spec, root, card(10))
    assert without.plan is not None
    assert without.plan.memory.verdict == "no"


def test_where_nothing_fits_a_card_and_a_model_are_named(root: Path) -> None:
    spec = {"model": "meta-llama/Meta-Llama-3-70B", "method": "qlora", **asked()}
    result = compiled(spec, root, cards("rtx-4090"))
    assert result.misfit is not None
    instead = result.misfit.instead
    assert instead.card is not None
    assert instead.model is not None
    there = compiled(spec, root, cards(instead.card.name))
    assert there.plan is not None
    assert there.plan.memory.verdict == "fits"
    here = compiled({**spec, "model": instead.model.id}, root, cards("rtx-4090"))
    assert here.plan is not None
    assert here.plan.memory.verdict == "fits"


def test_the_cpu_has_no_card_to_fit(root: Path) -> None:
    result = tuned(root, CPU, method="lora", **asked())
    assert changed(result) == {}


@pytest.mark.parametrize("seed", range(12))
def test_any_spec_keeps_the_order_the_batch_and_takes_no_rung_too_many(
    root: Path, seed: int
) -> None:
    pick = random.Random(seed)
    micro, accumulation = pick.choice((1, 2, 3, 8, 12)), pick.choice((1, 2, 5))
    spec: dict[str, Any] = {
        "model": pick.choice((LLAMA_7B, "Qwen/Qwen2.5-1.5B", "mistralai/Mistral-7B-v0.1")),
        "method": pick.choice(("lora", "qlora", "prompt", "prefix", "full")),
        "data": {"train": "rows.jsonl", "max_length": pick.choice((256, 777, 2048))},
        "train": {"batch_size": micro, "gradient_accumulation": accumulation},
        "tune": {"allow": ["quantize", "shorten"]},
    }
    if spec["method"] != "prefix" and pick.random() < 0.7:
        spec["train"]["activation_checkpointing"] = False
    hardware = card(pick.choice((6, 8, 12, 16, 24)))
    result = compiled(spec, root, hardware)
    assert result.plan is not None
    plan = result.plan
    assert plan.train.batch_size * plan.train.gradient_accumulation == micro * accumulation
    taken = list(dict.fromkeys(change.rule for change in plan.changes))
    assert taken == sorted(taken, key=ORDER.index)
    if not taken:
        return
    assert plan.memory.verdict in ("fits", "tight")
    if taken[-1] in ("quantize", "shorten"):  # without its last rung it does not fit
        fewer = [leave for leave in ("quantize", "shorten") if leave != taken[-1]]
        before = compiled({**spec, "tune": {"allow": fewer}}, root, hardware)
        assert before.plan is not None
        assert before.plan.memory.verdict != "fits" or before.plan.changes
