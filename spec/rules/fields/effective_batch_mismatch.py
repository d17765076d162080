"""An effective batch that its factors do not make.

What it finds
    An `effective_batch` that is not micro-batch x accumulation x ranks where both factors are
    written, or that the written ones do not divide. Ranks are cards x nodes; one each where they
    are left out.

Why it matters
    The effective batch decides what is learnt. Three numbers that contradict one another leave
    open which of them was meant.

Evidence it needs
    `train.effective_batch`, `train.batch_size`, `train.gradient_accumulation`, `hardware.count`
    and `hardware.nodes`. With packing a row holds several examples, and nothing is judged.

Example
    ```yaml
    train: {batch_size: 4, gradient_accumulation: 4, effective_batch: 32}
    ```

What to do
    Write the product, or leave one of the factors out: the planner chooses it.

References
    CONTRACT: `train.effective_batch` is examples a step over all ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule

Factor = tuple[str, str, int]


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding at `effective_batch`."""
    effective, factors = spec.train.effective_batch, _factors(spec)
    if effective is None or spec.data.packing:
        return
    product = prod(number for _, _, number in factors)
    both = None not in (spec.train.batch_size, spec.train.gradient_accumulation)
    if product == effective or (not both and effective % product == 0):
        return
    made = " x ".join(f"{number} ({key})" for _, key, number in factors)
    edit, why = _edit(spec, effective, product)
    yield RULE.finding(
        f"`effective_batch: {effective}` is not what its factors make",
        route=("train", "effective_batch"),
        found=f"{made} = {product}" if both else f"not divisible by {made}",
        help=f"write `{edit.path.rpartition('.')[2]}: {edit.after}`, or leave it out",
        evidence={"effective_batch": effective, **{key: n for _, key, n in factors}},
        prescriptions=(Prescription((edit,), why),),
    )


def _factors(spec: Spec) -> list[Factor]:
    train, hardware = spec.train, spec.hardware
    written = [
        ("train", "batch_size", train.batch_size),
        ("train", "gradient_accumulation", train.gradient_accumulation),
        ("hardware", "count", hardware.count),
        ("hardware", "nodes", hardware.nodes),
    ]
    return [(section, key, number) for section, key, number in written if number is not None]


def _edit(spec: Spec, effective: int, product: int) -> tuple[Edit, str]:
    """Keep the effective batch by another accumulation where that goes; else change it."""
    accumulation = spec.train.gradient_accumulation
    others = product // (accumulation or 1)
    if accumulation is not None and effective % others == 0:
        edit = Edit("train.gradient_accumulation", accumulation, effective // others)
        return edit, f"{others} x {effective // others} = {effective} examples a step"
    nearest = max(1, round(effective / product)) * product
    if None not in (spec.train.batch_size, accumulation):
        nearest = product
    edit = Edit("train.effective_batch", effective, nearest)
    return edit, f"{nearest} is a multiple of {product}"


RULE = Rule("FT127", "effective-batch-mismatch", Severity.ERROR, find)
