"""Keys that are read, and that this version does not act on yet.

What it finds
    `tune.allow`, and what stands under `run`.

Why it matters
    A key that is accepted in silence is taken for a promise.

Evidence it needs
    The spec.

Example
    ```yaml
    tune: {allow: [quantize]}
    ```

What to do
    Nothing: the keys stay valid. Explicit values are kept as they are written, and a run that
    stops on a finding stays stopped.

References
    CHANGELOG.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.draft import Draft
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(draft: Draft) -> Iterator[Finding]:
    """Yield one finding a key."""
    routes = [("tune", "allow")] if draft.spec.tune.allow else []
    routes += [("run", key) for key in sorted(draft.spec.run.model_fields_set)]
    for section, key in routes:
        yield RULE.finding(
            f"`{section}.{key}` is not acted on by this version",
            route=(section, key),
            at_key=True,
            found="read, and left at that",
            help="it does no harm; remove it to silence this",
        )


RULE = Rule("FT178", "not-acted-on", Severity.INFO, find)
