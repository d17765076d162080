"""What was measured on this machine: kept in a file, and held against later predictions.

`ftspec check --measure` writes the file, the next measurement writes over it, and deleting it
forgets everything. It holds names of cards, versions and numbers: no paths, no data.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ftspec import __version__
from ftspec.compiler.memory.ledger import ASSUMED
from ftspec.compiler.plan import MemoryPlan
from ftspec.spec.model import MethodName

FILE = "machine.json"
MOST_MACHINES = 20  # the oldest are dropped: drivers and libraries are renewed for years
MARGIN = 0.01  # of what was measured: a run measured again differs by that much
ALIKE = 2.0  # a ratio speaks of predictions from half to twice as large as the one measured

Name = Annotated[str, Field(min_length=1, max_length=200)]
Ratio = Annotated[float, Field(gt=0.05, lt=20.0, allow_inf_nan=False)]


class Part(BaseModel):
    """A part of the file. Keys that a later version adds are passed over."""

    model_config = ConfigDict(frozen=True, strict=True)


class Residual(Part):
    """Measured over predicted of one training method: the allocator's peaks, as ratios.

    It says something of predictions that are made the same way (`MemoryPlan.method`) by the same
    ftspec and are about as large: a share that a small model is off by is nothing to a large one.
    `predicted_bytes`: the reserved memory that was predicted.
    """

    method: MethodName
    predicted_by: Name
    ftspec: Name
    predicted_bytes: Annotated[int, Field(gt=0)]
    allocated: Ratio
    reserved: Ratio

    def speaks_of(self, memory: MemoryPlan, method: str) -> bool:
        """Say whether it says something of a prediction for a training method."""
        mine = (self.method, self.predicted_by, self.ftspec)
        size = (memory.peak_bytes or 0) - (memory.context_bytes or 0)
        alike = self.predicted_bytes / ALIKE <= size <= self.predicted_bytes * ALIKE
        return alike and mine == (method, memory.method, __version__)


class Machine(Part):
    """What was measured under one card, driver and torch; `torch` as its `__version__` says."""

    gpu: Name
    driver: Name
    torch: Name
    cuda: Name | None = None
    context_bytes: int | None = Field(default=None, gt=0, lt=2**36)
    residuals: tuple[Residual, ...] = ()

    @property
    def key(self) -> tuple[str, str, str, str | None]:
        """What has to be the same for a measurement to count."""
        return self.gpu, self.driver, self.torch, self.cuda

    def updated(self, later: Machine) -> Machine:
        """Return the machine with what was measured later in place of what was before."""
        new = {one.method for one in later.residuals}
        kept = tuple(one for one in self.residuals if one.method not in new)
        context = later.context_bytes or self.context_bytes
        update = {"context_bytes": context, "residuals": (*kept, *later.residuals)}
        return self.model_copy(update=update)


class _File(Part):
    schema_version: Literal[1] = 1
    machines: tuple[Machine, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """The file's machines, the newest last; `problem` says why the file was passed over."""

    machines: tuple[Machine, ...] = ()
    problem: str = ""

    def find(self, gpu: str, driver: str, torch: tuple[str, str | None] | None) -> Machine | None:
        """Return the newest measurement for a card and a driver.

        torch: its version and that of its CUDA. None where it is not known here (ftspec may be
        installed without it): then the newest counts, whichever torch it was measured with.
        """
        alike = [one for one in self.machines if (one.gpu, one.driver) == (gpu, driver)]
        if torch is not None:
            alike = [one for one in alike if (one.torch, one.cuda) == torch]
        return alike[-1] if alike else None


