"""A required key that is not there.

What it finds
    A spec without `model`, without `method`, or without data to train on.

Why it matters
    These three cannot be decided for you; every other key can.

Evidence it needs
    The keys of the spec.

Example
    ```yaml
    model: gpt2
    data: train.jsonl
    ```

What to do
    Add the key. The data may also be named on the command line: `--data FILE`.

References
    CONTRACT: keys of a spec.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Route, Severity
from ftspec.spec.rule import Rule

_HELP: dict[Route, str] = {
    ("model",): "add `model:` with a hub id, a local folder or a GGUF file",
    ("model", "name"): "add `name:` with a hub id, a local folder or a GGUF file",
    ("method",): "add `method:` with `full`, `lora`, `qlora`, `prefix` or `prompt`",
    ("method", "type"): "add `type:` with `full`, `lora`, `qlora`, `prefix` or `prompt`",
    ("data", "train"): "add `data:` with a file or a hub id, or give `--data FILE`",
}


def find(route: Route) -> Iterator[Finding]:
    """Yield the finding for the key that is missing at `route`."""
    path = ".".join(str(step) for step in route)
    yield RULE.finding(
        f"`{path}` is missing",
        route=route,
        found=f"no `{route[-1]}` here",
        help=_HELP.get(route, f"add `{route[-1]}:`"),
        evidence={"key": path},
    )


RULE = Rule("FT104", "missing-key", Severity.ERROR, find)
