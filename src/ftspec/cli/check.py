"""`ftspec check`: is the spec right, does it fit, and what was decided?"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftspec.cli.data_glance import glance
from ftspec.cli.inputs import (
    allow_option,
    count_words,
    data_option,
    exit_code,
    fail_on_option,
    hardware_options,
    live_tracer,
    placed,
    read_spec,
    show_findings,
)
from ftspec.cli.output import command, print_json, width
from ftspec.cli.paint import painter, speaks_unicode
from ftspec.cli.python import python_option
from ftspec.compiler.facts.hardware import Hardware
from ftspec.compiler.pipeline import Compiled, compile_spec
from ftspec.compiler.plan import Plan
from ftspec.compiler.show import change_lines, memory_lines, plan_lines, time_lines
from ftspec.compiler.speed import Speed

if TYPE_CHECKING:
    from ftspec.cli.measured import Taken


@click.command()
@click.argument("spec")
@hardware_options
@data_option
@click.option("--why", is_flag=True, help="Every choice of the plan with its reason.")
@click.option(
    "--measure",
    is_flag=True,
    help="Run three steps on this machine's card, and hold them against the prediction.",
)
@allow_option
@click.option("--write", is_flag=True, help="Write what was changed into the spec itself.")
@python_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@fail_on_option("error")
def check(
    spec: str,
    gpu: str | None,
    vram: str | None,
    count: int | None,
    data: str | None,
    why: bool,
    measure: bool,
    allow: tuple[str, ...],
    write: bool,
    python: str,
    as_json: bool,
    fail_on: str,
) -> int:
    """Check a spec: its keys, its data, and whether it fits.

    Nothing is loaded, and without --write nothing is written but what was seen of the data, in
    ftspec's cache. Without --gpu or --vram the cards
    of this machine count. --measure runs three steps of the real thing, saves nothing, and keeps
    what it learns of this machine for later checks.
    """
    if write and spec == "-":
        raise click.UsageError("A spec from standard input cannot be written to.")
    parsed, root = read_spec(spec, data, allow)
    parsed, hardware = placed(parsed, gpu, vram, count)
    compiled = compile_spec(parsed, root, hardware, needs_data=measure, tracer=live_tracer())
    taken = None
    if measure:
        from ftspec.cli.measured import take

        taken = take(parsed, root, hardware, compiled, python)
        compiled = taken.compiled if taken else compiled
    if compiled.plan is not None and parsed.spec is not None:
        seen = glance(parsed.spec, root, spec)
        compiled = replace(compiled, findings=(*compiled.findings, *seen))
    code = exit_code(compiled.findings, fail_on)
    if write and compiled.plan is not None:
        from ftspec.cli.rewrite import rewrite

        rewrite(Path(spec), compiled.plan.changes)
    if as_json:
        print_json(document(compiled, ok=code == 0, taken=taken))
        return code
    show_findings(compiled.findings, parsed, sys.stdout)
    if compiled.plan is not None:
        for line in _plan_lines(compiled.plan, compiled.speed, hardware, taken, why=why):
            print(line)
        if not why:
            print("--why shows every choice, and how each figure was reckoned")
    print(count_words(compiled.findings))
    print(f"next: {_next(spec, compiled, gpu, vram, count, data)}")
    return code


def _plan_lines(
    plan: Plan, speed: Speed, hardware: Hardware, taken: Taken | None, *, why: bool
) -> Iterator[str]:
    """Yield what a person reads of a plan: memory, time, then the choices."""
    paint, unicode = painter(sys.stdout), speaks_unicode(sys.stdout)
    predicted = plan.model_copy(update={"memory": taken.predicted}) if taken else plan
    memory = memory_lines(predicted, paint, unicode=unicode, width=width(), formulas=why)
    yield next(memory)
    if taken is None or why:  # else a table stands in place of the parts
        yield from ("predicted:",) if taken else ()
        yield from memory
    if plan.hardware.detected:
        yield from held_lines(hardware)
        if hardware.note:
            other = "" if hardware.cards else "; --gpu NAME asks about another machine"
            yield f"  ({hardware.note}{other})"
    if taken is not None:
        from ftspec.cli.measured import measured_lines

        yield from measured_lines(taken, paint)
    else:
        if plan.hardware.device == "cuda" and plan.memory.peak_bytes is not None:
            for note in filter(None, plan.memory.note.split("; ")):
                yield from textwrap.wrap(f"  ({note})", width(), subsequent_indent="   ")
        yield from time_lines(speed, paint, width=width())
    yield ""
    if plan.changes:
        yield from change_lines(plan, paint, width=width())
        yield ""
    yield from plan_lines(plan, paint, everything=why, width=width())
    yield ""


def _next(
    spec: str,
    compiled: Compiled,
    gpu: str | None,
    vram: str | None,
    count: int | None,
    data: str | None,
) -> str:
    """Return the command to type next, with the options that were given to this one."""
    if compiled.plan is None:
        codes = [finding.code for finding in compiled.findings if finding.severity == "error"]
        return command("explain", codes[0])
    if compiled.plan.memory.verdict == "no":
        return f"change the spec, or ask about another card: {command('check', spec)} --gpu NAME"
    asked = {"--gpu": gpu, "--vram": vram, "--count": count, "--data": data}
    options = [word for name, value in asked.items() if value for word in (name, str(value))]
    missing = any(finding.name == "no-data" for finding in compiled.findings)
    target = " -o DIR" if spec == "-" else ""
    return command("build", spec, *options) + (" --data FILE" if missing else "") + target


def held_lines(hardware: Hardware) -> Iterator[str]:
    """Yield who holds memory of the cards that were detected."""
    for number, card in enumerate(hardware.cards):
        for name, size in card.held_by:
            yield f"        {size / 2**30:.1f} GiB of card {number} are held by {name}"


def document(compiled: Compiled, *, ok: bool, taken: Taken | None = None) -> dict[str, Any]:
    """Return the JSON document of a check (CONTRACT: what programs read)."""
    plan = compiled.plan
    memory = plan.memory.model_dump(mode="json") if plan else None
    if memory is not None and taken is not None:
        memory |= taken.as_json()
    return {
        "schema_version": 1,
        "ok": ok,
        "findings": [finding.as_json() for finding in compiled.findings],
        "plan": plan.model_dump(mode="json", exclude={"memory", "changes"}) if plan else None,
        "memory": memory,
        "time": _time(compiled.speed) if plan else None,
        "changes": [change.model_dump(mode="json") for change in plan.changes] if plan else [],
    }


def _time(speed: Speed) -> dict[str, Any]:
    """Return what programs read of a run's time: seconds, tokens, and the ends of intervals."""
    numbers = {
        "tokens_per_second": speed.tokens_per_second,
        "tokens_per_second_low": speed.low,
        "tokens_per_second_high": speed.high,
        "seconds": speed.seconds,
        "seconds_low": speed.seconds_low,
        "seconds_high": speed.seconds_high,
        "cost": speed.cost,
        "cost_low": speed.cost_low,
        "cost_high": speed.cost_high,
    }
    rounded = {key: None if value is None else round(value, 2) for key, value in numbers.items()}
    return {"tokens": speed.tokens, **rounded, "measured": speed.measured, "note": speed.note}
