"""Several processes look at the parts of files in turn; what they found comes back in order.

Each reads all files, which is cheap, and looks at every n-th part. Nothing is sent to them but
where they begin, so a slow receiver holds them up, and no process holds more than one part.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from ftspec.doctor.data.catalogue import RULES
from ftspec.doctor.data.layout import Layout
from ftspec.doctor.data.part import Looker, Part
from ftspec.doctor.data.readers.source import Source
from ftspec.doctor.data.record import UnreadableDataError
from ftspec.doctor.data.rule import Asked
from ftspec.doctor.data.rules import pii_presidio
from ftspec.doctor.data.tokens import Counting, Tokens

MOST = 8  # processes that are begun unasked
WORTH = 16 * 2**20  # bytes of files from which starting processes pays (0.4 s each)


@dataclass(frozen=True, slots=True)
class Job:
    """What a process needs to know: files, how they are read, rules by name, what is asked."""

    sources: tuple[Source, ...]
    layout: Layout | None
    rules: tuple[str, ...]
    near: bool
    eval_prompts: Mapping[int, int]
    counting: Counting | None
    presidio: bool = False


def processes_for(sources: Sequence[Source], tokens: Tokens | None = None) -> int:
    """Return how many processes look at files unasked: one where they are small.

    Counting tokens takes ten times as long as all else, so fewer bytes are worth it.
    """
    size = sum(source.path.stat().st_size * (4 if source.packed else 1) for source in sources)
    if size < (WORTH if tokens is None else WORTH / 10):
        return 1
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        usable = os.cpu_count() or 1
    return min(MOST, usable)


def looker_of(job: Job, index: int, of: int) -> Looker:
    """Return what looks at every `of`-th part of a job's files, from `index`."""
    rules = tuple(item for item in RULES if item.rule.name in job.rules)
    analyzer = pii_presidio.engine() if job.presidio else None
    asked = Asked(near=job.near, eval_prompts=job.eval_prompts, presidio=analyzer)
    tokens = Tokens(job.counting) if job.counting is not None else None
    return Looker(rules, asked, job.layout, tokens, index, of)


def parts_of(job: Job, count: int) -> Iterator[Part]:
    """Yield the parts of a job's files in their order, looked at by `count` processes.

    Raises UnreadableDataError as a reader does, and where a process ended before it was done.
    """
    # Each begins anew: forks of a program that has threads may hang.
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe(duplex=False) for _ in range(count)]
    workers = [
        context.Process(target=_look, args=(job, index, count, pipe[1]), daemon=True)
        for index, pipe in enumerate(pipes)
    ]
    try:
        for worker, (_, end) in zip(workers, pipes, strict=True):
            worker.start()
            end.close()  # so that its end is seen here
        turn = 0
        while (part := _received(pipes[turn % count][0], workers[turn % count])) is not None:
            yield part
            turn += 1
    finally:
        for worker, (begin, _) in zip(workers, pipes, strict=True):
            begin.close()
            if worker.pid is not None:
                worker.terminate()
                worker.join()


def _received(pipe: Connection, worker: Any) -> Part | None:
    try:
        sent = pipe.recv()
    except (EOFError, OSError):  # at the end of what it sent, or in the midst of it
        worker.join()
        raise UnreadableDataError(
            f"a process that read the data ended early (exit code {worker.exitcode})",
            "it may have been short of memory: --processes 1 needs the least",
        ) from None
    if isinstance(sent, BaseException):
        raise sent
    part: Part | None = sent
    return part


def _look(job: Job, index: int, of: int, pipe: Connection) -> None:
    """Look at every n-th part, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's to answer
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are what is parallel
    try:
        for part in looker_of(job, index, of).parts(job.sources):
            pipe.send(part)
        pipe.send(None)
    except BrokenPipeError:
        pass  # no one reads on
    except Exception as error:
        pipe.send(error)
