"""A start for a soft prompt where there is none.

What it finds
    `init` or `init_text` where the method is not `prompt`.

Why it matters
    Only prompt tuning starts from words. A prefix starts from random numbers, and the other
    methods have no virtual tokens, so the key would be dropped in silence.

Evidence it needs
    `method.type`, `method.init` and `method.init_text`.

Example
    ```yaml
    method: {type: prefix, init_text: "Answer politely."}
    ```

What to do
    Delete the key, or write `type: prompt`.

References
    peft 0.21 `tuners/prompt_tuning/config.py`: `prompt_tuning_init` is a field of
    `PromptTuningConfig` only; `tuners/prefix_tuning/config.py` has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule
from ftspec.spec.rules.fields.wording import listed, verb


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding that names both keys, placed at the first."""
    method = spec.method
    keys = [key for key in ("init", "init_text") if getattr(method, key) is not None]
    if method.type == "prompt" or not keys:
        return
    patch = (Edit("method.type", method.type, "prompt"),)
    reason = "only prompt tuning starts from words"
    yield RULE.finding(
        f"{listed(keys)} {verb(keys, 'belongs', 'belong')} to `prompt`, not to `{method.type}`",
        route=("method", keys[0]),
        at_key=True,
        found=f"`{method.type}` has no soft prompt",
        help=f"delete {listed(keys)}, or write `type: prompt`",
        evidence={"keys": keys, "method": method.type},
        prescriptions=(Prescription(patch, reason),) if method.type == "prefix" else (),
    )


RULE = Rule("FT113", "init-without-prompt", Severity.ERROR, find)
