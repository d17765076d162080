"""Rows longer than the model has positions for.

What it finds
    `data.max_length` above the model's `max_position_embeddings`.

Why it matters
    Beyond its positions a model has learnt nothing; some fail there with an index error on the
    card, which shows as an unreadable CUDA assertion.

Evidence it needs
    The model's config.

Example
    ```yaml
    model: gpt2          # 1,024 positions
    method: lora
    data: {train: t.jsonl, max_length: 2048}
    ```

What to do
    Lower `data.max_length` to the limit.

References
    config.json: `max_position_embeddings`, `n_positions`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[int, int | None, int]) -> Iterator[Finding]:
    """Yield the finding."""
    chosen, limit, virtual = subject
    if limit is not None and chosen + virtual > limit:
        limit = max(8, limit - virtual)
        beside = f" beside {virtual:,} virtual tokens" if virtual else ""
        yield RULE.finding(
            f"`max_length` is {chosen:,}, and the model has {limit:,} positions{beside}",
            route=("data", "max_length"),
            found=f"the limit is {limit:,}",
            help=f"write `max_length: {limit}`, or less",
            evidence={"max_length": chosen, "limit": limit},
            prescriptions=(
                Prescription((Edit("data.max_length", chosen, limit),), "the model's limit"),
            ),
        )


RULE = Rule("FT163", "max-length-over-limit", Severity.ERROR, find)
