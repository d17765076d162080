"""The views of a run."""

from __future__ import annotations

import io
import math
import re

import pytest
from rich.console import Console

from ftspec.runtime.events import Event
from ftspec.runtime.live import PlainView, describe, view_for
from ftspec.runtime.live_view import LiveView, small_curve

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


def shown(width: int, events: list[Event], *, encoding: str = "utf-8") -> list[str]:
    """Return what is drawn last, line by line."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    console = Console(file=stream, force_terminal=True, width=width, height=40, color_system=None)
    view = LiveView(3 * 2**30, console)
    for event in events:
        view.event(event)
    view.note("a note [/with] brackets")
    view.close()
    stream.seek(0)
    text = re.sub(r"\x1b\[[0-9?]*[A-Za-z]|\r", "", stream.read())
    assert "a note [/with]" in text
    last = text[text.rindex("training ") :] if "training " in text else text
    return [line.rstrip() for line in last.splitlines() if line.strip()]


STEPS: list[Event] = [
    {
        "event": "step",
        "time": 1000.0 + 2 * step,
        "step": step,
        "loss": 1 + 2 / step,
        "grad_norm": 0.5,
        "learning_rate": 2e-4,
        "tokens_per_second": 3120.4,
        "memory_bytes": 2**31 + step,
    }
    for step in range(6, 41)
]
BEGINS: list[Event] = [
    {"event": "earlier", "losses": {step: 1 + 2 / step for step in range(1, 9)}},
    {"event": "launch", "run": 3},
    {"event": "start", "time": 1010.0, "step": 5, "total_steps": 100,
     "resumed_from": "checkpoint-5"},
]  # fmt: skip


def test_the_live_view_draws() -> None:
    lines = shown(80, [*BEGINS, *STEPS, {"event": "eval", "step": 40, "loss": 1.5}])
    assert lines[0].startswith("training  40/100  ━━━━━━")
    assert lines[0].endswith("─   40 %  2 min 0 s left")
    assert len(lines[0]) == 80
    assert lines[1] == "   3.000▕█"
    assert re.fullmatch("   1.050▕█{4,}[▇▆▅▄▃▂]+", lines[4])
    assert len(lines[4]) == 9 + 40  # a column a step, those of the attempt before among them
    assert lines[5:] == [
        "loss 1.050  ·  held out 1.500  ·  gradient norm 0.5  ·  learning rate 2.00e-04",
        "3,120 tokens/s  ·  GPU memory 2.00 of 3.00 GiB predicted",
    ]


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    lines = shown(width, [*BEGINS, *STEPS, {"event": "step", "step": 41, "loss": math.nan}])
    assert max(map(len, lines)) <= width
    assert any("!" in line for line in lines)  # a loss that is not finite


def test_a_terminal_without_blocks_gets_plain_characters() -> None:
    lines = shown(80, [*BEGINS, *STEPS], encoding="ascii")
    assert all(line.isascii() for line in lines)


def test_what_is_gone_through_again_is_drawn_once() -> None:
    again: Event = {"event": "start", "time": 2000.0, "step": 10, "total_steps": 100}
    lines = shown(80, [*BEGINS, *STEPS, again])
    assert any(line.startswith("   1.200▕██") and len(line) == 9 + 10 for line in lines)
    assert lines[0].startswith("training  10/100")


def test_findings_stand_out() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system="standard")
    view = LiveView(None, console)
    view.note("warning[FT315]: checkpoint-3 is passed over")
    assert "\x1b[33mwarning[FT315]" in stream.getvalue()


def test_a_view_that_has_shown_nothing_leaves_nothing() -> None:
    stream = io.StringIO()
    view = LiveView(None, Console(file=stream, force_terminal=True, width=80))
    view.close()
    assert stream.getvalue() == ""


def test_a_curve_of_little_is_none() -> None:
    assert small_curve([], 60) == small_curve([1.0], 60) == []
    assert small_curve([float("nan")] * 5, 60) == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_stream_decides_on_the_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(view_for(io.StringIO()), PlainView)
    assert isinstance(view_for(Terminal()), LiveView)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(view_for(Terminal()), PlainView)
