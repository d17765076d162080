"""The real libraries are traced: a fold, a tape and the optimizers' rules say the same.

This is the test that notices a new torch, transformers, peft, trl or bitsandbytes. Tensors have no
contents, so that real widths cost no more than small ones; models have few blocks, which do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest

from ftspec.compiler.facts import catalogue
from ftspec.compiler.facts.config import shape_of
from ftspec.compiler.memory import ledger as closed
from ftspec.compiler.memory.live import NEEDED
from ftspec.compiler.memory.optimizers import OPTIMIZERS, Parameter
from ftspec.compiler.memory.peaks import Peaks, of_trace, peaks
from ftspec.compiler.memory.regime import attention_of
from ftspec.compiler.memory.work import Work

MISSING = [name for name in NEEDED if find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.xdist_group("trace"),  # the imports, once
]

HOPPER, AMPERE = (9, 0), (8, 6)
LLAMA, GPT2 = "HuggingFaceTB/SmolLM2-135M", "openai-community/gpt2"
FEW_WORDS = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"  # all in one chunk of the fused loss
ROWS, LENGTH = 9, 1000
# The loss and its count, a micro-step's number of tokens, and the like: 512 bytes each. And one
# micro-batch: a trace gives it back after its micro-step, a tape, as Trainer, after the step.
LOOSE = 16 * 512 + 3 * 8 * ROWS * LENGTH

Config = dict[str, Any]


def config_of(model: str, layers: int) -> Config:
    """The config of a model of the catalogue, with fewer blocks."""
    config = catalogue.known_config(model)
    assert config is not None
    config["n_layer" if "n_layer" in config else "num_hidden_layers"] = layers
    return config


def work_of(config: Config, method: str = "full", **changed: Any) -> Work:
    """More tokens than a tile of the loss has, and two micro-steps."""
    shape = shape_of(config, "here")
    family = shape.family
    assert family is not None
    fields: dict[str, Any] = {
        "shape": shape,
        "parameters": shape.parameters,
        "method": method,
        "batch": ROWS,
        "length": LENGTH,
        "dtype": "bfloat16",
        "autocast": "bfloat16",
        "accumulation": 2,
    }
    if method in ("lora", "qlora"):
        fields |= {"rank": 8, "targets": family.targets("all-linear"), "dropout": 0.05}
    if method in ("prompt", "prefix"):
        fields |= {"virtual_tokens": 12}
    if method == "qlora":
        fields |= {"quantization": "nf4"}
    return Work(**{**fields, **changed})


def traced(config: Config, work: Work, card: tuple[int, int]) -> Peaks:
    """Trace every block."""
    from ftspec.compiler.memory.trace.run import trace

    return of_trace(trace(config, work, card), None, work, card)


def folded(config: Config, work: Work, card: tuple[int, int]) -> Peaks:
    """Trace few blocks, and play them as often as the model has blocks."""
    from ftspec.compiler.memory.trace.__main__ import shortened
    from ftspec.compiler.memory.trace.fold import LAYERS, fold
    from ftspec.compiler.memory.trace.run import trace

    seen = trace(shortened(config, LAYERS), work, card)
    return of_trace(seen, fold(seen), work, card)


def taped(config: Config, work: Work, card: tuple[int, int]) -> Peaks:
    """Trace a model of coded widths, and play it at this one's."""
    from ftspec.compiler.memory.trace.record import record

    return peaks(record(config, work, attention_of(work, card).split()[0]), work, card)


def same(one: Peaks, other: Peaks, share: float = 0.0) -> None:
    """Hold two peaks, phase by phase, against each other; share: of what may differ."""
    assert one.moment == other.moment
    for phase in ("forward", "backward"):
        expected = other.phases[phase][0]
        assert one.phases[phase][0] == pytest.approx(expected, abs=LOOSE + share * expected), phase
    # What the model holds is known to the byte; each tensor has blocks of 512.
    for part in ("base_weights", "adapters", "workspace"):
        assert one.parts.get(part, 0) == other.parts.get(part, 0), part


# --- a fold is played at another depth ------------------------------------------------------------


def test_few_blocks_stand_for_more() -> None:
    config = config_of(GPT2, 9)
    work = work_of(config, "lora", checkpointing=True)
    same(folded(config, work, AMPERE), traced(config, work, AMPERE))


# --- a tape of coded widths -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "card", "changed"),
    [
        (LLAMA, HOPPER, {"method": "lora"}),
        (LLAMA, AMPERE, {"method": "qlora", "checkpointing": True, "accumulation": 1}),
        (FEW_WORDS, HOPPER, {"dtype": "float32", "batch": 1, "length": 512}),
        (LLAMA, HOPPER, {"method": "prefix", "accumulation": 1}),
        (GPT2, AMPERE, {"method": "prompt", "length": 900, "accumulation": 1}),
    ],
    ids=["lora", "qlora", "one row, few words", "prefix", "prompt"],
)
def test_a_tape_says_what_a_trace_of_the_model_says(
    model: str, card: tuple[int, int], changed: dict[str, Any]
) -> None:
    config = config_of(model, 4)
    work = work_of(config, **changed)
    same(taped(config, work, card), traced(config, work, card), 0.0005)


