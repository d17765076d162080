"""A run is written down: loading, steps and an evaluation; what optimizers keep, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tapes import make_tape, make_work

from ftspec.compiler.memory.ledger import OPTIMIZER_BYTES
from ftspec.compiler.memory.optimizers import OPTIMIZERS, Need, Parameter
from ftspec.compiler.memory.peaks import peaks, setting_of
from ftspec.compiler.memory.replay import EMPTY_CACHE, PHASE, replay
from ftspec.compiler.memory.simulate import (
    Setting,
    events,
    load_quantized,
    paged_bytes,
    parameters,
)
from ftspec.compiler.memory.tape import Base, Player, Tape, Trained

HIDDEN, WEIGHT, LOGITS, WIDTH = BYTES = [4096, 2048, 1024, 32]
LAYERS = 6
WORKSPACE = 10_000


def setting(**changed: Any) -> Setting:
    plain = Setting(
        layers=LAYERS,
        accumulation=1,
        optimizer="sgd",
        inputs=(80, 80, 80),
        eval_inputs=(),
        workspace=WORKSPACE,
        biased_workspace=0,
        quantized=False,
    )
    return replace(plain, **changed)


def run(tape: Tape | None = None, **changed: Any) -> tuple[list[Any], dict[int, str]]:
    """The events of a run, checked: nothing is released twice, or before it is made."""
    player = Player(tape or make_tape(), list(BYTES), LAYERS)
    made = list(events(player, BYTES, setting(**changed)))
    alive: set[int] = set()
    for key, size in made:
        if key < 0:
            continue
        if size == -1:
            alive.remove(key)
        else:
            assert key not in alive
            alive.add(key)
    return made, player.kinds


def left(made: list[Any], kinds: dict[int, str]) -> dict[str, list[int]]:
    """What is alive at the end, by account."""
    alive = {key: size for key, size in made if key >= 0 and size >= 0}
    for key, size in made:
        if size == -1:
            del alive[key]
    found: dict[str, list[int]] = {}
    for key, size in alive.items():
        found.setdefault(kinds[key], []).append(size)
    return found


def phases(made: list[Any]) -> list[str]:
    return [name for key, name in made if key == PHASE]


def of(made: list[Any], kinds: dict[int, str], account: str) -> list[int]:
    return [size for key, size in made if key >= 0 and size >= 0 and kinds[key] == account]


# --- the order ------------------------------------------------------------------------------------


def test_loading_comes_first_and_leaves_no_cache() -> None:
    made, kinds = run()
    assert made[0] == (PHASE, "load")
    empty = made.index((EMPTY_CACHE, 0))
    held = [size for _, size in made[1:empty]]
    assert held == [LOGITS, *[WEIGHT] * LAYERS, WIDTH]  # embedding, blocks, norm
    assert {kinds[key] for key, _ in made[1:empty]} == {"base_weights"}
    assert made[empty + 1] == (PHASE, "forward")


def test_two_steps_then_the_evaluation() -> None:
    step = ["forward", "forward", "backward", "optimizer"]  # the batch, then a micro-step
    assert phases(run()[0]) == ["load", *step, *step]
    assert phases(run(eval_inputs=(160,))[0]) == ["load", *step, *step, "evaluate"]
    without = make_tape(passes={"first": make_tape().passes["first"]})
    assert "evaluate" not in phases(run(without, eval_inputs=(160,))[0])


def test_a_step_leaves_weights_states_and_workspaces() -> None:
    assert left(*run(optimizer="adamw_torch_fused")) == {
        "base_weights": [LOGITS, *[WEIGHT] * LAYERS, WIDTH],
        "workspace": [WORKSPACE] * 2,  # made once, in the first micro-step
        "optimizer": [4, 2048, 2048] * LAYERS,
    }


def test_workspaces_come_at_the_first_step_s_products() -> None:
    made, kinds = run()
    keys = [key for key, size in made if size != -1 and kinds.get(key) == "workspace"]
    forward, backward = (made.index((key, WORKSPACE)) for key in keys)
    begin = made.index((PHASE, "backward"))
    assert made.index((EMPTY_CACHE, 0)) < forward < begin < backward
    assert made[forward - 1][1] == made[backward - 1][1] == HIDDEN


def test_an_evaluation_s_sizes_are_its_own() -> None:
    player = Player(make_tape(), list(BYTES), LAYERS)
    wide = [2 * size for size in BYTES]
    made = list(events(player, BYTES, setting(eval_inputs=(160,)), wide))
    after = made[made.index((PHASE, "evaluate")) :]
    activations = [
        size for key, size in after if size != -1 and player.kinds.get(key) == "activations"
    ]
    assert set(activations) == {2 * HIDDEN}


# --- accumulation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("accumulation", "passes"), [(1, 1), (2, 2), (4, 2), (64, 2)])
def test_all_batches_of_a_step_lie_there_and_two_micro_steps_stand_for_all(
    accumulation: int, passes: int
) -> None:
    made, kinds = run(accumulation=accumulation)
    assert phases(made).count("backward") == 2 * passes
    assert of(made, kinds, "batch") == [80] * (2 * 3 * accumulation)
    first = made.index((PHASE, "forward"), made.index((EMPTY_CACHE, 0)))
    assert [size for _, size in made[first + 1 : first + 1 + 3 * accumulation]] == [80] * (
        3 * accumulation
    )


def test_gradients_of_the_first_micro_step_lie_beside_the_second() -> None:
    """All are there at once when the optimizer steps; `more` adds into those of `first`."""
    single = {name: gradient for name, gradient in make_tape().gradients.items() if "first" in name}
    tape = make_tape(gradients=single)
    once, twice = (replay(run(tape, accumulation=number)[0]) for number in (1, 2))
    # The gradients of all blocks, and another batch.
    more = twice.phases["backward"][0] - once.phases["backward"][0]
    assert more == LAYERS * WEIGHT + 3 * 512


# --- the clip -------------------------------------------------------------------------------------


def test_the_norm_of_each_gradient_and_its_pieces() -> None:
    made, kinds = run()
    # Six tensors of 32 x 32 elements: a norm each, and one piece each (65,536 elements a piece).
    norms = [4] * LAYERS + [4 * LAYERS]
    assert [size for size in of(made, kinds, "gradients") if size < 100] == 2 * norms


def test_without_trained_parameters_there_is_no_norm() -> None:
    made, kinds = run(make_tape(trained=(), gradients={}))
    assert of(made, kinds, "gradients") == []


# --- what a model holds, quantized ----------------------------------------------------------------


def test_a_quantized_model_is_loaded_weight_by_weight() -> None:
    load, kinds = loaded(*four_bit("absmax"), *four_bit("code"))
    assert load[0][1] == HIDDEN + LAYERS * WEIGHT  # the warm-up, given back at once
    assert load[1] == (load[0][0], -1)
    sizes = [size for _, size in load[2:] if size != -1]
    assert sizes[0] == HIDDEN  # "embed_tokens" comes before "layers"
    # A weight: its two-byte copy; float32 maxima of blocks of 64, which stay; itself, and its code.
    assert sizes[1:5] == [4 * WEIGHT, LOGITS, WEIGHT, LOGITS]
    assert left(load, kinds) == {
        "base_weights": [HIDDEN, *[LOGITS, WEIGHT, LOGITS] * LAYERS],
        "adapters": [WIDTH] * LAYERS,
    }


def test_the_blocks_maxima_are_quantized_once_more() -> None:
    parts = ("absmax", "code", "offset", "absmax", "code")  # the last two: of the maxima
    load, kinds = loaded(*(item for part in parts for item in four_bit(part)))
    first = [size for _, size in load[3:16]]
    copy, maxima, distances = 4 * WEIGHT, 4 * LOGITS, 4 * LOGITS
    state = [LOGITS] * 5
    assert first[:9] == [copy, maxima, WEIGHT, *state[:2], distances, *state[2:]]
    assert first[9:12] == [-1, -1, -1]  # the distances from the mean, the maxima, the copy
    assert left(load, kinds)["base_weights"] == [HIDDEN, *[WEIGHT, *state] * LAYERS]


def test_a_transposed_weight_is_turned_over_first() -> None:
    """GPT-2's Conv1D: two copies lie there at once."""
    parts = (*four_bit("absmax"), *four_bit("code"))
    plain, turned = loaded(*parts)[0], loaded(*parts, transposed=True)[0]
    sizes = [size for _, size in turned if size != -1]
    assert sizes.count(4 * WEIGHT) == 2 * LAYERS
    assert replay(turned).allocated_peak == replay(plain).allocated_peak + 4 * WEIGHT


