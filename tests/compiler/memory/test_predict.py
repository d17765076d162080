"""The best way there is: a tape, a live trace, the closed form, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from small_tapes import FORWARD, HIDDEN, evaluation, make_shape, make_tape, make_work

from ftspec.compiler.facts.gpus import Gpu, find_gpu
from ftspec.compiler.memory import ledger as closed
from ftspec.compiler.memory import tapes
from ftspec.compiler.memory.peaks import Peaks, peaks
from ftspec.compiler.memory.predict import of_peaks, predict, quick
from ftspec.compiler.memory.tape import Segment, Tape
from ftspec.compiler.memory.work import Work

MIB = 2**20
CONFIG = {"model_type": "llama"}
SEEN = Peaks(
    allocated=9 * MIB,
    reserved=10 * MIB,
    phases={
        "load": (3 * MIB, 4 * MIB),
        "forward": (8 * MIB, 9 * MIB),
        "backward": (9 * MIB, 10 * MIB),
    },
    parts={"base_weights": 3 * MIB, "gradients": 2 * MIB, "activations": 4 * MIB},
    moment="backward",
    paged=0,
)


@pytest.fixture
def gpu() -> Gpu:
    found = find_gpu("h100")
    assert found is not None
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """No tape is there; which were asked for."""
    names: list[tuple[str, str]] = []

    def find(structure: str, regime: str) -> Tape | None:
        names.append((structure, regime))
        return None

    monkeypatch.setattr(tapes, "find", find)
    return names


@pytest.fixture
def tape(monkeypatch: pytest.MonkeyPatch) -> Tape:
    """A tape is there, whatever is asked for."""
    made = make_tape()
    monkeypatch.setattr(tapes, "find", lambda *_: made)
    return made


class FakeTracer:
    """Answers what it was told to, and keeps the questions."""

    def __init__(self, answer: Peaks | None) -> None:
        self.answer = answer
        self.failed = "" if answer else "no torch"
        self.questions: list[Any] = []

    def __call__(
        self, config: Mapping[str, Any], work: Work, capability: tuple[int, ...]
    ) -> Peaks | None:
        self.questions.append((config, work, capability))
        return self.answer


def test_a_tape_comes_first(tape: Tape, gpu: Gpu) -> None:
    tracer, work = FakeTracer(SEEN), make_work(eval_batch=2)
    found = predict(CONFIG, work, gpu, tracer)
    assert found is not None
    seen = peaks(tape, work, gpu.capability)
    assert found.method == "tape"
    assert tracer.questions == []
    assert found.allocated_peak_bytes == seen.allocated
    assert found.reserved_bytes == seen.reserved
    assert found.peak_bytes == seen.reserved + found.context_bytes
    assert found.low_bytes <= found.peak_bytes <= found.high_bytes
    assert {"load", "train", "evaluate"} <= set(found.phases)


def test_parts_make_up_what_is_reserved(tape: Tape, gpu: Gpu) -> None:
    found = predict(CONFIG, make_work(), gpu)
    assert found is not None
    assert sum(part.bytes for part in found.parts) == found.reserved_bytes
    assert all(part.formula and part.source for part in found.parts)


def test_without_a_tape_the_tracer_is_asked(asked: list[Any], gpu: Gpu) -> None:
    tracer, work = FakeTracer(SEEN), make_work()
    found = predict(CONFIG, work, gpu, tracer)
    assert asked == [("llama tied", "full, bfloat16, bfloat16, cudnn masked")]
    assert tracer.questions == [(CONFIG, work, gpu.capability)]
    assert found is not None
    assert (found.method, found.moment) == ("traced", "backward")
    assert found.phases["load"] == 3 * MIB
    assert found.phases["train"] == found.allocated_peak_bytes == 9 * MIB
    assert found.reserved_bytes == 10 * MIB


def test_a_set_up_that_no_tape_covers_is_traced_at_once(asked: list[Any], gpu: Gpu) -> None:
    found = predict(CONFIG, make_work(full_logits=True), gpu, FakeTracer(SEEN))
    assert asked == []
    assert found is not None
    assert found.method == "traced"


def test_an_evaluation_may_have_a_mask_where_training_has_none(
    monkeypatch: pytest.MonkeyPatch, gpu: Gpu
) -> None:
    """Its tape is another regime's: a single row in training, several in evaluation."""
    single, several = make_tape(), make_tape(passes={**make_tape().passes, "evaluate": wide()})
    plain = "full, bfloat16, bfloat16, cudnn"
    monkeypatch.setattr(tapes, "find", lambda _, name: {plain: single}.get(name, several))
    work = make_work(batch=1, eval_batch=4)
    found = predict(CONFIG, work, gpu)
    same = predict(CONFIG, replace(work, padded=False), gpu)
    assert found is not None
    assert same is not None
    hidden = 2 * 4 * 64 * 256
    assert found.phases["evaluate"] == same.phases["evaluate"] + hidden
    assert found.phases["train"] == same.phases["train"]
    monkeypatch.setattr(tapes, "find", lambda _, name: {plain: single}.get(name))
    tracer = FakeTracer(SEEN)
    traced = predict(CONFIG, work, gpu, tracer)
    assert traced is not None
    assert traced.method == "traced"


