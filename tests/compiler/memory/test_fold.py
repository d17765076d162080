"""A trace of alike blocks is folded into a tape; blocks that differ are refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ftspec.compiler.memory.tape import Asked, Player, Tape
from ftspec.compiler.memory.trace.fold import LAYERS, NotFoldedError, fold

Events = list[tuple[int, int, str]]
KEPT, GRADIENT, LOGITS = 1000, 70, 5


class Log:
    """What a trace of a small model logs: a block keeps one tensor and trains one weight."""

    def __init__(self, layers: int) -> None:
        self.layers = layers
        self.events: Events = []
        self.gradients: dict[int, str] = {}
        self.count = 0

    def mark(self, name: str) -> None:
        self.events.append((-1, 0, name))

    def made(self, size: int, tag: str) -> int:
        self.count += 1
        self.events.append((self.count, size, tag))
        return self.count

    def gone(self, key: int) -> None:
        self.events.append((key, -1, ""))

    def load(self) -> None:
        self.mark("load")
        self.made(50, "base::model.embed.weight")
        for layer in range(self.layers):
            self.made(GRADIENT, f"base::model.layers.{layer}.mlp.weight")

    def micro(self, number: int, odd: int = -1) -> None:
        """One micro-step; `odd`: a block that keeps more than the others."""
        self.mark(f"step 0 micro {number}")
        hidden = self.made(KEPT, "forward::embedding")
        saved = []
        for layer in range(self.layers):
            self.mark(f"F {layer}")
            size = KEPT + (layer == odd)
            saved.append(self.made(size, f"forward:{layer}:mm"))
        self.mark("head")
        logits = self.made(LOGITS, "forward::mm:inside#0.0")
        self.mark("turn")
        grad = self.made(KEPT, "backward::mm")
        self.gone(logits)
        for layer in reversed(range(self.layers)):
            self.mark(f"B {layer}")
            if layer == 2:
                self.mark(f"B {layer}")  # the same place, marked twice
            weight = self.made(GRADIENT, f"backward:{layer}:mm")
            self.gradients[weight] = f"model.layers.{layer}.mlp.weight"
            following = self.made(KEPT, f"backward:{layer}:mm")
            self.gone(grad)
            self.gone(saved[layer])
            grad = following
        self.gone(grad)
        self.gone(hidden)
        self.mark("step 0 clip")

    def trace(self) -> Any:
        trained = [
            (f"model.layers.{layer}.mlp.weight", (7, 5), 2, False) for layer in range(self.layers)
        ]
        return SimpleNamespace(
            events=self.events,
            trained=[("model.embed.weight", (5, 5), 2, True), *trained],
            gradients=self.gradients,
            calls=[],
            layers=self.layers,
        )


def logged(layers: int = LAYERS, odd: int = -1) -> Log:
    log = Log(layers)
    log.load()
    log.micro(0, odd)
    return log


def sizes_of(tape: Tape) -> list[int]:
    return [size[1] if size[0] == "bytes" else LOGITS for size in tape.sizes]


def of_the_pass(log: Log) -> list[int]:
    """The sizes and releases of a traced micro-step, without keys."""
    begin = log.events.index((-1, 0, "step 0 micro 0"))
    return [size for key, size, _ in log.events[begin:] if key != -1]


@pytest.mark.parametrize("layers", [LAYERS, 4, 5, 12])
def test_a_folded_trace_plays_as_a_model_of_any_depth_is_traced(layers: int) -> None:
    tape = fold(logged().trace())
    player = Player(tape, sizes_of(tape), layers)
    events, kept = player.play("first")
    expected = of_the_pass(logged(layers))
    assert [size for key, size in events if key >= 0] == expected
    assert len(kept) == layers
    assert {player.kinds[key] for key in kept} == {"gradients"}


def test_blocks_are_written_once() -> None:
    tape = fold(logged().trace())
    assert [one.name for one in tape.base] == ["model.embed.weight", "model.layers.1.mlp.weight"]
    assert [one.each_block for one in tape.base] == [False, True]
    assert [(one.name, one.embedding, one.each_block) for one in tape.trained] == [
        ("model.embed.weight", True, False),
        ("model.layers.1.mlp.weight", False, True),
    ]
    assert [tape.sizes[place] for place in tape.trained[1].shape] == [("bytes", 7), ("bytes", 5)]
    assert set(tape.gradients) == {
        f"first.B.{role}" for role in ("first", "second", "middle", "next-to-last", "last")
    }


def test_what_an_operation_allocates_inside_is_a_call() -> None:
    tape = fold(logged().trace())
    assert ("call", 0, 0) in tape.sizes
    size, tag = tape.passes["first"]["head"][0]
    assert (tape.sizes[int(size)], tape.tags[int(tag)]) == (("call", 0, 0), "forward:mm")


def test_later_micro_steps_and_the_evaluation_are_passes_of_their_own() -> None:
    log = logged()
    log.micro(1)
    log.mark("evaluate")
    key = log.made(LOGITS, "evaluate::mm")
    log.gone(key)
    log.mark("end")
    tape = fold(log.trace())
    assert set(tape.passes) == {"first", "more", "evaluate"}
    assert tape.passes["evaluate"]["before"][1] == ("before", "", 0)


@pytest.mark.parametrize("odd", [3, 4])
def test_blocks_in_the_middle_that_differ_are_refused(odd: int) -> None:
    with pytest.raises(NotFoldedError, match=r"first: F\.middle of layer"):
        fold(logged(odd=odd).trace())


def test_a_micro_step_of_two_forwards_is_refused() -> None:
    """As with label smoothing, where the loss's own forward comes on top."""
    log = Log(LAYERS)
    log.mark("step 0 micro 0")
    for _ in range(2):
        for layer in range(LAYERS):
            log.mark(f"F {layer}")
            log.made(KEPT, f"forward:{layer}:mm")
        log.mark("head")
    with pytest.raises(NotFoldedError, match="F 0 twice"):
        fold(log.trace())


