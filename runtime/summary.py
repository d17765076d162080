"""The end of a run on one screen: what ran, what was changed and why, memory, losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftspec.runtime.progress import Progress

GIB = 2**30
SHOWN = 6  # attempts, and changes, that are listed; the ledger has all
LABEL = 12  # characters


def summary(found: Progress, plan: Mapping[str, Any]) -> list[str]:
    """Return the lines; what is not known is left out."""
    return [f"  {label:<{LABEL}}{text}" for label, text in facts(found, plan)]


def facts(found: Progress, plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is told, each line with its label; one without goes on with the line before."""
    lines = [*_trained(found), *_losses(found), *_memory(found, plan)]
    lines += [*_attempts(found), *_changes(found), *_healing(found), *_findings(found)]
    return lines


def _trained(found: Progress) -> Iterator[tuple[str, str]]:
    if not found.step:
        return
    took = sum(
        record["ended"] - record["started"]
        for record in found.ledger["attempts"]
        if record.get("ended") and record.get("started")
    )
    rate = f", {found.rate:,.0f} tokens/s" if found.rate else ""
    of = f" of {found.total}" if found.total else ""
    yield "trained", f"{found.step}{of} steps in {duration(took)}{rate}"
    if found.saved and not found.run.finished:
        yield "checkpoint", f"step {found.saved}, {found.run.path / f'checkpoint-{found.saved}'}"


def _losses(found: Progress) -> Iterator[tuple[str, str]]:
    losses = [found.losses[step] for step in sorted(found.losses)]
    if len(losses) > 1:
        yield "loss", f"{losses[0]:.3f} at first, {losses[-1]:.3f} at last"
    if found.held_out:
        best = found.best_held_out
        last = found.held_out[max(found.held_out)]
        more = f", best {best[1]:.3f} at step {best[0]}" if best is not None else ""
        yield "held out", f"{last:.3f} at last{more}"


def _memory(found: Progress, plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    predicted = (plan.get("memory") or {}).get("allocated_peak_bytes")
    if found.memory is None:
        return
    text = f"measured {found.memory / GIB:.2f} GiB allocated"
    if isinstance(predicted, int) and predicted > 0:
        off = found.memory / predicted - 1
        text += f", predicted {predicted / GIB:.2f} GiB ({off:+.0%})"
    yield "memory", text


def _attempts(found: Progress) -> Iterator[tuple[str, str]]:
    records = found.ledger["attempts"]
    if len(records) < 2:
        return
    hidden = len(records) - SHOWN
    if hidden > 0:
        yield "attempts", f"{len(records)}; the last {SHOWN}:"
    for number, record in list(enumerate(records, 1))[-SHOWN:]:
        begun = record.get("resumed_from") or "the start"
        step = f" at step {record['step']}" if record.get("step") else ""
        yield f"attempt {number}", f"from {begun}: {record.get('reason') or 'running'}{step}"


def _changes(found: Progress) -> Iterator[tuple[str, str]]:
    changes = [change for record in found.ledger["attempts"] for change in record["changes"]]
    for change in changes[-SHOWN:]:
        asked, planned = (_value(change.get(key)) for key in ("asked", "planned"))
        yield "changed", f"{change.get('path')} {asked} -> {planned} ({change.get('reason')})"
    scripts = next(
        (item["scripts"] for item in found.ledger["attempts"][::-1] if item.get("scripts")), None
    )
    if scripts:
        yield "scripts", f"the last attempt's own: {found.run.path / scripts}"


def _healing(found: Progress) -> Iterator[tuple[str, str]]:
    """What earlier runs were treated for, and what each gained."""
    history = found.ledger.get("healing") or []
    for place, entry in enumerate(history, 1):
        after = history[place] if place < len(history) else None
        names = ", ".join(str(item.get("name")) for item in entry["findings"])
        yield "healed", f"run {entry['run']} ({entry['reason']}): {names}"
        for change in entry["changes"]:
            before, to = (_value(change.get(key)) for key in ("from", "to"))
            yield "", f"{change.get('path')} {before} -> {to}"
        begun = entry.get("resumed_from")
        start = f"on from {begun}" if begun else "from the start"
        yield "", f"then {start}; {_gained(entry, after, found)}"


def _gained(entry: Mapping[str, Any], after: Mapping[str, Any] | None, found: Progress) -> str:
    """Say the best held-out loss before a treatment, and after it."""
    best = found.best_held_out
    now = after.get("best_held_out_loss") if after else best[1] if best else None
    values = (entry.get("best_held_out_loss"), now)
    before, later = (f"{loss:.3f}" if loss is not None else "not measured" for loss in values)
    return f"held-out loss at best {before} before, {later} after"


def _findings(found: Progress) -> Iterator[tuple[str, str]]:
    for record in found.ledger["attempts"][-1:]:
        for finding in (record.get("findings") or [])[:SHOWN]:
            yield f"{finding.get('code')}", f"{finding.get('title')}"
            if finding.get("help"):
                yield "", f"{finding['help']}".splitlines()[0]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Return a duration in the two units that matter: `3 h 12 min`, `45 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
