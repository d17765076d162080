"""A preset in a list of module names.

What it finds
    `attention-min`, `attention` or `all-linear` in a `target_modules` list beside other entries.

Why it matters
    A preset stands alone. In a list it is taken for a module's name that no model has, and peft
    trains adapters on the other entries only, in silence.

Evidence it needs
    `method.target_modules`.

Example
    ```yaml
    method: {type: lora, target_modules: [all-linear, embed_tokens]}
    ```

What to do
    Write the preset alone, `target_modules: all-linear`, or the names of all modules.

References
    peft 0.21 `tuners/tuners_utils.py`: only the string "all-linear" is a shorthand; in a list it is
    a name, and names without a match are passed over while another one has a match.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import TARGET_PRESETS, Spec
from ftspec.spec.rule import Rule
from ftspec.spec.rules.fields.target_names import item_route, named_targets


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding a preset, at its place in the list."""
    targets = named_targets(spec.method)
    for place, name in enumerate(targets):
        if name not in TARGET_PRESETS:
            continue
        yield RULE.finding(
            f"the preset `{name}` cannot stand among module names",
            route=item_route(spec.method, place),
            found="would be taken for a module's name",
            help=f"write `target_modules: {name}`, or the names of all modules",
            evidence={"target_modules": list(targets)},
            prescriptions=(
                Prescription(
                    (Edit("method.target_modules", list(targets), name),),
                    "a preset stands alone",
                ),
            ),
        )


RULE = Rule("FT143", "preset-among-names", Severity.ERROR, find)
