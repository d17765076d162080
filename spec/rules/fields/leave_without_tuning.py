"""Leave for a change that nobody will make.

What it finds
    `quantize`, `shorten`, `optimizer` or `offload` in `tune.allow` where `tune.memory` is `off`;
    `regularize` where `tune.overfitting` is `off`.

Why it matters
    The leave reads as if the run would be made to fit, or kept from overfitting. With that tuning
    off nothing is changed.

Evidence it needs
    `tune.allow`, `tune.memory` and `tune.overfitting`.

Example
    ```yaml
    tune: {memory: off, allow: [quantize]}
    ```

What to do
    Write `memory: auto` (or `overfitting: auto`), or take the word out of `allow`.

References
    CONTRACT: who may change what.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Leave, Spec
from ftspec.spec.rule import Rule

USED_BY: Mapping[Leave, str] = {
    "quantize": "memory",
    "shorten": "memory",
    "optimizer": "memory",
    "offload": "memory",
    "regularize": "overfitting",
}


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding a word that nothing will use."""
    for place, word in enumerate(spec.tune.allow):
        tuning = USED_BY[word]
        if getattr(spec.tune, tuning) == "off":
            yield RULE.finding(
                f"the leave to `{word}` is never used: `{tuning}` is `off`",
                route=("tune", "allow", place),
                found="nothing will ask for it",
                help=f"write `{tuning}: auto`, or take `{word}` out",
                evidence={"leave": word, "tuning": tuning},
                prescriptions=(
                    Prescription(
                        (Edit(f"tune.{tuning}", "off", "auto"),),
                        f"`{word}` is used by the tuning of {tuning}",
                    ),
                ),
            )


RULE = Rule("FT137", "leave-without-tuning", Severity.WARNING, find)
