"""A target module that the architecture does not have.

What it finds
    Names under `method.target_modules` that are no linear layer of the model's blocks.

Why it matters
    peft raises when no name matches, and trains fewer layers than meant when some do.

Evidence it needs
    The model's architecture.

Example
    ```yaml
    model: gpt2
    method: {type: lora, target_modules: [q_proj, v_proj]}   # gpt2 calls both c_attn
    ```

What to do
    Write names from the help line, or a preset: `attention`, `all-linear`.

References
    peft 0.21 `tuners/tuners_utils.py`; transformers, `modeling_*.py` of the architecture.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[tuple[str, ...], tuple[str, ...], str]) -> Iterator[Finding]:
    """Yield the finding."""
    asked, known, architecture = subject
    last = {name.rpartition(".")[2] for name in known} | set(known)
    for number, name in enumerate(asked):
        if name.rpartition(".")[2] not in last:
            yield RULE.finding(
                f"`{name}` is no linear layer of {architecture}",
                route=("method", "target_modules", number),
                found="no such module",
                help=f"its layers are {', '.join(f'`{item}`' for item in known)}; "
                "or write `attention` or `all-linear`",
                evidence={"name": name, "known": list(known)},
            )


RULE = Rule("FT168", "unknown-module", Severity.ERROR, find)
