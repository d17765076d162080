"""A module that gets an adapter and is trained in full as well.

What it finds
    A name both in `target_modules` and in `modules_to_save`.

Why it matters
    peft leaves such a module without an adapter and says nothing; if no other module is named, it
    stops.

Evidence it needs
    `method.target_modules`, where it is a list of names, and `method.modules_to_save`.

Example
    ```yaml
    method: {type: lora, target_modules: [q_proj, v_proj], modules_to_save: [v_proj]}
    ```

What to do
    Take the name out of one of the two lists.

References
    peft 0.21 `tuners/tuners_utils.py`: "Adapters should never match on modules to save modules".
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule
from ftspec.spec.rules.fields.target_names import item_route, named_targets


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding a name, at its place in `target_modules`."""
    targets, saved = named_targets(spec.method), spec.method.modules_to_save or ()
    rest = [name for name in targets if name not in saved]
    for place, name in enumerate(targets):
        if name in rest:
            continue
        patch = Edit("method.target_modules", list(targets), rest)
        yield RULE.finding(
            f"`{name}` is both in `target_modules` and in `modules_to_save`",
            route=item_route(spec.method, place),
            found="trained in full, so it gets no adapter",
            help=f"take `{name}` out of one of the two lists",
            evidence={"target_modules": list(targets), "modules_to_save": list(saved)},
            prescriptions=(
                (Prescription((patch,), f"`{name}` is trained in full already"),) if rest else ()
            ),
        )


RULE = Rule("FT130", "module-in-both", Severity.ERROR, find)
