"""Activation checkpointing with prefix tuning.

What it finds
    `activation_checkpointing: true` or `selective` where the method is `prefix`.

Why it matters
    A prefix reaches the model as its key-value cache, and checkpointing turns that cache off. By
    one path the run stops in attention; by another no gradient reaches the prefix and nothing is
    trained.

Evidence it needs
    `method.type` and `train.activation_checkpointing`.

Example
    ```yaml
    method: prefix
    train: {activation_checkpointing: true}
    ```

What to do
    Write `activation_checkpointing: false`. Where memory is short, take a smaller `batch_size` or
    `max_length`, or `method: prompt`.

References
    peft 0.21 `peft_model.py`, `add_adapter`: "PREFIX_TUNING does not work with gradient
    checkpointing."
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    checkpointing = spec.train.activation_checkpointing
    if spec.method.type != "prefix" or not checkpointing:
        return
    yield RULE.finding(
        "`activation_checkpointing` cannot be used with `prefix`",
        route=("train", "activation_checkpointing"),
        found="the prefix would not be trained",
        help="write `activation_checkpointing: false`; to save memory, lower `batch_size`",
        evidence={"activation_checkpointing": checkpointing},
        prescriptions=(
            Prescription(
                (Edit("train.activation_checkpointing", checkpointing, False),),
                "checkpointing turns off the cache through which a prefix works",
            ),
        ),
    )


RULE = Rule("FT119", "checkpointing-with-prefix", Severity.ERROR, find)