def test_eight_bits_are_made_by_way_of_the_host() -> None:
    scales = Base("model.layers.1.mlp.base_layer.SCB", LOGITS_AT, True)
    load, kinds = loaded(scales)
    assert [size for _, size in load[3:9]] == [2 * WEIGHT, 2 * WEIGHT, LOGITS, WEIGHT, -1, -1]
    assert left(load, kinds)["base_weights"] == [HIDDEN, *[LOGITS, WEIGHT] * LAYERS]


HIDDEN_AT, WEIGHT_AT, LOGITS_AT, WIDTH_AT = range(4)  # places in the tape's sizes


def four_bit(part: str) -> tuple[Base]:
    """Something that a 4-bit weight keeps beside it."""
    return (Base(f"model.layers.1.mlp.base_layer.weight.{part}", LOGITS_AT, True),)


def loaded(*parts: Base, **changed: Any) -> tuple[list[Any], dict[int, str]]:
    """What loading does; parts: what the quantized weight of each block has."""
    base = (
        Base("model.embed_tokens.weight", HIDDEN_AT, False),
        Base("model.layers.1.mlp.base_layer.weight", WEIGHT_AT, True),
        *parts,
        Base("model.layers.1.mlp.lora_A.default.weight", WIDTH_AT, True),
    )
    made, kinds = run(make_tape(base=base), quantized=True, **changed)
    return made[1 : made.index((EMPTY_CACHE, 0))], kinds


