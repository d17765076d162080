"""A number of virtual tokens where the method has none.

What it finds
    `num_virtual_tokens` where the method is `full`, `lora` or `qlora`.

Why it matters
    Virtual tokens are what prefix and prompt tuning train. The other methods have none, so the
    number would be dropped in silence.

Evidence it needs
    `method.type` and `method.num_virtual_tokens`.

Example
    ```yaml
    method: {type: lora, num_virtual_tokens: 20}
    ```

What to do
    Delete the key, or write `type: prompt` or `type: prefix`.

References
    peft 0.21 `config.py`: `num_virtual_tokens` is a field of `PromptLearningConfig` only.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    method, tokens = spec.method.type, spec.method.num_virtual_tokens
    if tokens is None or method in ("prefix", "prompt"):
        return
    yield RULE.finding(
        f"`num_virtual_tokens` belongs to `prefix` and `prompt`, not to `{method}`",
        route=("method", "num_virtual_tokens"),
        at_key=True,
        found=f"`{method}` has no virtual tokens",
        help="delete `num_virtual_tokens`, or write `type: prompt` or `type: prefix`",
        evidence={"num_virtual_tokens": tokens, "method": method},
    )


RULE = Rule("FT112", "virtual-tokens-without-prompt-learning", Severity.ERROR, find)
