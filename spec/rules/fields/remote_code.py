"""Code from a model's repository that runs on this machine.

What it finds
    `trust_remote_code: true`.

Why it matters
    Loading the model runs Python files that its repository brings, with the rights of whoever
    starts the run. Without a commit in `revision` they may be other files tomorrow.

Evidence it needs
    `model.trust_remote_code`, `model.name` and `model.revision`.

Example
    ```yaml
    model: {name: acme/new-model, trust_remote_code: true}
    ```

What to do
    Read the repository's `*.py` files and write the commit that was read as `revision`. Most
    models need no code of their own: try without.

References
    transformers 5.23 `dynamic_module_utils.py`, `resolve_trust_remote_code`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    model = spec.model
    if not model.trust_remote_code:
        return
    remedy = (
        f"read the `*.py` files of `{model.name}` at `{model.revision}`"
        if model.revision
        else f"read the `*.py` files of `{model.name}`, and add the commit: `revision: …`"
    )
    yield RULE.finding(
        f"`trust_remote_code` runs the code of `{model.name}` on this machine",
        route=("model", "trust_remote_code"),
        found="with the rights of whoever starts the run",
        help=f"{remedy};\nor delete `trust_remote_code`: most models need no code of their own",
        evidence={"model": model.name, "revision": model.revision},
    )


RULE = Rule("FT135", "remote-code", Severity.WARNING, find)