def test_packed_rows_that_cannot_be_traced_go_by_the_tape_of_padded_ones(
    monkeypatch: pytest.MonkeyPatch, gpu: Gpu
) -> None:
    tape, work = make_tape(), make_work(packed=True)
    padded = "full, bfloat16, bfloat16, cudnn masked"
    monkeypatch.setattr(tapes, "find", lambda _, name: {padded: tape}.get(name))
    for tracer, method in (
        (FakeTracer(SEEN), "traced"),
        (FakeTracer(None), "tape"),
        (None, "tape"),
    ):
        found = predict(CONFIG, work, gpu, tracer)
        assert found is not None
        assert found.method == method
    hasty = quick(CONFIG, work, gpu)
    assert hasty is not None
    assert hasty.method == "tape"


def wide() -> dict[str, Segment]:
    """An evaluation with a mask as large as a hidden state."""
    return {**evaluation(), "before": ((HIDDEN, FORWARD), (HIDDEN, FORWARD))}


def test_without_a_tracer_the_closed_form_answers(asked: list[Any], gpu: Gpu) -> None:
    found = predict(CONFIG, make_work(), gpu)
    assert found == closed.predict(make_work(), gpu)
    assert found is not None
    assert found.method == "closed-form"


def test_a_tracer_that_cannot_leaves_it_to_the_closed_form(asked: list[Any], gpu: Gpu) -> None:
    tracer = FakeTracer(None)
    found = predict(CONFIG, make_work(), gpu, tracer)
    assert len(tracer.questions) == 1
    assert found is not None
    assert found.method == "closed-form"


UNKNOWN = make_work(make_shape(architecture="unheard-of"), parameters=10**6)
EXPERTS = make_work(make_shape(experts=8, experts_per_token=2, expert_ffn=64))


@pytest.mark.parametrize("work", [UNKNOWN, EXPERTS], ids=["an unknown family", "experts"])
def test_what_the_closed_form_does_not_cover_is_not_said(
    work: Work, asked: list[Any], gpu: Gpu
) -> None:
    assert predict(CONFIG, work, gpu) is None
    assert predict(CONFIG, work, None) is None
    assert predict(CONFIG, work, gpu, FakeTracer(None)) is None
    assert quick(CONFIG, work, gpu) is None
    found = predict(CONFIG, work, gpu, FakeTracer(SEEN))
    assert found is not None
    assert found.method == "traced"


@pytest.mark.parametrize(("config", "card"), [(None, True), (CONFIG, False)])
def test_without_a_config_or_a_card_the_closed_form_answers(
    config: Mapping[str, Any] | None, card: bool, asked: list[Any], gpu: Gpu
) -> None:
    tracer = FakeTracer(SEEN)
    found = predict(config, make_work(), gpu if card else None, tracer)
    assert (asked, tracer.questions) == ([], [])
    assert found is not None
    assert found.method == "closed-form"


def test_between_ranks_the_gradients_lie_there_twice(gpu: Gpu) -> None:
    one = of_peaks(SEEN, make_work(), gpu, "traced")
    two = of_peaks(SEEN, make_work(ranks=2), gpu, "traced")
    assert two.reserved_bytes - one.reserved_bytes == 2 * MIB
    assert two.phases["train"] - one.phases["train"] == 2 * MIB
    assert two.phases["load"] == one.phases["load"]
    assert [part.bytes for part in two.parts if part.name == "buckets"] == [2 * MIB]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"eval_batch": 16},
        {"accumulation": 4},
        {"batch": 7, "length": 33, "optimizer": "adamw_8bit"},
        {"optimizer": "adafactor"},
        {"optimizer": "adamw_torch", "batch": 1, "length": 4},
    ],
    ids=str,
)
def test_the_planner_s_quick_answer_has_the_same_peak(
    changed: dict[str, Any], tape: Tape, gpu: Gpu
) -> None:
    work = make_work(**changed)
    exact, fast = predict(CONFIG, work, gpu), quick(CONFIG, work, gpu)
    assert exact is not None
    assert fast is not None
    assert fast.method == "tape"
    # A partial norm, a count and the like are not in it.
    assert fast.allocated_peak_bytes == pytest.approx(exact.allocated_peak_bytes, rel=1e-3)
