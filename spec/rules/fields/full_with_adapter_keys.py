"""Adapter keys beside full fine-tuning.

What it finds
    `r`, `alpha`, `dropout`, `target_modules`, `rslora`, `dora`, `bias` or `modules_to_save` where
    the method is `full`.

Why it matters
    Full fine-tuning trains every weight and has no adapter. One of the two lines is not meant,
    and the memory needed differs by a factor of four to ten.

Evidence it needs
    `method.type` and the keys beside it.

Example
    ```yaml
    method: {type: full, r: 16}
    ```

What to do
    Delete the keys, or train an adapter: `type: lora` or `type: qlora`.

References
    peft 0.21 `tuners/lora/config.py`: `LoraConfig` is the only reader of these keys.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Method, Spec
from ftspec.spec.rule import Rule
from ftspec.spec.rules.fields.wording import listed, verb

ADAPTER_KEYS = (
    "r",
    "alpha",
    "dropout",
    "target_modules",
    "rslora",
    "dora",
    "bias",
    "modules_to_save",
)


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding that names all adapter keys, placed at the first."""
    keys = adapter_keys(spec.method)
    if spec.method.type != "full" or not keys:
        return
    yield RULE.finding(
        f"{listed(keys)} {verb(keys, 'belongs', 'belong')} to an adapter, and `full` has none",
        route=("method", keys[0]),
        at_key=True,
        found="`full` trains every weight",
        help=f"delete {listed(keys)}, or train an adapter: `type: lora`",
        evidence={"keys": list(keys)},
        prescriptions=(
            Prescription(
                (Edit("method.type", "full", "lora"),),
                f"{listed(keys)} {verb(keys, 'describes', 'describe')} a LoRA adapter",
            ),
        ),
    )


def adapter_keys(method: Method) -> tuple[str, ...]:
    """Return the LoRA keys that are set; `false` and `none` ask for nothing."""
    values = {key: getattr(method, key) for key in ADAPTER_KEYS}
    asked = {key: value for key, value in values.items() if value not in (None, "none", ())}
    return tuple(key for key, value in asked.items() if value is not False)


RULE = Rule("FT110", "full-with-adapter-keys", Severity.ERROR, find)
