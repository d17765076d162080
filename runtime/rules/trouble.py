"""What the supervisor has seen of a run in trouble: what its rules judge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is known; each rule takes what it needs.

    where: whose memory ran out, `GPU` or `host`. predicted, measured: bytes allocated. refused: the
    leaves that would help and were not given. full: all weights are trained. edited, difference:
    the user's files, and what to change in them. quiet, limit: seconds. checkpoint,
    all_checkpoints, free: bytes on the disk. path, why: a checkpoint that was passed over. words:
    the last that the script printed.
    """

    phase: str = "load"
    step: int | None = None
    where: str = "GPU"
    predicted: int | None = None
    measured: int | None = None
    refused: tuple[str, ...] = ()
    full: bool = False
    edited: tuple[str, ...] = ()
    difference: str = ""
    quiet: float = 0
    limit: float = 0
    checkpoint: int | None = None
    all_checkpoints: int | None = None
    free: int = 0
    path: str = ""
    why: str = ""
    words: str = ""
