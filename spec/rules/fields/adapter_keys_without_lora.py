"""LoRA keys beside prefix or prompt tuning.

What it finds
    `r`, `alpha`, `dropout`, `target_modules`, `rslora`, `dora`, `bias` or `modules_to_save` where
    the method is `prefix` or `prompt`.

Why it matters
    Prefix and prompt tuning train virtual tokens and no matrices; the keys would be dropped in
    silence.

Evidence it needs
    `method.type` and the keys beside it.

Example
    ```yaml
    method: {type: prefix, r: 16}
    ```

What to do
    Delete the keys, and set the length with `num_virtual_tokens`; or write `type: lora`.

References
    peft 0.21 `config.py`: `PromptLearningConfig` has none of these fields.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule
from ftspec.spec.rules.fields.full_with_adapter_keys import adapter_keys
from ftspec.spec.rules.fields.wording import listed, verb


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding that names all LoRA keys, placed at the first."""
    method, keys = spec.method.type, adapter_keys(spec.method)
    if method not in ("prefix", "prompt") or not keys:
        return
    yield RULE.finding(
        f"{listed(keys)} {verb(keys, 'belongs', 'belong')} to LoRA, not to `{method}`",
        route=("method", keys[0]),
        at_key=True,
        found=f"`{method}` trains virtual tokens",
        help=f"delete {listed(keys)}, or write `type: lora`",
        evidence={"keys": list(keys), "method": method},
        prescriptions=(
            Prescription(
                (Edit("method.type", method, "lora"),),
                f"{listed(keys)} {verb(keys, 'describes', 'describe')} a LoRA adapter",
            ),
        ),
    )


RULE = Rule("FT111", "adapter-keys-without-lora", Severity.ERROR, find)