def test_an_evaluation_has_a_mask_where_training_has_none() -> None:
    """A row in training, three in evaluation: its tape is that of another regime."""
    from ftspec.compiler.memory.trace.__main__ import taped as both

    config = config_of(LLAMA, 4)
    work = work_of(config, "lora", batch=1, length=700, eval_batch=3, accumulation=1)
    tape = both(config, work, AMPERE, None)
    played, seen = peaks(tape, work, AMPERE), traced(config, work, AMPERE)
    same(played, seen, 0.0005)
    expected = seen.phases["evaluate"][0]
    assert played.phases["evaluate"][0] == pytest.approx(expected, rel=0.0005, abs=LOOSE)
    masks = {
        name: sum(dict(tape.sizes[op[0]][1][1]).get("S", 0) == 2 for op in ops if len(op) == 2)
        for name, ops in ((name, tape.passes[name]["before"]) for name in ("first", "evaluate"))
    }
    assert masks["first"] == 0
    assert masks["evaluate"] > 0


def test_a_tape_is_the_same_for_held_out_rows_of_any_length() -> None:
    from ftspec.compiler.memory.trace.record import record

    config = config_of(GPT2, 4)
    work = work_of(config, accumulation=1, eval_batch=2)
    shorter = replace(work, eval_batch=4, eval_length=512, eval_padded=False)
    assert record(config, shorter, "flash") == record(config, work, "flash")


@pytest.mark.parametrize(
    ("model", "method", "names"),
    [
        (LLAMA, "qlora", ["forward", "backward"]),
        (GPT2, "lora", ["forward", "forward biased", "backward"]),
    ],
)
def test_cublas_is_asked_by_the_first_block_and_by_the_loss(
    model: str, method: str, names: list[str]
) -> None:
    """In forward by the first block's first product, in backward by the logits', once more."""
    from ftspec.compiler.memory.trace.record import record

    config = config_of(model, 4)
    asked = record(config, work_of(config, method), "cudnn").asked
    assert [one.name for one in asked] == names
    assert {one.played for one in asked} == {"first"}
    places = {one.name.split()[0]: one.segment for one in asked}
    assert places == {"forward": "F.first", "backward": "turn"}
    assert all(one.after > 0 for one in asked)


def test_adapters_on_a_quantized_base_are_cast_by_autocast() -> None:
    """GPT-2's norms are float32 there, so that peft would cast by hand where autocast is off."""
    config = config_of(GPT2, 4)
    work = work_of(config, "qlora", accumulation=1)
    tape, seen = taped(config, work, HOPPER), traced(config, work, HOPPER)
    same(tape, seen, 0.0005)
    assert tape.reserved == pytest.approx(seen.reserved, rel=0.02)


def test_three_ways_to_the_peak_of_a_whole_model() -> None:
    """A tape, a trace of all thirty blocks, and the closed form."""
    config = config_of(LLAMA, 30)
    work = work_of(config, dtype="float32", batch=4, accumulation=1)
    tape, seen = taped(config, work, HOPPER), traced(config, work, HOPPER)
    assert tape.allocated == pytest.approx(seen.allocated, rel=0.002)
    assert tape.reserved == pytest.approx(seen.reserved, rel=0.02)
    formula = closed.predict(work, None).allocated_peak_bytes
    assert formula == pytest.approx(seen.allocated, rel=0.15)


# --- the optimizers' rules ------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_an_optimizer_keeps_is_what_its_rule_says(name: str) -> None:
    """One block, with weights on both sides of every threshold."""
    from ftspec.compiler.memory.trace.run import trace

    small = {"hidden_size": 128, "intermediate_size": 1024, "vocab_size": 2048}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = {**config_of(LLAMA, 1), **small, **heads}
    work = work_of(config, optimizer=name, batch=1, length=16, accumulation=1)
    seen = trace(config, work, HOPPER)
    states: dict[int, int] = {}
    for key, size, tag in seen.events:
        if size > 0 and tag.startswith("optimizer:"):
            states[key] = size
        elif size < 0:
            states.pop(key, None)
    if name == "adamw_torch":  # its counts lie on the host (torch/optim/adam.py, _get_scalar_dtype)
        states = {key: size for key, size in states.items() if size != 4}
    rule = OPTIMIZERS[name]
    needs = [rule(Parameter(shape, each, table)) for _, shape, each, table in seen.trained]
    assert Counter(states.values()) == Counter(size for need in needs for size in need.state)
    assert len(seen.trained) == 11


def test_gradients_of_a_whole_trace_have_their_account() -> None:
    """Between ranks they lie there twice, so that they have to be told apart."""
    config = config_of(GPT2, 2)
    work = work_of(config, batch=1, length=64, accumulation=1)
    seen = traced(config, work, HOPPER)
    assert seen.moment == "backward"
    assert seen.parts["gradients"] > 0
    longer = traced(config, replace(work, accumulation=2), HOPPER)
    # All of the first micro-step's lie there in the second one's backward.
    assert longer.parts["gradients"] >= 2 * work.parameters
