"""ftspec's two answers about the public T4 rows, each by tracing; needs the training libraries."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from t4 import T4Row, Taken, predict_t4

from ftspec import __version__
from ftspec.compiler.facts.gpus import find_gpu
from ftspec.compiler.memory.ledger import context_bytes
from ftspec.compiler.memory.peaks import Peaks, of_trace
from ftspec.compiler.memory.work import Work


class WholeTracer:
    """Traces every block in this process, since one process asks about many rows."""

    failed = ""

    def __call__(
        self, config: Mapping[str, Any], work: Work, capability: tuple[int, ...]
    ) -> Peaks | None:
        """Return the peaks, or raise what the libraries raise."""
        from ftspec.compiler.memory.trace.run import trace

        card = (capability[0], capability[1])
        return of_trace(trace(config, work, card), None, work, card)


def ftspec_entries(rows: Sequence[T4Row]) -> dict[str, Any]:
    """Return ftspec's answers: of the script's own step, and of the closest spec."""
    from ftspec.compiler.memory.trace import preload

    warnings.filterwarnings("ignore")
    preload.libraries()
    from t4_script import trace_t4

    script = {
        "claims": "the allocator's peaks, and with the context what the driver shows",
        "asked": "t4_script.py traces the rows' own training step with ftspec's recorder, tables "
        "and allocator: what the engine says of that script",
        "source": "bench/vram/t4_script.py",
        "answers": answers(rows, trace_t4),
    }
    closest = {
        "claims": "the same",
        "asked": "`predict` of the closest set-up that ftspec has words for (t4.py, work_of): what "
        "it says of its own project, held against another script",
        "source": "bench/vram/t4.py",
        "answers": answers(rows, lambda row: predict_t4(row, WholeTracer())),
    }
    name = f"ftspec {__version__}"
    return {f"{name}, their script": script, f"{name}, closest set-up": closest}


def answers(
    rows: Sequence[T4Row], ask: Callable[[T4Row], Taken | None]
) -> dict[str, dict[str, int]]:
    """Return row -> bytes of each figure; rows of one set-up are asked once.

    What raises is no answer, and is told on stderr.
    """
    context = context_bytes(find_gpu("t4"))
    done: dict[Hashable, Taken | None] = {}
    found = {}
    for row in rows:
        if row.set_up not in done:
            done[row.set_up] = _asked(row, ask)
        taken = done[row.set_up]
        if taken is not None:
            figures = {"allocated": taken.allocated, "reserved": taken.reserved}
            found[row.id] = {**figures, "process": taken.reserved + context}
    return found


def _asked(row: T4Row, ask: Callable[[T4Row], Taken | None]) -> Taken | None:
    try:
        taken = ask(row)
    except Exception as error:  # noqa: BLE001 - the libraries raise anything
        print(f"{row.id}: {type(error).__name__}: {error}", file=sys.stderr)
        return None
    print(f"{row.id}: {taken}", file=sys.stderr, flush=True)
    return taken
