"""Packing with a model that does not keep packed rows apart.

What it finds
    `packing: true` for OPT, Falcon, BLOOM or MPT.

Why it matters
    Packed rows are kept apart by their position ids alone. These models take positions from an
    attention mask or from distances, so every row would attend to those before it.

Evidence it needs
    The model's architecture and `data.packing`.

Example
    ```yaml
    model: facebook/opt-1.3b
    data: {train: train.jsonl, packing: true}
    ```

What to do
    Write `packing: false`, or delete the key.

References
    transformers 5.23, `masking_utils.py` (`find_packed_sequence_indices`) and the models' forward
    passes; a test compares packed rows with the same rows alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.draft import Draft
from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.rule import Rule


def find(draft: Draft) -> Iterator[Finding]:
    """Yield the finding."""
    shape = draft.model.shape
    if not draft.spec.data.packing or shape is None or shape.family is None or shape.family.packs:
        return
    yield RULE.finding(
        f"`packing` cannot be used with {shape.architecture}",
        route=("data", "packing"),
        found="packed rows would attend to each other",
        help="write `packing: false`, or delete `packing`",
        evidence={"architecture": shape.architecture},
        prescriptions=(
            Prescription(
                (Edit("data.packing", True, False),),
                f"{shape.architecture} does not keep packed rows apart by their position ids",
            ),
        ),
    )


RULE = Rule("FT194", "packed-rows-mix", Severity.ERROR, find)
