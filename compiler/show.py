"""Show a plan to a person: memory as bars, choices as a table with their reasons."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from ftspec.compiler.plan import Plan
from ftspec.compiler.speed import Speed
from ftspec.spec.edit import literal
from ftspec.spec.render import Paint, no_paint

GIB = 2**30
BAR, LABEL, SIZE = 28, 13, 10  # columns: a bar, a part's name, its size
VALUE = 10  # columns for a choice's value; a longer one pushes its reason to the next line
LEAST = 24  # columns under which a reason is not worth squeezing in beside
VERDICTS = {
    "fits": ("fits", "bold green"),
    "tight": ("tight: it may not fit", "bold yellow"),
    "no": ("does not fit", "bold red"),
    "unknown": ("cannot be told", "bold yellow"),
}
# What the short table shows, in this order; `--why` shows everything.
SHOWN = (
    "model.dtype",
    "model.attention",
    "method.r",
    "method.alpha",
    "method.target_modules",
    "method.quantization",
    "method.num_virtual_tokens",
    "data.format",
    "data.eval_rows",
    "data.max_length",
    "data.packing",
    "train.batch_size",
    "train.gradient_accumulation",
    "train.activation_checkpointing",
    "train.learning_rate",
    "train.epochs",
    "train.max_steps",
    "train.total_steps",
)


def memory_lines(
    plan: Plan,
    paint: Paint = no_paint,
    *,
    unicode: bool = True,
    width: int = 100,
    formulas: bool = False,
) -> Iterator[str]:
    """Yield the lines that show the predicted memory: a bar for each part, its formula if asked."""
    memory = plan.memory
    count = f", {_count(plan.model.parameters)} parameters" if plan.model.parameters else ""
    architecture = f" ({plan.model.architecture}{count})" if plan.model.architecture else ""
    yield f"{paint(_name(plan), 'bold')}{architecture}, {plan.method.type}"
    words, style = VERDICTS[memory.verdict]
    where = plan.hardware.gpu or "this machine's memory (the CPU trains)"
    if plan.hardware.count > 1:
        where = f"each of {plan.hardware.count} x {where}"
    free = memory.free_bytes / GIB
    if memory.peak_bytes is None or memory.low_bytes is None or memory.high_bytes is None:
        yield f"memory: {paint(words, style)}: {memory.note}"
        return
    peak, low, high = (n / GIB for n in (memory.peak_bytes, memory.low_bytes, memory.high_bytes))
    yield f"memory: {paint(words, style)}: {peak:.1f} GiB at the peak ({low:.1f} to {high:.1f})"
    yield f"        of {free:.1f} GiB free on {where}"
    yield paint(f"        {_how(plan)}", "dim")
    context = memory.context_bytes or 0
    parts = [*memory.parts.items()]
    if context:
        parts.append(("context", context))
    widest = max(size for _, size in parts)
    bar_width = max(8, min(BAR, width - LABEL - SIZE - 5))
    for name, size in parts:
        bar = paint(_bar(size / widest, bar_width, unicode=unicode), "cyan")
        left = f"  {name.replace('_', ' '):<{LABEL}} {bar} {_size(size):>{SIZE}}"
        formula = memory.formulas.get(name, "CUDA context and kernels") if formulas else ""
        taken = LABEL + bar_width + SIZE + 4
        yield from _beside(left, taken, formula, taken + 2, width, paint)
    phases = ", ".join(f"{name} {_size(size + context)}" for name, size in memory.phases.items())
    if sum(size for _, size in parts) > 1.02 * memory.peak_bytes:
        yield "  (not all parts are at their largest at one moment: the peak is the largest sum)"
    yield from _beside("  by phase", len("  by phase"), phases, LABEL + 3, width, no_paint)


def time_lines(speed: Speed, paint: Paint = no_paint, *, width: int = 100) -> Iterator[str]:
    """Yield how long the run takes and what it costs, as far as that is known; else nothing."""
    if speed.tokens_per_second is None or speed.low is None or speed.high is None:
        return
    rate = f"{speed.tokens_per_second:,.0f} tokens/s ({speed.low:,.0f} to {speed.high:,.0f})"
    words = [rate] if speed.seconds is None else [_span(speed), rate]
    if speed.tokens is not None:
        words.append(f"{speed.tokens:,} tokens")
    if speed.cost is not None and speed.cost_low is not None and speed.cost_high is not None:
        words.append(f"costs {speed.cost:.2f} ({speed.cost_low:.2f} to {speed.cost_high:.2f})")
    yield from _beside("time:", 5, ", ".join(words), 8, width, no_paint)
    yield from _beside("", 0, f"({speed.note})" if speed.note else "", 8, width, paint)


def _span(speed: Speed) -> str:
    """Return `about 2.1 h (1.4 to 3.1)`, in the unit that fits."""
    likely, low, high = speed.seconds or 0.0, speed.seconds_low or 0.0, speed.seconds_high or 0.0
    unit, name = (3600, "h") if likely >= 5400 else (60, "min") if likely >= 90 else (1, "s")
    digits = 1 if likely < 10 * unit else 0
    ends = f"{low / unit:.{digits}f} to {high / unit:.{digits}f}"
    return f"about {likely / unit:.{digits}f} {name} ({ends})"


WAYS = {
    "tape": "from a tape of the real libraries",
    "traced": "from a live trace of the real libraries",
    "closed-form": "by formula, with a wide margin",
    "measured": "measured on this machine",
}


def _how(plan: Plan) -> str:
    """Return how the prediction was made, and in which moment its peak is."""
    memory = plan.memory
    moment = f"the peak is in {memory.moment}; " if memory.moment else ""
    return moment + WAYS.get(memory.method, memory.method)


def _count(parameters: int) -> str:
    """Return `6.74 B`, or `134.5 M`."""
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.1f} M"


def _beside(
    left: str, taken: int, text: str, column: int, width: int, paint: Paint
) -> Iterator[str]:
    """Yield `left`, which takes so many columns, and a text from `column` on: beside it or under.

    Where too few columns are left over there, the text stands under `left`, a little indented.
    """
    start = column if width - column >= LEAST else 6
    wrapped = textwrap.wrap(text, width - start, break_long_words=False, break_on_hyphens=False)
    if wrapped and taken < start:
        left += " " * (start - taken) + paint(wrapped.pop(0), "dim")
    yield left.rstrip()
    for line in wrapped:
        yield " " * start + paint(line, "dim")


def _name(plan: Plan) -> str:
    return plan.model.name.rpartition("/")[2] if plan.model.local else plan.model.name


def _bar(share: float, width: int, *, unicode: bool) -> str:
    if not unicode:
        return ("#" * round(share * width) or ".").ljust(width)
    eighths = round(share * width * 8)
    text = "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")
    return (text or "▏").ljust(width)


def _size(size: int) -> str:
    if size >= 0.1 * GIB:
        return f"{size / GIB:.2f} GiB"
    return f"{size / 2**20:.1f} MiB"


def change_lines(plan: Plan, paint: Paint = no_paint, *, width: int = 100) -> Iterator[str]:
    """Yield what the plan changed of the spec: asked -> planned, a line each, and why."""
    yield "changed (asked -> planned):"
    rules: dict[str, str] = {}
    rows = []
    for change in plan.changes:
        asked = "open" if change.asked is None else _short(change.asked)
        said = rules.get(change.rule) == change.reason
        rules[change.rule] = change.reason
        rows.append((change.path, asked, _short(change.planned), "" if said else change.reason))
    widest = max(len(path) for path, *_ in rows)
    column = widest + 8 + max(len(asked + planned) for _, asked, planned, _ in rows)
    for path, asked, planned, reason in rows:
        left = f"  {path:<{widest}}  {asked} -> "
        taken = len(left) + len(planned)
        yield from _beside(left + paint(planned, "bold"), taken, reason, column, width, paint)


def plan_lines(
    plan: Plan, paint: Paint = no_paint, *, everything: bool = False, width: int = 100
) -> Iterator[str]:
    """Yield the lines that show what was decided, and why."""
    paths = [path for path in plan.why if path != "memory"]
    if not everything:
        paths = [path for path in SHOWN if path in plan.why]
    rows = []
    for path in paths:
        value = _value(plan, path)
        if value is None and not everything:
            continue
        rows.append((path, _short(value), plan.why[path]))
    changed = {change.path for change in plan.changes}
    paths_width = max((len(path) for path, _, _ in rows), default=0)
    column = paths_width + 4 + VALUE + 2
    for path, value, why in rows:
        reason = why.reason if why.by == "plan" else "as written"
        if path in changed and not everything:
            reason = "changed: see above"
        left = f"  {path:<{paths_width}}  "
        taken = len(left) + len(value)
        yield from _beside(left + paint(value, "bold"), taken, reason, column, width, paint)


def _value(plan: Plan, path: str) -> Any:
    value: Any = plan
    for step in path.split("."):
        value = getattr(value, step, None)
    return value


def _short(value: Any) -> str:
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if isinstance(value, tuple):
        value = list(value)
    text = "none" if value is None else literal(value)
    return text if len(text) <= 60 else text[:57] + "..."
