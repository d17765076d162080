"""`ftspec check`: is the spec right, does it fit, and what was decided?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from ftspec.cli.inputs import (
    count_words,
    data_option,
    exit_code,
    fail_on_option,
    hardware_options,
    placed,
    read_spec,
    show_findings,
)
from ftspec.cli.output import command, print_json, width
from ftspec.cli.paint import painter, speaks_unicode
from ftspec.compiler.facts.hardware import Hardware
from ftspec.compiler.pipeline import Compiled, compile_spec
from ftspec.compiler.show import memory_lines, plan_lines, time_lines
from ftspec.compiler.speed import Speed


@click.command()
@click.argument("spec")
@hardware_options
@data_option
@click.option("--why", is_flag=True, help="Every choice of the plan with its reason.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@fail_on_option("error")
def check(
    spec: str,
    gpu: str | None,
    vram: str | None,
    count: int | None,
    data: str | None,
    why: bool,
    as_json: bool,
    fail_on: str,
) -> int:
    """Check a spec: its keys, its data, and whether it fits.

    Nothing is loaded and nothing is written. Without --gpu or --vram the cards of this machine
    count.
    """
    parsed, root = read_spec(spec, data)
    parsed, hardware = placed(parsed, gpu, vram, count)
    compiled = compile_spec(parsed, root, hardware)
    code = exit_code(compiled.findings, fail_on)
    if as_json:
        print_json(document(compiled, ok=code == 0))
        return code
    show_findings(compiled.findings, parsed, sys.stdout)
    if compiled.plan is not None:
        paint, unicode = painter(sys.stdout), speaks_unicode(sys.stdout)
        for line in memory_lines(
            compiled.plan, paint, unicode=unicode, width=width(), formulas=why
        ):
            print(line)
        for line in held_lines(hardware) if compiled.plan.hardware.detected else ():
            print(line)
        if hardware.note and compiled.plan.hardware.detected:
            other = "" if hardware.cards else "; --gpu NAME asks about another machine"
            print(f"  ({hardware.note}{other})")
        for line in time_lines(compiled.speed, paint, width=width()):
            print(line)
        print()
        for line in plan_lines(compiled.plan, paint, everything=why, width=width()):
            print(line)
        print()
        if not why:
            print("--why shows every choice, and how each figure was reckoned")
    print(count_words(compiled.findings))
    print(f"next: {_next(spec, compiled, gpu, vram, count, data)}")
    return code


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


def document(compiled: Compiled, *, ok: bool) -> dict[str, Any]:
    """Return the JSON document of a check (CONTRACT: what programs read)."""
    plan = compiled.plan
    return {
        "schema_version": 1,
        "ok": ok,
        "findings": [finding.as_json() for finding in compiled.findings],
        "plan": plan.model_dump(mode="json", exclude={"memory", "changes"}) if plan else None,
        "memory": plan.memory.model_dump(mode="json") if plan else None,
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
