"""A model whose config cannot be used.

What it finds
    A folder without `config.json`, a config that lacks widths or holds absurd ones (each is told,
    with its line), a path where nothing lies, a file that is not GGUF.

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

from ftspec.compiler.facts.config_keys import Fault, ModelUnreadableError, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(error: ModelUnreadableError) -> Iterator[Finding]:
    """Yield a finding a fault; one where the model could not be read at all."""
    for fault in error.faults:
        yield _fault(fault, error.shown)
    if not error.faults:
        yield RULE.finding(
            str(error),
            route=("model", "name"),
            found="cannot be used",
            help="name a hub id, a folder with a config.json, or a GGUF file; "
            "paths are relative to the spec",
        )


def _fault(fault: Fault, shown: str) -> Finding:
    return RULE.finding(
        told((fault,), shown),
        route=("model", "name"),
        found=f"expected {fault.expected}" if fault.expected else "cannot be used",
        help=f"put the model's own `{shown.rpartition('/')[2]}` there, as it was published",
        evidence={"file": shown, "keys": list(fault.route), "expected": fault.expected},
        place=fault.place,
    )


RULE = Rule("FT160", "model-unreadable", Severity.ERROR, find)
