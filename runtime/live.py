"""Views of a run: a live display on a terminal, one line an event elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from ftspec.runtime.events import Event

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def describe(event: Event) -> str | None:
    """Return an event as one plain line, or None for those that say nothing to a reader."""
    kind, step = event["event"], event.get("step")
    match kind:
        case "launch":
            return f"run {event.get('run')}: loading the model and the data"
        case "start":
            resumed = event.get("resumed_from")
            begun = f"going on from {resumed}" if resumed else "training"
            return f"{begun}: {event.get('total_steps')} steps, {event.get('train_rows')} rows"
        case "step":
            return f"step {step}: loss {_number(event.get('loss'))}, {_rate(event)}"
        case "eval":
            return f"step {step}: held-out loss {_number(event.get('loss'))}"
        case "checkpoint":
            return f"step {step}: checkpoint written"
        case "out-of-memory":
            where = "host " if event.get("where") == "host" else ""
            return f"out of {where}memory in phase {event.get('phase')}"
        case "disk-full":
            need, free = (int(event.get(key) or 0) for key in ("need_bytes", "free_bytes"))
            return f"step {step}: a checkpoint needs {_size(need)}, and {_size(free)} are free"
        case "stop":
            return f"stopped at step {step}"
        case "end":
            return f"finished at step {step}"
    return None


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "not known"


def _rate(event: Event) -> str:
    rate = event.get("tokens_per_second")
    return f"{rate:,.0f} tokens/s" if isinstance(rate, int | float) else "no rate"


class PlainView:
    """One line an event."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr

    def event(self, event: Event) -> None:
        """Print the event's line."""
        line = describe(event)
        if line is not None:
            print(line, file=self.stream, flush=True)  # noqa: T201

    def note(self, text: str) -> None:
        """Print a sentence."""
        print(text, file=self.stream, flush=True)  # noqa: T201

    def close(self) -> None:
        """Nothing has to be undone."""


class LiveView:
    """A progress bar with loss, tokens a second and the time left, drawn from the launch on."""

    def __init__(self, console: Console | None = None) -> None:
        from rich import console as rich_console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = console or rich_console.Console(stderr=True)
        self._progress: Progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[time]}"),
            console=self._console,
            expand=True,
        )
        self._task = self._progress.add_task("loading", total=None, facts="", time="")
        self._total: float | None = None
        self._held_out = ""

    def event(self, event: Event) -> None:
        """Move the bar, and print what is worth keeping above it."""
        match event["event"]:
            case "launch" | "attach":
                self._progress.start()
            case "start":
                self._total = event.get("total_steps") or 1
                self._progress.reset(
                    self._task,
                    total=self._total,
                    description="training",
                    facts=f"0/{self._total}",
                    time="left",
                )
                if event.get("resumed_from"):
                    self.note(f"going on from {event['resumed_from']}")
            case "step":
                step, loss = event.get("step"), _number(event.get("loss"))
                facts = f"{step}/{self._total}  loss {loss}{self._held_out}  {_rate(event)}"
                time = "in all" if step == self._total else "left"
                self._progress.update(self._task, completed=step, facts=facts, time=time)
            case "eval":
                self._held_out = f", held out {_number(event.get('loss'))}"
            case "out-of-memory" | "stop" | "disk-full":
                self.note(describe(event) or "")

    def note(self, text: str) -> None:
        """Print a sentence above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Stop drawing; the last state of the bar stays."""
        if self._progress.live.is_started:
            self._progress.stop()


def view_for(stream: TextIO) -> PlainView | LiveView:
    """Return the view for a stream: live on a terminal that can draw, plain elsewhere."""
    import os

    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return LiveView()
    return PlainView(stream)
