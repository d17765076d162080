"""The views of a run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ftspec.runtime.events import Event
from ftspec.runtime.live import LiveView, PlainView, describe, view_for

EVENTS: list[Event] = [
    {"event": "launch", "run": 3},
    {"event": "start", "total_steps": 20, "train_rows": 40, "resumed_from": "checkpoint-5"},
    {"event": "step", "step": 10, "loss": 1.23456, "tokens_per_second": 4321.9},
    {"event": "eval", "step": 10, "loss": 1.5},
    {"event": "checkpoint", "step": 10, "path": "checkpoint-10"},
    {"event": "step", "step": 20, "loss": float("nan"), "tokens_per_second": None},
    {"event": "out-of-memory", "phase": "train"},
    {"event": "stop", "step": 20},
    {"event": "end", "step": 20},
    {"event": "a kind of later versions", "step": 20},
]
LINES = [
    "run 3: loading the model and the data",
    "going on from checkpoint-5: 20 steps, 40 rows",
    "step 10: loss 1.235, 4,322 tokens/s",
    "step 10: held-out loss 1.500",
    "step 10: checkpoint written",
    "step 20: loss nan, no rate",
    "out of memory in phase train",
    "stopped at step 20",
    "finished at step 20",
]


def test_one_line_an_event() -> None:
    stream = io.StringIO()
    view = PlainView(stream)
    for event in EVENTS:
        view.event(event)
    view.note("a note [with] brackets")
    view.close()
    assert stream.getvalue().splitlines() == [*LINES, "a note [with] brackets"]


@pytest.mark.parametrize("kind", ["start", "step", "eval", "checkpoint", "stop", "end"])
def test_an_event_without_its_facts_is_still_a_line(kind: str) -> None:
    assert describe({"event": kind}) is not None


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_live_view_draws(width: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, color_system=None)
    view = LiveView(console)
    for event in EVENTS:
        view.event(event)
    view.note("a note [/with] brackets")
    view.close()
    shown = stream.getvalue()
    assert "going on from checkpoint-5" in shown
    assert "a note [/with] brackets" in shown
    assert "out of memory in phase train" in shown
    if width > 40:
        assert "20/20  loss nan, held out 1.500  no rate" in shown


def test_a_view_that_has_shown_nothing_leaves_nothing() -> None:
    stream = io.StringIO()
    view = LiveView(Console(file=stream, force_terminal=True, width=80))
    view.close()
    assert stream.getvalue() == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_stream_decides_on_the_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(view_for(io.StringIO()), PlainView)
    assert isinstance(view_for(Terminal()), LiveView)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(view_for(Terminal()), PlainView)
