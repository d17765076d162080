"""What verbs share: reading a spec with its overrides, and the hardware that was asked for."""

from __future__ import annotations

import difflib
import glob
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from ftspec.cli.failure import CannotReadError
from ftspec.cli.paint import painter
from ftspec.compiler.facts.gpus import (
    Gpu,
    find_cards,
    nearest_names,
    other_maker,
    split_count,
)
from ftspec.compiler.facts.hardware import Card, Hardware, named
from ftspec.compiler.memory.predict import Tracer
from ftspec.spec.edit import CannotEditError, set_key
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.model import Leave
from ftspec.spec.parse import Parsed, parse
from ftspec.spec.render import render
from ftspec.spec.values import parse_size

if TYPE_CHECKING:
    from ftspec.compiler.memory.peaks import Peaks
    from ftspec.compiler.memory.work import Work

Function = TypeVar("Function", bound=Callable[..., Any])
LEAVES: tuple[str, ...] = get_args(Leave)
GENERIC_BANDWIDTH, GENERIC_FLOPS = 500e9, 50e12
DATA_SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")


def hardware_options(function: Function) -> Function:
    """Add --gpu, --vram and --count."""
    function = click.option("--count", type=click.IntRange(1, 64), help="Cards of that kind.")(
        function
    )
    function = click.option(
        "--vram", metavar="SIZE", help="Memory of the card, such as 24GiB; with --gpu: a limit."
    )(function)
    return click.option(
        "--gpu", metavar="NAME", help="A card by its name, such as rtx-4090, or `cpu`."
    )(function)


def data_option(function: Function) -> Function:
    """Add --data."""
    return click.option(
        "--data", metavar="FILE", help="Training data, where the spec names none, or instead."
    )(function)


def allow_option(function: Function) -> Function:
    """Add --allow."""
    return click.option(
        "--allow",
        metavar="WORDS",
        callback=_leaves,
        help=f"What may be changed to make it fit, beside `tune.allow`: {', '.join(LEAVES)}.",
    )(function)


