"""Keys of the short, flat form beside sections of the full form.

What it finds
    `learning_rate` or another key of the flat quick reference at the left margin, while
    `method`, `train` or `tune` is there too; or one thing said in both ways.

Why it matters
    Two places for one value: whichever won, somebody would look at the other.

Evidence it needs
    The keys of the spec.

Example
    ```yaml
    model: gpt2
    method: lora
    learning_rate: 2e-4
    ```

What to do
    Move the key into the section that the help line names, or write the whole spec flat.

References
    CONTRACT: the guide's flat form.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[str, tuple[str, str], str]) -> Iterator[Finding]:
    """Yield the finding for a flat key that stands beside a section of the full form."""
    key, (section, inner), beside = subject
    if key == "use_4bit":
        written = "write `method: qlora` for a 4-bit base, `method: lora` for a 16-bit one"
    else:
        written = f"write `{inner}:` under `{section}:`"
    yield RULE.finding(
        f"`{key}` is a key of the flat form, and `{beside}:` one of the full form",
        route=(key,),
        at_key=True,
        found="two forms in one spec",
        help=written,
        evidence={"key": key, "full_form": f"{section}.{inner}", "beside": beside},
    )


RULE = Rule("FT105", "mixed-forms", Severity.ERROR, find)
