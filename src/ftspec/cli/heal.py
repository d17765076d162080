"""`ftspec run --heal`: treat a run by its own log, and run again, until it is well."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ftspec.cli.build import write_project
from ftspec.cli.failure import Failure
from ftspec.cli.output import command
from ftspec.cli.rewrite import edit, replace_file
from ftspec.compiler.plan import Plan
from ftspec.compiler.project import edited
from ftspec.doctor.diagnose import SpecText
from ftspec.runtime.healing import Treatment, begin, comparable, gain, told, treatable, treatment
from ftspec.runtime.lock import AlreadyRunningError
from ftspec.runtime.progress import Progress, progress
from ftspec.runtime.project import read_plan
from ftspec.runtime.state import RunFolder, read_ledger
from ftspec.runtime.supervise import Ended

ATTEMPTS = 2  # treatments, where no number is given


@dataclass(frozen=True, slots=True)
class Healing:
    """The loop's parts: the spec's file, how it is built, how the project is run, the budget.

    `build` returns None where findings stand against the spec; it has shown them. `budget`
    counts treatments, those of earlier calls included.
    """

    project: Path
    spec: Path
    build: Callable[[], tuple[Plan, Path] | None]
    run: Callable[[], Ended]
    budget: int


def heal(healing: Healing, ended: Ended) -> Ended:
    """Treat a run that has ended, and those that follow, while there is reason to.

    Returns how the last one ended. Edited projects are left alone, and so is what was interrupted.
    """
    while not ended.interrupted:
        chosen = _asked_for(healing, ended)
        if chosen is None:
            break
        if not _begin(healing, ended.run, chosen):
            break
        ended = healing.run()
    _say_best(healing, ended)
    return ended


def spec_of(project: Path) -> Path:
    """Return the spec that a project was built from: beside the folder, by its name and text.

    Raises Failure where there is none that is as it was.
    """
    source = read_plan(project).get("spec") or {}
    name = Path(str(source.get("name", ""))).name
    path = project.absolute().parent / name
    if name and path.is_file() and path.read_bytes().decode("utf-8-sig") == source.get("text"):
        return path
    raise Failure(
        "--heal changes the spec, and the one that this project was built from is not beside it",
        command("run", "SPEC", "-o", str(project), "--heal"),
    )


def _asked_for(healing: Healing, ended: Ended) -> Treatment | None:
    """Return the next treatment, or None after saying why there is none."""
    text = healing.spec.read_bytes().decode("utf-8-sig")
    if not treatable(ended.run):
        _say(f"not healed: no change of the spec helps where {ended.reason}")
        return None
    chosen = treatment(ended.run, SpecText.of(str(healing.spec), text))
    history = read_ledger(ended.run).get("healing") or []
    if chosen is None:
        _say("nothing to heal: no finding of this run has a change that the doctor is sure of")
        return None
    names = ", ".join(f"`{name}`" for name in chosen.names)
    if len(history) >= healing.budget:
        made = f"{len(history)} treatment{'s were' if len(history) > 1 else ' was'} made"
        _say(f"not healed: {names}; {made}, and --heal {len(history) + 1} allows another")
        return None
    found = _progress(healing.project, ended.run)
    won = gain(history[-1], found) if history else None
    if won is not None and won <= 0 and not chosen.runaway:
        kept = f"the spec before it is {history[-1]['spec_before']}"
        _say(f"not healed: {names}; the treatment before did not lower the held-out loss: {kept}")
        return None
    theirs = edited(healing.project)
    if theirs:
        files = ", ".join(f"`{name}`" for name in theirs)
        have = "has" if len(theirs) == 1 else "have"
        _say(f"not healed: {names}; {files} would be built anew, and {have} edits of yours")
        return None
    return chosen


def _say_best(healing: Healing, ended: Ended) -> None:
    """Say which run was the best, where it was not the last."""
    history = read_ledger(ended.run).get("healing") or []
    if not all(comparable(entry) for entry in history):
        return
    known = [entry for entry in history if entry.get("best_held_out_loss") is not None]
    best = min(known, key=lambda entry: entry["best_held_out_loss"], default=None)
    now = _progress(healing.project, ended.run).best_held_out
    if best is not None and (now is None or best["best_held_out_loss"] < now[1]):
        lowest = f"held-out loss was lowest in run {best['run']}, {best['best_held_out_loss']:.3f}"
        _say(f"{lowest}; its spec is {best['spec_before']}")


def _begin(healing: Healing, before: RunFolder, chosen: Treatment) -> bool:
    """Change the spec, build, and open the next run; returns False where the spec does not build.

    Then the spec is as it was.
    """
    spec, content = healing.spec, healing.spec.read_bytes()
    kept = spec.with_name(f"{spec.name}.run-{before.number}.bak")
    for finding in chosen.findings:
        _say(f"healing run {before.number}: {finding.code} {finding.name}: {finding.title}")
    try:
        kept.write_bytes(content)
        edit(spec, chosen.edits)
        made = healing.build()
        if made is None or not write_project(healing.project, made[0]).written:
            replace_file(spec, content)
            kept.unlink()
            _say(f"not healed: so changed, `{spec}` does not build; it is as it was")
            return False
        entry = told(_progress(healing.project, before), chosen, kept)
        fresh = begin(healing.project, before, chosen, entry)
    except AlreadyRunningError as error:
        raise Failure(str(error), command("status", str(healing.project))) from None
    except OSError as error:
        raise Failure(f"`{error.filename}` cannot be written: {error.strerror}") from None
    begun = entry["resumed_from"]
    where = f"on from {begun}" if begun else "from the start"
    _say(f"run {fresh.number}: {where}; the spec before is {kept}")
    return True


def _progress(project: Path, run: RunFolder) -> Progress:
    found = progress(project, run.number)
    assert found is not None  # it has just ended
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr)
