"""Show a plan to a person: memory as bars, choices as a table with their reasons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ftspec.compiler.plan import Plan
from ftspec.spec.edit import literal
from ftspec.spec.render import Paint, no_paint

GIB = 2**30
BAR = 28
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


def memory_lines(plan: Plan, paint: Paint = no_paint, *, unicode: bool = True) -> Iterator[str]:
    """Yield the lines that show the predicted memory, a bar for each part."""
    memory = plan.memory
    count = f", {plan.model.parameters / 1e6:,.1f} M parameters" if plan.model.parameters else ""
    architecture = f" ({plan.model.architecture}{count})" if plan.model.architecture else ""
    yield f"{paint(plan.model.name, 'bold')}{architecture}, {plan.method.type}"
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
    parts = [*memory.parts.items()]
    if memory.context_bytes:
        parts.append(("context", memory.context_bytes))
    widest = max(size for _, size in parts)
    for name, size in parts:
        bar = _bar(size / widest, unicode=unicode)
        formula = memory.formulas.get(name, "CUDA context and kernels")
        yield f"  {name:<13} {paint(bar, 'cyan')} {_size(size):>9}  {paint(formula, 'dim')}"
    phases = ", ".join(f"{name} {_size(size)}" for name, size in memory.phases.items())
    yield f"  {'by phase':<13} {phases}"


def _bar(share: float, *, unicode: bool) -> str:
    if not unicode:
        return ("#" * round(share * BAR) or ".").ljust(BAR)
    eighths = round(share * BAR * 8)
    text = "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")
    return (text or "▏").ljust(BAR)


def _size(size: int) -> str:
    if size >= 0.1 * GIB:
        return f"{size / GIB:.2f} GiB"
    return f"{size / 2**20:.1f} MiB"


def plan_lines(plan: Plan, paint: Paint = no_paint, *, everything: bool = False) -> Iterator[str]:
    """Yield the lines that show what was decided, and why."""
    paths = list(plan.why) if everything else [path for path in SHOWN if path in plan.why]
    rows = []
    for path in paths:
        value = _value(plan, path)
        if value is None and not everything:
            continue
        rows.append((path, _short(value), plan.why[path]))
    width = max((len(path) for path, _, _ in rows), default=0)
    values = min(34, max((len(value) for _, value, _ in rows), default=0))
    for path, value, why in rows:
        reason = why.reason if why.by == "plan" else "as written"
        yield f"  {path:<{width}}  {paint(value.ljust(values), 'bold')}  {paint(reason, 'dim')}"


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
