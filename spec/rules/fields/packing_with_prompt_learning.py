"""Packing with prefix or prompt tuning.

What it finds
    `packing: true` where the method is `prefix` or `prompt`.

Why it matters
    Packed rows are kept apart by their position ids. peft drops them for a prompt and shifts them
    for a prefix, so rows of one sequence would attend to each other, and only the first would see
    the virtual tokens in front of it.

Evidence it needs
    `method.type` and `data.packing`.

Example
    ```yaml
    method: prompt
    data: {train: train.jsonl, packing: true}
    ```

What to do
    Write `packing: false`, or delete the key.

References
    peft 0.21 `peft_model.py`, `_adjust_prompt_learning_kwargs`: "Position ids are not supported
    for parameter efficient tuning. Ignoring position ids."
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    method = spec.method.type
    if method not in ("prefix", "prompt") or not spec.data.packing:
        return
    yield RULE.finding(
        f"`packing` cannot be used with `{method}`",
        route=("data", "packing"),
        found="packed rows would attend to each other",
        help="write `packing: false`, or delete `packing`",
        evidence={"method": method},
        prescriptions=(
            Prescription(
                (Edit("data.packing", True, False),),
                f"peft does not keep packed rows apart under {method} tuning",
            ),
        ),
    )


RULE = Rule("FT118", "packing-with-prompt-learning", Severity.ERROR, find)
