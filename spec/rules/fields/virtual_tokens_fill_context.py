"""As many virtual tokens as the longest row has tokens.

What it finds
    A `num_virtual_tokens` that is `data.max_length` or more.

Why it matters
    Virtual tokens stand in front of every row and are paid for at every step: at least half of
    each sequence would be prompt. Often the two numbers are swapped.

Evidence it needs
    `method.num_virtual_tokens` and `data.max_length`, both written.

Example
    ```yaml
    method: {type: prompt, num_virtual_tokens: 512}
    data: {train: train.jsonl, max_length: 128}
    ```

What to do
    Write a smaller `num_virtual_tokens`; 20 is usual.

References
    peft 0.21 `peft_model.py`, `forward`: the virtual tokens are put before the row, whose own
    length `max_length` bounds.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule

USUAL = 20  # peft's examples, and what an open key becomes


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    tokens, longest = spec.method.num_virtual_tokens, spec.data.max_length
    if spec.method.type not in ("prefix", "prompt") or tokens is None or longest is None:
        return
    if tokens < longest:
        return
    yield RULE.finding(
        f"`num_virtual_tokens: {tokens}` is at least as long as a row: `max_length: {longest}`",
        route=("method", "num_virtual_tokens"),
        found=f"{tokens / (tokens + longest):.0%} of each sequence or more",
        help=f"write a smaller number; {USUAL} is usual",
        evidence={"num_virtual_tokens": tokens, "max_length": longest},
        prescriptions=(
            (
                Prescription(
                    (Edit("method.num_virtual_tokens", tokens, USUAL),),
                    f"{USUAL} virtual tokens are usual",
                ),
            )
            if longest > USUAL
            else ()
        ),
    )


RULE = Rule("FT138", "virtual-tokens-fill-context", Severity.WARNING, find)
