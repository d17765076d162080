"""The guide's table for any model: five methods from one start, predicted, beside its figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from ftspec.compiler.facts.gpus import Gpu, find_gpu
from ftspec.compiler.facts.hardware import Hardware, named
from ftspec.compiler.facts.model import ModelFacts, ModelUnreadableError, Shape, resolve_model
from ftspec.compiler.pipeline import compile_spec
from ftspec.compiler.plan import MemoryPlan, Plan
from ftspec.compiler.speed import Speed, estimate
from ftspec.spec.model import MethodName
from ftspec.spec.parse import parse

Verdict = Literal["fits", "tight", "no", "unknown"]

GB, GIB = 1e9, 2**30
LENGTH, VIRTUAL_TOKENS = 512, 20
# The guide's start; what it does not say is the plan's own, with nothing fitted (`tune: off`).
METHODS: Mapping[MethodName, str] = MappingProxyType(
    {
        "full": "{type: full}",
        "lora": "{type: lora, r: 16, alpha: 32, dropout: 0.05}",
        "qlora": "{type: qlora, r: 16, alpha: 32, dropout: 0.05}",
        "prefix": f"{{type: prefix, num_virtual_tokens: {VIRTUAL_TOKENS}}}",
        "prompt": f"{{type: prompt, num_virtual_tokens: {VIRTUAL_TOKENS}}}",
    }
)
SPEC = """\
model: {model}
method: {method}
data: {{max_length: {length}}}
train: {{batch_size: 4, gradient_accumulation: 4}}
tune: {{memory: off, speed: off, overfitting: off}}
"""


@dataclass(frozen=True, slots=True)
class Guide:
    """What the guide says of a method: memory, speed, quality and cost, in its own words."""

    memory: str
    speed: str
    quality: str
    cost: str


GUIDE: Mapping[MethodName, Guide] = MappingProxyType(
    {
        "full": Guide("60GB+", "slow", "best", "high"),
        "lora": Guide("16GB", "fast", "very good", "low"),
        "qlora": Guide("6-8GB", "medium", "good", "very low"),
        "prefix": Guide("8GB", "fast", "good", "low"),
        "prompt": Guide("4GB", "very fast", "moderate", "very low"),
    }
)
# The guide's figures in GB by size: parameters in billions, from and to. Those of prefix and
# prompt stand in its other table, for a start that it gives for 7B.
GUIDE_GB: Mapping[str, tuple[float, float, Mapping[MethodName, int]]] = MappingProxyType(
    {
        "7B": (6.0, 9.0, {"full": 28, "lora": 16, "qlora": 6, "prefix": 8, "prompt": 4}),
        "13B": (11.5, 15.0, {"full": 52, "lora": 28, "qlora": 12}),
        "70B": (64.0, 76.0, {"full": 280, "lora": 80, "qlora": 48}),
    }
)
# Sizes that people have, in GB, with the cards that stand for them; a size fits if all of its do.
CARDS: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("8", ("RTX 4060",), 1),
    ("12", ("RTX 3060",), 1),
    ("16", ("T4", "RTX 4080"), 1),
    ("24", ("RTX 3090", "RTX 4090"), 1),
    ("32", ("RTX 5090",), 1),
    ("40", ("A100 40GB",), 1),
    ("48", ("L40S",), 1),
    ("80", ("A100 80GB", "H100"), 1),
    ("96", ("RTX PRO 6000",), 1),
    ("141", ("H200",), 1),
    ("2x80", ("H100",), 2),
    ("4x80", ("H100",), 4),
    ("8x80", ("H100",), 8),
)
WORST_FIRST: tuple[Verdict, ...] = ("unknown", "no", "tight", "fits")
# Parts of the memory that a figure of the weights alone leaves out, and what they are called.
ON_TOP = {"gradients": "gradients", "optimizer": "optimizer state", "activations": "activations"}
SURELY, HARDLY = 1.4, 0.7  # of the interval's ends: beyond them another card changes no verdict
AGREES = 0.15  # share of the guide's figure


class NoMethodsError(Exception):
    """The model cannot be planned for at all; the message says why."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a method fits a size of card; split: its layers are spread over several."""

    size: str
    verdict: Verdict
    split: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """A method's plan on the card asked about, its guide figure, and where it fits."""

    method: MethodName
    plan: Plan
    speed: Speed
    guide_gb: int | None
    remark: str
    fits: tuple[Fit, ...]