@pytest.mark.parametrize("odd", [0, 1, LAYERS - 1])
def test_blocks_at_the_ends_may_differ(odd: int) -> None:
    tape = fold(logged(odd=odd).trace())
    events, _ = Player(tape, sizes_of(tape), 20).play("first")
    assert sum(size == KEPT + 1 for _, size in events) == 1


def test_the_workspaces_of_cublas_are_not_a_pass_s_own() -> None:
    log = logged()
    log.events.insert(log.events.index((-1, 0, "head")), (999, 32, "workspace::forward"))
    tape = fold(log.trace())
    assert ("bytes", 32) not in tape.sizes
    assert tape.asked == (Asked("forward", "first", "F.last", 1),)


def test_a_workspace_comes_where_the_first_step_asks_for_it() -> None:
    """Passes are the last step's, which asks for none."""
    log = logged()
    log.events.insert(log.events.index((-1, 0, "turn")) + 2, (998, 32, "workspace::backward"))
    begin = log.events.index((-1, 0, "step 0 micro 0"))
    second = Log(LAYERS)
    second.count = log.count
    second.micro(0)
    words = [(key, size, tag.replace("step 0", "step 1")) for key, size, tag in second.events]
    log.events += [(-1, 0, "step 0 zero"), *words]
    log.gradients |= second.gradients
    tape = fold(log.trace())
    assert begin > 0
    assert tape.asked == (Asked("backward", "first", "turn", 1),)
    asked = [(one.segment, one.after, 32) for one in tape.asked]
    player = Player(tape, sizes_of(tape), 5)
    sizes = [size for key, size in player.play("first", workspaces=asked)[0] if key >= 0]
    plain = of_the_pass(logged(5))
    at = sizes.index(32)
    assert sizes[:at] + sizes[at + 1 :] == plain
    assert sizes[at - 2 : at] == [LOGITS, KEPT]  # after the first allocation of the loss's backward


def test_what_blocks_find_made_is_theirs() -> None:
    """A prefix's keys are made before the first block, and each block gives back its own."""
    log = Log(LAYERS)
    log.mark("step 0 micro 0")
    keys = [log.made(9, "forward::split") for _ in range(LAYERS)]
    for layer in range(LAYERS):
        log.mark(f"F {layer}")
    log.mark("head")
    log.mark("turn")
    for layer in reversed(range(LAYERS)):
        log.mark(f"B {layer}")
        log.gone(keys[layer])
    tape = fold(log.trace())
    assert tape.passes["first"]["P.middle"] == ((tape.sizes.index(("bytes", 9)), 0),)
    assert tape.passes["first"]["B.middle"] == (("P", 0, 0),)
    assert tape.passes["first"]["before"] == ()
    events, _ = Player(tape, sizes_of(tape), 11).play("first")
    assert sum(size == 9 for _, size in events) == 11