def test_blocks_are_loaded_in_the_order_of_their_numbers() -> None:
    base = tuple(
        Base(f"model.layers.1.{name}.weight", place, True) for place, name in enumerate("abc")
    )
    player = Player(make_tape(base=base), list(BYTES), 12)
    made = list(events(player, BYTES, setting(layers=12, quantized=True)))
    load = [size for _, size in made[3 : made.index((EMPTY_CACHE, 0))]]
    assert load == [HIDDEN, WEIGHT, LOGITS] * 12


# --- optimizers, by hand --------------------------------------------------------------------------

SMALL = Parameter((4, 8), 4)
MATRIX = Parameter((64, 128), 2)  # 8,192 elements
LARGE = Parameter((512, 1024), 2)  # 524,288 elements: 2,048 blocks of 256
VECTOR = Parameter((6000,), 4)
EMBEDDING = Parameter((1024, 512), 2, embedding=True)


@pytest.mark.parametrize(
    ("name", "parameter", "need"),
    [
        ("adamw_torch_fused", SMALL, Need(state=(4, 128, 128))),
        ("adamw_torch_fused", MATRIX, Need(state=(4, 16384, 16384))),
        ("adamw_torch", SMALL, Need(state=(128, 128), during=(128,))),
        ("adamw_8bit", SMALL, Need(state=(128, 128))),  # under 4,096 elements: float32
        ("adamw_8bit", MATRIX, Need(state=(8192, 8192, 128, 128))),
        ("adamw_8bit", LARGE, Need(state=(524288, 524288, 8192, 8192))),
        ("adamw_8bit", EMBEDDING, Need(state=(2097152, 2097152))),  # 32 bits
        ("paged_adamw_8bit", MATRIX, Need(state=(8192, 8192, 128, 128))),  # under 100,000
        ("paged_adamw_8bit", LARGE, Need(state=(8192, 8192), paged=(524288, 524288))),
        ("paged_adamw_32bit", LARGE, Need(paged=(2097152, 2097152))),
        ("paged_adamw_32bit", MATRIX, Need(state=(32768, 32768))),
        # 4 x 64 rows and 4 x 128 columns; gradient, weight and two more in float32.
        ("adafactor", MATRIX, Need(state=(256, 512, 4), passing=(32768,) * 4)),
        ("adafactor", VECTOR, Need(state=(24000, 4), passing=(24000, 24000))),
        ("sgd", LARGE, Need()),
    ],
)
def test_what_an_optimizer_keeps(name: str, parameter: Parameter, need: Need) -> None:
    assert OPTIMIZERS[name](parameter) == need


def test_every_optimizer_of_the_closed_form_has_a_rule() -> None:
    assert set(OPTIMIZERS) == set(OPTIMIZER_BYTES)


