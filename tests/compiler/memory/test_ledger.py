"""The ledger of memory: what it may never get wrong, whatever its formulas are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import gpu

from ftspec.compiler.facts.catalogue import known_config, known_ids, known_parameters
from ftspec.compiler.facts.gpus import Gpu
from ftspec.compiler.facts.model import Shape, shape_of
from ftspec.compiler.memory.ledger import predict
from ftspec.compiler.memory.work import DTYPE_BYTES, Work

CARDS = {name: gpu(name) for name in ("t4", "rtx-4090", "a100-80gb", "h100")}
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "vram_t4" / "cfg"


def known(hub_id: str) -> tuple[Shape, int]:
    config, parameters = known_config(hub_id), known_parameters(hub_id)
    assert config is not None and parameters is not None
    return shape_of(config, hub_id), parameters


COVERED = [
    hub_id for hub_id in known_ids() if (s := known(hub_id)[0]).family is not None and not s.experts
]


@st.composite
def works(draw: st.DrawFn) -> Work:
    """Set-ups that the passes may ask about."""
    shape, parameters = known(draw(st.sampled_from(COVERED)))
    method = draw(st.sampled_from(["full", "lora", "qlora", "prefix", "prompt"]))
    assert shape.family is not None
    autocast = draw(st.sampled_from([None, "bfloat16", "float16"]))
    quantizations = {"full": ["none"], "lora": ["none"], "qlora": ["nf4", "fp4", "int8"]}
    checkpointing = [False] if method == "prefix" else [False, True, "selective"]
    return Work(
        shape=shape,
        parameters=parameters,
        method=method,
        batch=draw(st.integers(1, 16)),
        length=draw(st.integers(8, 4096)),
        dtype=draw(st.sampled_from(list(DTYPE_BYTES))),
        autocast=autocast,
        rank=draw(st.sampled_from([1, 8, 64])) if "lora" in method else 0,
        targets=shape.family.targets(draw(st.sampled_from(["attention-min", "all-linear"]))),
        dropout=draw(st.sampled_from([0.0, 0.05])),
        quantization=draw(st.sampled_from(quantizations.get(method, ["none", "nf4"]))),
        double_quant=draw(st.booleans()),
        virtual_tokens=draw(st.integers(1, 50)) if method in ("prefix", "prompt") else 0,
        checkpointing=draw(st.sampled_from(checkpointing)),
        optimizer=draw(st.sampled_from(["adamw_torch_fused", "adamw_8bit", "sgd"])),
        accumulation=draw(st.integers(1, 4)),
        attention=draw(st.sampled_from(["sdpa", "eager", "flash_attention_2"])),
        packed=draw(st.booleans()),
        full_logits=draw(st.booleans()),
        eval_batch=draw(st.integers(0, 8)),
    )


cards = st.sampled_from([None, *CARDS.values()])
MORE: dict[str, Callable[[Work], Work]] = {
    "rows": lambda work: replace(work, batch=work.batch + 1),
    "tokens": lambda work: replace(work, length=work.length + 64),
    "rank": lambda work: replace(work, rank=work.rank + 8) if work.rank else work,
    "virtual tokens": lambda work: replace(
        work, virtual_tokens=work.virtual_tokens + 5 if work.virtual_tokens else 0
    ),
    "rows evaluated": lambda work: replace(work, eval_batch=work.eval_batch + 4),
    "parameters": lambda work: replace(work, parameters=work.parameters + 10**6),
    "accumulation": lambda work: replace(work, accumulation=work.accumulation + 1),
}


@pytest.mark.parametrize("what", MORE)
@given(work=works(), card=cards)
@settings(max_examples=60, deadline=None)
def test_more_never_needs_less(what: str, work: Work, card: Gpu | None) -> None:
    before, after = (predict(item, card) for item in (work, MORE[what](work)))
    assert after.allocated_peak_bytes >= before.allocated_peak_bytes
    assert after.high_bytes >= before.high_bytes


@given(work=works(), card=cards)
@settings(max_examples=200, deadline=None)
def test_what_a_ledger_says_holds_together(work: Work, card: Gpu | None) -> None:
    ledger = predict(work, card)
    names = [part.name for part in ledger.parts]
    assert len(set(names)) == len(names) and "base_weights" in names
    assert all(part.bytes > 0 and part.formula and part.source for part in ledger.parts)
    assert ledger.low_bytes <= ledger.peak_bytes <= ledger.high_bytes
    assert ledger.phases[ledger.peak_phase] == max(ledger.phases.values())
    assert ledger.peak_bytes == ledger.allocated_peak_bytes + ledger.context_bytes
    base = next(part.bytes for part in ledger.parts if part.name == "base_weights")
    assert ledger.phases["train"] > ledger.phases["load"] >= base
    assert ledger.phases["train"] <= sum(part.bytes for part in ledger.parts) * 2
    assert (ledger.context_bytes == 0) is (card is None)


@given(work=works())
@settings(max_examples=100, deadline=None)
def test_checkpointing_saves_memory(work: Work) -> None:
    if work.method == "prefix":
        return
    kept, partly, recomputed = (
        predict(replace(work, checkpointing=how), None).phases["train"]
        for how in (False, "selective", True)
    )
    assert recomputed <= kept
    assert recomputed <= partly


@given(work=works())
@settings(max_examples=100, deadline=None)
def test_fewer_bits_of_the_base_need_less(work: Work) -> None:
    if work.method in ("full", "lora"):
        return
    base = []
    for bits in ("nf4", "int8", "none"):
        parts = predict(replace(work, quantization=bits), None).parts
        base.append(next(part.bytes for part in parts if part.name == "base_weights"))
    assert base == sorted(base)
    doubled, single = (
        predict(replace(work, quantization="nf4", double_quant=how), None).parts[0].bytes
        for how in (True, False)
    )
    assert doubled < single


@pytest.mark.parametrize(
    ("method", "trained"),
    [
        ("full", 6_738_415_616),
        ("lora", 32 * 4 * 16 * (4096 + 4096)),
        ("prefix", 20 * 32 * 2 * 4096),
        ("prompt", 20 * 4096),
    ],
)
def test_what_is_trained_of_llama_2_7b(method: str, trained: int) -> None:
    shape, parameters = known("meta-llama/Llama-2-7b-hf")
    assert shape.family is not None
    work = Work(
        shape=shape,
        parameters=parameters,
        method=method,
        batch=1,
        length=512,
        dtype="bfloat16",
        rank=16,
        targets=shape.family.targets("attention"),
        virtual_tokens=20,
    )
    assert work.trainable == trained


@pytest.mark.parametrize("file", sorted(SHARED.glob("*.json")), ids=lambda file: file.stem)
def test_public_configs_are_read(file: Path) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    shape = shape_of({"model_type": config["family"], **config}, file.name)
    assert shape.family is not None and shape.parameters > 10**8
    work = Work(shape, shape.parameters, "qlora", 1, 512, "float16", "float16", quantization="nf4")
    ledger = predict(work, CARDS["t4"])
    assert ledger.phases["load"] < ledger.phases["train"] < 4 * shape.parameters


def test_the_shared_configs_are_where_they_are_looked_for() -> None:
    if not SHARED.parents[2].is_dir():
        pytest.skip("the measured shapes are not at ../shared/data")
    assert list(SHARED.glob("*.json"))
