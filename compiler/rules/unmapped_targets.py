"""A target preset for an architecture whose names are not known.

What it finds
    `target_modules: attention` or `attention-min`, also by default, for an architecture that
    ftspec has no names for.

Why it matters
    Guessing names would adapt the wrong layers, or none.

Evidence it needs
    The model's architecture.

Example
    A model with custom code, and `method: lora`.

What to do
    List the module names, or write `target_modules: all-linear`.

References
    peft 0.21 `utils/constants.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[str, str]) -> Iterator[Finding]:
    """Yield the finding."""
    preset, architecture = subject
    yield RULE.finding(
        f"`{preset}` has no meaning yet for the architecture {architecture}",
        route=("method", "target_modules"),
        found="names not known",
        help="write `target_modules: all-linear`, or list the modules' names",
        evidence={"preset": preset, "architecture": architecture},
        prescriptions=(
            Prescription(
                (Edit("method.target_modules", None, "all-linear"),), "peft finds them itself"
            ),
        ),
    )


RULE = Rule("FT169", "unmapped-targets", Severity.ERROR, find)