def predict_methods(model: str, root: Path, hardware: Hardware) -> tuple[Prediction, ...]:
    """Plan all five methods for a model, as seen from the folder `root`.

    hardware: the cards to predict on. A method that the model refuses is left out. Raises
    NoMethodsError where the model cannot be read, or refuses all.
    """
    try:
        facts = resolve_model(model, root)
    except ModelUnreadableError as error:
        raise NoMethodsError(str(error)) from error
    found, refused = [], []
    for method in METHODS:
        try:
            found.append(_prediction(method, facts, root, hardware))
        except NoMethodsError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return tuple(found)


def guide_size(parameters: int | None) -> str | None:
    """Return which of the guide's sizes a model has: `7B`, `13B`, `70B`, or none of them."""
    billions = (parameters or 0) / 1e9
    return next((name for name, (low, high, _) in GUIDE_GB.items() if low < billions < high), None)


def spec_text(model: str, method: MethodName, shape: Shape | None, dtype: str | None = None) -> str:
    """Return the spec of the guide's start; models with few positions get shorter rows."""
    room = (shape.positions if shape else LENGTH + VIRTUAL_TOKENS) - VIRTUAL_TOKENS
    name = json.dumps(model)
    return SPEC.format(
        model=f"{{name: {name}, dtype: {dtype}}}" if dtype else name,
        method=METHODS[method],
        length=max(1, min(LENGTH, room)),
    )


def _prediction(
    method: MethodName, facts: ModelFacts, root: Path, hardware: Hardware
) -> Prediction:
    text = spec_text(facts.name, method, facts.shape)
    plan = _plan(text, root, hardware)
    size = guide_size(facts.parameters)
    figure = GUIDE_GB[size][2].get(method) if size else None
    remark = _remark(plan, figure) if figure else ""
    if remark and plan.model.dtype == "float32" and hardware.gpu and hardware.gpu.bf16:
        stored = _plan(spec_text(facts.name, method, facts.shape, "bfloat16"), root, hardware)
        less = (stored.memory.peak_bytes or 0) / GB
        remark += f"; stored in bfloat16 it is {less:.1f} GB (its other table says 60GB+, of 7B)"
    fits = tuple(_fits(text, plan.memory, root))
    return Prediction(method, plan, estimate(plan, facts.shape, hardware.gpu), figure, remark, fits)


def _plan(text: str, root: Path, hardware: Hardware) -> Plan:
    """Compile as `check` does a spec in the guide's flat form, which needs no data."""
    compiled = compile_spec(replace(parse(text, "methods"), flat=True), root, hardware)
    if compiled.plan is None:
        raise NoMethodsError("; ".join(item.title for item in compiled.findings))
    return compiled.plan


def _fits(text: str, memory: MemoryPlan, root: Path) -> Iterator[Fit]:
    """Judge each size of card."""
    enough = False  # one card of 80 GB: several are enough as well
    for size, names, count in CARDS:
        if count > 1 and enough:
            yield Fit(size, "fits")
            continue
        found = _fit(size, tuple(_known(name) for name in names), count, text, memory, root)
        enough = enough or (size == "80" and found.verdict == "fits")
        yield found


def _fit(
    size: str, cards: tuple[Gpu, ...], count: int, text: str, memory: MemoryPlan, root: Path
) -> Fit:
    """Judge one size; where the prediction leaves no doubt, without planning anew."""
    if memory.low_bytes is None or memory.high_bytes is None:
        return Fit(size, "unknown")
    least = min(card.usable_bytes for card in cards)
    if count == 1 and memory.high_bytes * SURELY < least:
        return Fit(size, "fits")
    if count == 1 and least < HARDLY * memory.low_bytes:
        return Fit(size, "no")
    plans = [_plan(text, root, named(card, count)) for card in cards]
    verdict = min((plan.memory.verdict for plan in plans), key=WORST_FIRST.index)
    return Fit(size, verdict, any(plan.hardware.split_model for plan in plans))


def _known(name: str) -> Gpu:
    gpu = find_gpu(name)
    assert gpu is not None, name
    return gpu


def _remark(plan: Plan, figure: int) -> str:
    """Say whether the guide's figure (GB) and the prediction part, and why."""
    memory = plan.memory
    if memory.peak_bytes is None:
        return ""
    needed, weights = memory.peak_bytes / GB, memory.parts.get("base_weights", 0) / GB
    if abs(needed - figure) <= AGREES * figure:
        return f"agrees: {needed:.1f} GB"
    if needed < figure:
        return f"{needed:.1f} GB are enough"
    stored = plan.method.quantization if plan.method.quantization != "none" else plan.model.dtype
    words = f"the {stored} weights alone are {weights:.1f} GB"
    more = [
        f"{name} {memory.parts[key] / GB:.1f}"
        for key, name in ON_TOP.items()
        if memory.parts.get(key, 0) >= 0.1 * GB
    ]
    return f"{words}; on top come {', '.join(more)}" if more else words
