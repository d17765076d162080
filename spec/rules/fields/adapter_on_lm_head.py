"""An adapter on the output layer.

What it finds
    `lm_head` in the list of `target_modules`.

Why it matters
    trl computes the loss from the output layer's own weight, so an adapter on it would be passed
    by and never trained; trl refuses it.

Evidence it needs
    `method.target_modules`, where it is a list of names.

Example
    ```yaml
    method: {type: lora, target_modules: [q_proj, v_proj, lm_head]}
    ```

What to do
    Take `lm_head` out of the list. To train it, write `modules_to_save: [lm_head]`, which trains
    the whole layer.

References
    trl 1.16 `trainer/sft_trainer.py`: "Applying a PEFT adapter to `lm_head` is not supported".
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule
from ftspec.spec.rules.fields.target_names import item_route, named_targets


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding at the name in the list."""
    targets = named_targets(spec.method)
    rest = [name for name in targets if name.rpartition(".")[2] != "lm_head"]
    for place, name in enumerate(targets):
        if name in rest:
            continue
        patch = Edit("method.target_modules", list(targets), rest or "attention")
        yield RULE.finding(
            f"`target_modules` cannot hold `{name}`",
            route=item_route(spec.method, place),
            found="an adapter here is never trained",
            help=f"take `{name}` out; to train the whole layer, write `modules_to_save: [lm_head]`",
            evidence={"target_modules": list(targets)},
            prescriptions=(
                Prescription((patch,), "trl computes the loss past an adapter on `lm_head`"),
            ),
        )


RULE = Rule("FT129", "adapter-on-lm-head", Severity.ERROR, find)
