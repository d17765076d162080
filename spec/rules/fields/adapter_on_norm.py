"""An adapter on a normalization layer.

What it finds
    A name in the list of `target_modules` that is a layer norm, such as `input_layernorm`, `ln_1`
    or `norm`.

Why it matters
    An adapter is a low-rank update of a matrix, and a norm has none. peft refuses it after the
    model has been loaded.

Evidence it needs
    `method.target_modules`, where it is a list of names.

Example
    ```yaml
    method: {type: lora, target_modules: [q_proj, input_layernorm]}
    ```

What to do
    Move the name to `modules_to_save`, which trains the norm itself.

References
    peft 0.21 `tuners/lora/model.py`: "Target module LlamaRMSNorm(…) is not supported. Currently,
    only the following modules are supported: `torch.nn.Linear`, …".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule
from ftspec.spec.rules.fields.target_names import item_route, named_targets

# The names that the architectures of transformers give to their norms.
_NORM = re.compile(r"(.*_)?(rms|layer)?_?norms?(_?[0-9a-z]+)?|ln_[0-9a-z]+", re.IGNORECASE)


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding a norm, at its place in the list."""
    targets, saved = named_targets(spec.method), spec.method.modules_to_save or ()
    norms = [name for name in targets if is_norm(name)]
    rest = [name for name in targets if name not in norms]
    for place, name in enumerate(targets):
        if name not in norms:
            continue
        kept = [*saved, *(norm for norm in dict.fromkeys(norms) if norm not in saved)]
        patch = (
            Edit("method.target_modules", list(targets), rest or "attention"),
            Edit("method.modules_to_save", list(saved) or None, kept),
        )
        yield RULE.finding(
            f"`target_modules` cannot hold the norm `{name}`",
            route=item_route(spec.method, place),
            found="a norm has no matrix for an adapter",
            help=f"take `{name}` out; to train it, write `modules_to_save: [{', '.join(kept)}]`",
            evidence={"target_modules": list(targets)},
            prescriptions=(Prescription(patch, "norms are trained in full, at little cost"),),
        )


def is_norm(name: str) -> bool:
    """Say whether a module's name is that of a normalization layer."""
    return _NORM.fullmatch(name.rpartition(".")[2]) is not None


RULE = Rule("FT142", "adapter-on-norm", Severity.ERROR, find)