def _leaves(context: click.Context, option: click.Parameter, text: str | None) -> tuple[str, ...]:
    words = tuple(word.strip() for word in (text or "").split(",") if word.strip())
    for word in words:
        if word not in LEAVES:
            near = difflib.get_close_matches(word, LEAVES, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else f" Known: {', '.join(LEAVES)}."
            raise click.UsageError(f"`--allow {word}` is nothing to allow.{hint}")
    return words


def fail_on_option(default: str) -> Callable[[Function], Function]:
    """Add --fail-on."""
    return click.option(
        "--fail-on",
        type=click.Choice(["error", "warning", "info", "never"]),
        default=default,
        show_default=True,
        help="Exit with 1 for findings at least this bad.",
    )


def read_spec(path: str, data: str | None = None, allow: Sequence[str] = ()) -> tuple[Parsed, Path]:
    """Read and parse a spec; returns it with the folder that its paths are relative to.

    `-` is standard input, seen from the working folder. `data` and `allow` are written into the
    spec as if they had stood there.
    """
    content, name, root = read_text(path)
    parsed = parse(content, name)
    if data is not None and parsed.root is not None:
        parsed = _with_key(parsed, ("data", "train"), _seen_from(root, data))
    if allow and parsed.spec is not None:
        every = list(dict.fromkeys((*parsed.spec.tune.allow, *allow)))
        parsed = allowing(_with_key(parsed, ("tune", "allow"), every), every)
    return parsed, root


def read_text(path: str) -> tuple[bytes, str, Path]:
    """Return a spec's bytes, its name, and the folder that its paths are relative to."""
    if path == "-":
        return sys.stdin.buffer.read(), "standard input", Path.cwd()
    file = Path(path)
    try:
        return file.read_bytes(), path, file.parent
    except IsADirectoryError:
        inside = next((f for f in (file / "ftspec.yaml", *file.glob("*.yaml")) if f.is_file()), "")
        such_as = f", such as {inside}" if inside else ""
        raise CannotReadError(f"`{path}` is a folder; name the spec in it{such_as}") from None
    except OSError as error:
        raise CannotReadError(f"`{path}` cannot be read: {error.strerror}") from None


def _with_key(parsed: Parsed, route: tuple[str, ...], value: Any) -> Parsed:
    try:
        return parse(set_key(parsed.source.text, route, value), parsed.source.name)
    except CannotEditError:
        return parsed  # the spec's own errors say why, or its form has no such key


def allowing(parsed: Parsed, leaves: Sequence[str]) -> Parsed:
    """Return a parsed spec that allows so much; the flat form has no key for it."""
    spec = parsed.spec
    if spec is None:
        return parsed
    tune = spec.tune.model_copy(update={"allow": tuple(leaves)})
    return replace(parsed, spec=spec.model_copy(update={"tune": tune}))


def _seen_from(root: Path, data: str) -> str:
    """Return a path of the command line as the spec would write it; a hub id stays."""
    if Path(data).is_dir():
        raise CannotReadError(f"`--data {data}` is a folder; name the file in it")
    if glob.glob(data) or Path(data).exists():
        return os.path.relpath(data, root)
    if Path(data).suffix in DATA_SUFFIXES:
        raise CannotReadError(f"`--data {data}`: there is no such file")
    return data


def placed(
    parsed: Parsed, gpu: str | None, vram: str | None, count: int | None
) -> tuple[Parsed, Hardware]:
    """Return a spec and the hardware to compile it for.

    A card that the command line names stands instead of the spec's own.
    """
    spec = parsed.spec
    if spec is None:
        return parsed, hardware_of(gpu, vram, count)
    own = spec.hardware
    if gpu is None and vram is None and own.gpu is None:
        return parsed, hardware_of(None, None, count)
    if gpu is None and vram is None:
        changed: dict[str, int | str | None] = {"count": count or own.count}
        if count:  # it stands instead of a number in the name as well
            changed["gpu"] = split_count(own.gpu or "")[1]
        hardware = _host()
    else:
        changed = {"gpu": None, "count": None}
        written = split_count(gpu or "")[0]
        hardware = hardware_of(gpu, vram, count or (own.count if written is None else None))
    spec = spec.model_copy(update={"hardware": own.model_copy(update=changed)})
    return replace(parsed, spec=spec), hardware


def _host() -> Hardware:
    """Return this machine without its cards, which need not be asked where others are named."""
    from ftspec.runtime.hardware import host_bytes

    return Hardware((), host_bytes(), os.cpu_count() or 1, detected=False)


def hardware_of(gpu: str | None, vram: str | None, count: int | None) -> Hardware:
    """Return the hardware that the command line names, or the one that is here."""
    size = parse_size(vram) if vram else None
    if vram and not size:
        raise click.UsageError(f"`--vram {vram}` is no size; write it as in 24GiB")
    if gpu is None and size is None:
        from ftspec.runtime.hardware import detect

        here = detect()
        if count is not None and count > len(here.cards):
            there = f"{len(here.cards)} card{'s' if len(here.cards) != 1 else ''}"
            raise click.UsageError(
                f"`--count {count}`: this machine has {there}; name a kind with --gpu"
            )
        return replace(here, cards=here.cards[:count])
    if gpu == "cpu":
        from ftspec.runtime.hardware import detect

        here = detect()
        host = min(here.host_bytes, size or here.host_bytes)
        return Hardware((), host, here.cores, detected=False)
    if gpu is None:
        assert size is not None
        return named(_generic(size), count or 1)
    found = find_cards(gpu)
    if found is None:
        maker = other_maker(gpu)
        if maker:
            raise click.UsageError(
                f"`--gpu {gpu}` is a card of {maker}: nothing was measured there, and predictions"
                " are for NVIDIA's cards"
            )
        near = ", ".join(f"`{name}`" for name in nearest_names(gpu))
        hint = f" Did you mean {near}?" if near else ""
        raise click.UsageError(f"`--gpu {gpu}` is no known card.{hint}")
    kind, written = found
    if written is not None and count not in (None, written):
        raise click.UsageError(f"`--gpu {gpu}` is {written} cards, and `--count` says {count}")
    card = Card(kind, min(kind.usable_bytes, size or kind.usable_bytes))
    return Hardware((card,) * (written or count or 1), detected=False)


def _generic(size: int) -> Gpu:
    name = f"a card of {size / 2**30:g} GiB"
    return Gpu(name, size, GENERIC_BANDWIDTH, GENERIC_FLOPS, GENERIC_FLOPS, (8, 0), "--vram", False)


def show_findings(
    findings: tuple[Finding, ...] | list[Finding], parsed: Parsed, stream: Any
) -> None:
    """Print findings with the lines of the spec that they point at."""
    paint = painter(stream)
    source = parsed.source
    for finding in findings:
        elsewhere = finding.place is not None and finding.place.file != source.name
        text = None if elsewhere else source.text
        print(render(finding, text, paint), end="\n\n", file=stream)


def exit_code(findings: tuple[Finding, ...] | list[Finding], fail_on: str) -> int:
    """Return 1 where a finding is at least as bad as `fail_on`, else 0."""
    if fail_on == "never":
        return 0
    bar = Severity(fail_on)
    return int(any(finding.severity.at_least(bar) for finding in findings))


def count_words(findings: tuple[Finding, ...] | list[Finding]) -> str:
    """Return `2 errors, 1 warning`."""
    words = []
    for severity in Severity:
        number = sum(finding.severity is severity for finding in findings)
        if number:
            name = {"info": "note"}.get(severity.value, severity.value)
            words.append(f"{number} {name}{'s' if number != 1 else ''}")
    return ", ".join(words) or "no findings"


def live_tracer() -> Tracer | None:
    """Return what traces memory where no tape covers a set-up; FTSPEC_TRACE=off: nothing does."""
    return None if os.environ.get("FTSPEC_TRACE") == "off" else _LaterTracer()


class _LaterTracer:
    """A live tracer whose module is imported when it is first asked: most set-ups have a tape."""

    def __init__(self) -> None:
        self.failed = ""
        self._tracer: Tracer | None = None

    def __call__(
        self, config: Mapping[str, Any], work: Work, capability: tuple[int, ...]
    ) -> Peaks | None:
        from ftspec.compiler.memory.live import LiveTracer

        if self._tracer is None:
            self._tracer = LiveTracer(lambda words: print(words, file=sys.stderr))
        seen = self._tracer(config, work, capability)
        self.failed = self._tracer.failed
        return seen
