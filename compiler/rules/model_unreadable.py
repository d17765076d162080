"""A model whose config cannot be used.

What it finds
    A folder without `config.json`, a config that lacks a width or holds an absurd one, a path
    where nothing lies, a file that is not GGUF.

Why it matters
    Neither memory nor scripts can be made from a model that cannot be read.

Evidence it needs
    The folder or file that `model` names.

Example
    ```yaml
    model: ./llama   # a folder that holds no config.json
    ```

What to do
    Name a hub id, a folder with a `config.json`, or a GGUF file. A path is relative to the
    spec's folder.

References
    The keys of a config.json: transformers, `configuration_*.py` of the architecture.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(message: str) -> Iterator[Finding]:
    """Yield the finding."""
    yield RULE.finding(
        message,
        route=("model", "name"),
        found="cannot be used",
        help="name a hub id, a folder with a config.json, or a GGUF file; "
        "paths are relative to the spec",
    )


RULE = Rule("FT160", "model-unreadable", Severity.ERROR, find)
