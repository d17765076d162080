"""Data named by a URL.

What it finds
    An entry of `data.train`, or a `data.eval`, that starts with a scheme, such as `https://` or
    `s3://`.

Why it matters
    Data is read from files and from the hub. What a URL gives may change between `check` and
    `run`, and the plan's hash of the data would not hold.

Evidence it needs
    `data.train` and `data.eval`.

Example
    ```yaml
    data: https://example.org/train.jsonl
    ```

What to do
    Download the file and name it. A data set of the hub is named by its id alone: `owner/name`.

References
    CONTRACT: `data.train` is a path, glob, list of them, or hub id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.spec.finding import Finding, Route, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HUB = re.compile(r"(?:huggingface\.co/)?datasets/([^/\s]+/[^/\s?#]+)(?:/(?:tree|viewer)/.*)?/?")


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding a URL."""
    train = spec.data.train or ()
    named: dict[Route, str] = {("data", "train", place): name for place, name in enumerate(train)}
    if len(train) == 1:
        named = {("data", "train"): train[0]}
    if spec.data.eval is not None:
        named["data", "eval"] = spec.data.eval
    for route, name in named.items():
        match = _SCHEME.fullmatch(name.strip())
        if match is not None:
            yield RULE.finding(
                f"`{route[1]}` cannot be a URL: `{name}`",
                route=route,
                found="neither a file nor a hub id",
                help=_help(match[1].lower(), match[2]),
                evidence={"url": name},
            )


def _help(scheme: str, rest: str) -> str:
    if scheme == "file":
        return f"write the path alone: `{rest}`"
    hub = _HUB.fullmatch(rest)
    if hub is not None:
        return f"write the hub id alone: `{hub[1]}`"
    name = re.split(r"[?#]", rest)[0].rstrip("/").rpartition("/")[2]
    return f"download it, and name the file: `{name or 'train.jsonl'}`"


RULE = Rule("FT139", "data-is-a-url", Severity.ERROR, find)
