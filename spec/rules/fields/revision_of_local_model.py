"""A revision of a model that lies on this machine.

What it finds
    `model.revision` where `model.name` is a path: it starts with `.`, `/` or `~`, or ends in
    `.gguf`.

Why it matters
    A folder has no commits to choose from. transformers passes over the revision in silence, and
    the spec reads as if the model were pinned.

Evidence it needs
    `model.name` and `model.revision`.

Example
    ```yaml
    model: {name: ./llama, revision: main}
    ```

What to do
    Delete `revision`, or name the model by its hub id.

References
    transformers 5.23 `utils/hub.py`, `cached_files`: a local folder is read as it is, whatever the
    `revision`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    name, revision = spec.model.name, spec.model.revision
    if revision is None or not (name.startswith((".", "/", "~")) or name.endswith(".gguf")):
        return
    yield RULE.finding(
        f"`revision` has no effect on a model on this machine: `{name}`",
        route=("model", "revision"),
        at_key=True,
        found="a path has no revisions",
        help="delete `revision`, or name the model by its hub id",
        evidence={"name": name, "revision": revision},
    )


RULE = Rule("FT147", "revision-of-local-model", Severity.WARNING, find)
