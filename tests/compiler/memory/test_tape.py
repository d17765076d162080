"""A tape is played: blocks repeated, releases by distance and by role, gradients kept."""

from __future__ import annotations

from typing import Any

import pytest
from small_tapes import (
    BACKWARD,
    DEQUANTIZED,
    FORWARD,
    HIDDEN,
    LOGITS,
    WEIGHT,
    make_tape,
    product,
    training,
)

from ftspec.compiler.memory.replay import PHASE
from ftspec.compiler.memory.tape import ROLES, Player, order, role

BYTES = [1000, 70, 5, 3]  # of a hidden state, a weight, the logits and a width


def played(layers: int, name: str = "first", **changed: Any) -> tuple[Player, list[Any], list[int]]:
    player = Player(make_tape(**changed), BYTES, layers)
    events, kept = player.play(name)
    return player, events, kept


def alive(events: list[Any]) -> dict[int, int]:
    """What is left at the end; each release must be of something that is alive."""
    found: dict[int, int] = {}
    for key, size in events:
        if key == PHASE:
            continue
        if size == -1:
            del found[key]
        else:
            assert key not in found
            found[key] = size
    return found


def peak(events: list[Any]) -> int:
    found: dict[int, int] = {}
    most = 0
    for key, size in events:
        if size == -1:
            del found[key]
        elif key != PHASE:
            found[key] = size
            most = max(most, sum(found.values()))
    return most


def test_roles_of_blocks() -> None:
    assert [role(layer, 6) for layer in range(6)] == [
        "first",
        "second",
        "middle",
        "middle",
        "next-to-last",
        "last",
    ]
    assert [role(layer, 4) for layer in range(4)] == ["first", "second", "next-to-last", "last"]


def test_a_pass_goes_forth_and_back() -> None:
    names = [(name, layer) for name, layer in order(training(), 5) if layer != 2]
    assert names == [
        ("before", None),
        ("F.first", 0),
        ("F.second", 1),
        ("F.next-to-last", 3),
        ("F.last", 4),
        ("head", None),
        ("turn", None),
        ("B.last", 4),
        ("B.next-to-last", 3),
        ("B.second", 1),
        ("B.first", 0),
    ]


@pytest.mark.parametrize("layers", [4, 5, 6, 30])
def test_blocks_are_repeated(layers: int) -> None:
    _, events, kept = played(layers)
    assert len(kept) == layers
    assert alive(events) == dict.fromkeys(kept, 70)
    # The last block's backward: the embedding, what all blocks keep, the gradient that came in and
    # the one that goes out, and the first weight's.
    assert peak(events) == 1000 * (layers + 3) + 70
    assert sum(size == 1000 for _, size in events) == 1 + layers + 1 + layers


def test_the_middle_is_as_long_as_the_model_is_deep() -> None:
    four, five, nine = (len(played(layers)[1]) for layers in (4, 5, 9))
    assert nine - five == 4 * (five - four)


def test_backward_begins_at_the_turn() -> None:
    _, events, _ = played(6)
    at = [number for number, event in enumerate(events) if event == (PHASE, "backward")]
    assert len(at) == 1
    assert events[at[0] - 1][1] == 5  # the logits
    assert (PHASE, "backward") not in played(6, "evaluate")[1]


def test_gradients_have_their_account_and_stay() -> None:
    player, events, kept = played(6)
    assert {player.kinds[key] for key in kept} == {"gradients"}
    released = {key for key, size in events if size == -1}
    assert not released & set(kept)
    assert sorted(released | set(kept)) == sorted(player.kinds)


def test_a_second_pass_has_keys_of_its_own() -> None:
    player = Player(make_tape(), BYTES, 5)
    first, _ = player.play("first")
    second, _ = player.play("more")
    assert not {key for key, _ in first if key != PHASE} & {
        key for key, _ in second if key != PHASE
    }


def test_evaluation_keeps_nothing() -> None:
    _, events, kept = played(7, "evaluate")
    assert kept == []
    assert alive(events) == {}
    assert peak(events) == 2000


def test_a_block_is_released_by_its_role_from_afar() -> None:
    """The head gives back what each block made: the ends by name, the middle all at once."""
    passes = training()
    passes["head"] = (*(("F", name, 0) for name in ROLES), (LOGITS, FORWARD))
    for name in ROLES:
        passes[f"B.{name}"] = ((WEIGHT, BACKWARD),)
    _, events, _ = played(9, passes={"first": passes})
    logits = next(number for number, (_, size) in enumerate(events) if size == 5)
    assert sum(size == -1 for _, size in events[:logits]) == 9
    four = played(4, passes={"first": passes})[1]
    assert sum(size == -1 for _, size in four[: four.index((6, 5))]) == 4


def test_what_is_gone_is_not_released_twice() -> None:
    passes = training()
    passes["head"] = (("before", "", 0), ("before", "", 0), (LOGITS, FORWARD))
    _, events, _ = played(5, passes={"first": passes})
    alive(events)  # asserts


@pytest.mark.parametrize(
    ("segment", "after", "before"),
    [
        ("before", 0, 0),  # nothing comes before it
        ("F.first", 1, 2),
        ("F.middle", 1, 4),  # the first block in the middle
        ("B.middle", 1, 15),  # seven blocks' inputs; backward begins with the last one
        ("P.first", 0, 24),  # a place that does not come: at the end
    ],
)
def test_a_workspace_comes_once_and_stays(segment: str, after: int, before: int) -> None:
    player = Player(make_tape(), BYTES, 7)
    events, _ = player.play("first", workspaces=[(segment, after, 999)])
    made = [size for key, size in events if key != PHASE and size != -1]
    assert made.count(999) == 1
    assert made.index(999) == before
    assert 999 in alive(events).values()
    assert player.kinds[next(key for key, size in events if size == 999)] == "workspace"


def test_the_evaluation_of_another_tape() -> None:
    other = make_tape(sizes=(product(7, B=1), *make_tape().sizes[1:]), tags=("other:op", "b", "c"))
    tape = make_tape().evaluated_as(other)
    assert tape.passes["first"] == make_tape().passes["first"]
    size, tag = tape.passes["evaluate"]["before"][0]
    assert (tape.sizes[int(size)], tape.tags[int(tag)]) == (product(7, B=1), "other:op")
    player = Player(tape, [*BYTES, 7000, *BYTES[1:]], 5)
    assert peak(player.play("evaluate")[0]) == 14000
    assert peak(player.play("first")[0]) == peak(played(5)[1])


def test_what_is_made_for_blocks_beforehand() -> None:
    """A prefix's keys: each block gives its own back when its backward is done."""
    passes = {f"P.{name}": ((LOGITS, FORWARD),) for name in ROLES} | training()
    for name in ROLES:
        passes[f"B.{name}"] = (*passes[f"B.{name}"], ("P", 0, 0))
    _, events, kept = played(6, passes={"first": passes})
    before = [size for _, size in events[:7]]
    assert before == [1000, *[5] * 6]
    assert set(alive(events)) == set(kept)


def test_accounts_are_by_segment_and_by_operation() -> None:
    passes = training()
    passes["F.middle"] = ((HIDDEN, FORWARD), (WEIGHT, DEQUANTIZED), ("F", 0, 1))
    player, events, _ = played(5, passes={"first": passes})
    found = {(player.kinds[key], size) for key, size in events if key != PHASE and size != -1}
    assert found == {
        ("activations", 1000),
        ("logits", 5),
        ("logits", 1000),  # the gradient that the loss hands to the blocks
        ("dequantized", 70),
        ("gradients", 70),
    }