def test_states_are_made_in_the_first_step_and_temporaries_are_gone() -> None:
    made, kinds = run(optimizer="adamw_torch")
    first = made.index((PHASE, "optimizer"))
    second = made.index((PHASE, "optimizer"), first + 1)
    optimizer = [
        [size for key, size in part if size != -1 and kinds.get(key) == "optimizer"]
        for part in (made[first:second], made[second:])
    ]
    assert optimizer == [[2048] * (2 * LAYERS + LAYERS), [2048] * LAYERS]


def test_tables_of_8_bit_states_are_made_once() -> None:
    made, kinds = run(optimizer="adamw_8bit")
    assert of(made, kinds, "optimizer")[:2] == [1024, 1024]
    assert of(made, kinds, "optimizer").count(1024) == 2


def test_paged_states_lie_outside_of_the_allocator() -> None:
    wide = [*BYTES[:3], 512]
    tape = make_tape()
    chosen = setting(optimizer="paged_adamw_8bit")
    assert paged_bytes(tape, wide, chosen) == LAYERS * 2 * 512 * 512
    assert paged_bytes(tape, BYTES, chosen) == 0  # matrices of 32 x 32
    assert parameters(tape, wide, LAYERS) == [Parameter((512, 512), 2)] * LAYERS


def test_parameters_come_block_by_block_and_vectors_last() -> None:
    """As an optimizer makes their states: Trainer's groups with and without weight decay."""
    trained = (
        Trained("model.embed_tokens.weight", (3, 2), 2, True, False),
        Trained("model.layers.1.a.weight", (3, 3), 2, False, True),
        Trained("model.layers.1.norm.weight", (3,), 2, False, True),
        Trained("model.layers.1.b.weight", (2, 2), 2, False, True),
        Trained("model.norm.weight", (3,), 2, False, False),
    )
    found = [p.shape for p in parameters(make_tape(trained=trained), [0, 0, 5, 7], 2)]
    assert found == [(7, 5), *[(7, 7), (5, 5)] * 2, *[(7,)] * 3]


@given(st.integers(1, 8), st.integers(1, 8), st.sampled_from(sorted(OPTIMIZERS)))
def test_a_longer_accumulation_needs_no_less(batch: int, accumulation: int, name: str) -> None:
    work = make_work(batch=batch, accumulation=accumulation, optimizer=name)
    longer = replace(work, accumulation=accumulation + 1)
    tape = make_tape()
    assert peaks(tape, work, (9, 0)).allocated <= peaks(tape, longer, (9, 0)).allocated


def test_the_setting_is_of_the_work() -> None:
    work = make_work(batch=3, length=10, eval_batch=5, accumulation=2, optimizer="sgd")
    found = setting_of(work, (9, 0))
    assert (found.layers, found.accumulation, found.optimizer) == (8, 2, "sgd")
    assert found.inputs == (240,) * 3
    assert found.eval_inputs == (400,) * 3
    assert found.workspace == 32 * 2**20
    assert setting_of(replace(work, eval_batch=0), (8, 6)).eval_inputs == ()
    assert setting_of(work, (8, 6)).workspace == 8_519_680
    assert setting_of(replace(work, quantization="nf4"), (9, 0)).quantized


# --- experts --------------------------------------------------------------------------------------


def load(held: list[tuple[str, int]], **changed: Any) -> list[tuple[int, Any]]:
    """The events of loading weights by name, after the warm-up."""
    player = Player(make_tape(), list(BYTES), LAYERS)
    return list(load_quantized(player, held, setting(quantized=True, **changed)))[2:]


def test_experts_are_merged_on_the_card() -> None:
    held = [("mlp.experts.gate_up_proj", 48), ("mlp.experts.down_proj", 24), ("norm.weight", 2)]
    made = [size for _, size in load(held, experts=3)]
    down = [8, 8, 8, 24, -1, -1, -1]
    gate_up = [*[8] * 6, 24, -1, -1, -1, 24, -1, -1, -1, 48, -1, -1]
    assert made == [*down, *gate_up, 2]
    first = [size for _, size in load(held, experts=3, gates_first=True)]
    assert first == [*gate_up, *down, 2]


def test_experts_that_a_checkpoint_holds_merged_are_read_as_they_are() -> None:
    held = [("mlp.experts.gate_up_proj", 48), ("mlp.experts.down_proj", 24)]
    assert [size for _, size in load(held)] == [24, 48]