def file_path(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return where the file lies; None on a machine that has no home folder.

    FTSPEC_CACHE, else `ftspec` in XDG_CACHE_HOME (https://specifications.freedesktop.org/basedir:
    relative paths do not count), else in ~/.cache.
    """
    try:
        if own := environment.get("FTSPEC_CACHE"):
            return Path(own).expanduser() / FILE
        shared = Path(environment.get("XDG_CACHE_HOME") or "")
        if shared.is_absolute():
            return shared / "ftspec" / FILE
        return Path.home() / ".cache" / "ftspec" / FILE
    except RuntimeError:  # nobody's home
        return None


def read(path: Path) -> Kept:
    """Read the file; one that is not there is empty, and one that is damaged is passed over."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Kept()
    except OSError as error:
        return Kept(problem=_passed_over(path, error.strerror or "it cannot be read"))
    try:
        return Kept(_File.model_validate_json(content).machines)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        return Kept(problem=_passed_over(path, f"{where}: {first['msg']}" if where else "no JSON"))


def _passed_over(path: Path, reason: str) -> str:
    return f"`{path}` is passed over, with what was measured here before: {reason}"


def keep(path: Path, measured: Machine) -> None:
    """Add what was measured to the file, in one step. Raises OSError where it cannot be written.

    What the file had of the same machine and method is replaced; a damaged file is as well.
    """
    before = read(path).machines
    known = next((one for one in before if one.key == measured.key), None)
    others = [one for one in before if one.key != measured.key]
    machines = [*others, known.updated(measured) if known else measured]
    _write(path, machines[-MOST_MACHINES:])


def _write(path: Path, machines: Iterable[Machine]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_File(machines=tuple(machines)).model_dump_json(indent=1) + "\n")
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def corrected(memory: MemoryPlan, machine: Machine | None, method: str) -> MemoryPlan:
    """Return a prediction as this machine's measurements leave it; method: the training method.

    The context that was measured stands in place of the assumed one. The allocator's part is not
    shifted: where the same method took more, or less, than the interval holds, the interval is
    widened as far as that, and the note says so.
    """
    if machine is None or memory.peak_bytes is None:
        return memory
    memory = _with_context(memory, machine)
    for residual in machine.residuals:
        if residual.speaks_of(memory, method):
            memory = _widened(memory, residual)
    return memory


def context_shift(machine: Machine | None, assumed: int) -> int:
    """Return by how many bytes the context that was measured is larger than the assumed one."""
    measured = machine.context_bytes if machine else None
    return 0 if measured is None else measured - assumed


def _with_context(memory: MemoryPlan, machine: Machine) -> MemoryPlan:
    if machine.context_bytes is None:
        return memory
    shift = context_shift(machine, memory.context_bytes or 0)
    ends = ("peak_bytes", "low_bytes", "high_bytes", "expected_peak_bytes")
    sizes = {name: getattr(memory, name) for name in ends}
    moved = {name: size + shift for name, size in sizes.items() if size is not None}
    note = "the context is the one measured on this machine"
    told = [text for text in memory.note.split("; ") if not text.startswith(ASSUMED)]
    memory = memory.model_copy(update={"note": "; ".join(told)})
    return _judged(memory, {**moved, "context_bytes": machine.context_bytes}, note)


def _widened(memory: MemoryPlan, residual: Residual) -> MemoryPlan:
    low, high, context = memory.low_bytes, memory.high_bytes, memory.context_bytes or 0
    if memory.peak_bytes is None or low is None or high is None:
        return memory
    seen = residual.reserved * (memory.peak_bytes - context)
    if low <= round(seen) + context <= high:
        return memory
    low = min(low, round(seen * (1 - MARGIN)) + context)
    high = max(high, round(seen * (1 + MARGIN)) + context)
    note = (
        f"the interval is widened: {residual.method} took {residual.reserved:.2f} times what was"
        " predicted when it was measured on this machine"
    )
    return _judged(memory, {"low_bytes": low, "high_bytes": high}, note)


def _judged(memory: MemoryPlan, update: Mapping[str, int], note: str) -> MemoryPlan:
    """Return a plan's memory with other sizes, the verdict that they give, and a note more."""
    changed = memory.model_copy(update=dict(update))
    notes = [text for text in (memory.note, note) if text]
    verdict = verdict_of(changed.low_bytes, changed.high_bytes, changed.free_bytes)
    return changed.model_copy(update={"verdict": verdict, "note": "; ".join(notes)})


def verdict_of(
    low: int | None, high: int | None, free: int
) -> Literal["fits", "tight", "no", "unknown"]:
    """Hold the ends of an interval, in bytes, against what is free (CONTRACT 3)."""
    if low is None or high is None:
        return "unknown"
    return "fits" if high <= free else "no" if low > free else "tight"
