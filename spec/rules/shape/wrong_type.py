"""A value of the wrong type, or a word that is not among those allowed.

What it finds
    Text where a number is wanted, a list where one value is, `no` where `false` is meant, a
    method that does not exist.

Why it matters
    YAML 1.1 tools read `no` as false and `2e-4` as text; guessing either way trains something
    else than what was written.

Evidence it needs
    The value and what the key may hold.

Example
    ```yaml
    train:
      epochs: three
    ```

What to do
    Write a value of the kind that is named at the caret.

References
    YAML 1.2.2, 10.3.2 (core schema).
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator

from ftspec.spec.finding import Finding, Route, Severity
from ftspec.spec.rule import Rule
from ftspec.spec.tree import Node, Scalar, Sequence, plain

_WORDS_OF_YAML_1_1 = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def find(subject: tuple[Route, Node, str]) -> Iterator[Finding]:
    """Yield the finding for the node at a route that should have been what is `expected`."""
    route, node, expected = subject
    key = next((step for step in reversed(route) if isinstance(step, str)), "the spec")
    cannot = "cannot hold" if route and isinstance(route[-1], int) else "cannot be"
    yield RULE.finding(
        f"`{key}` {cannot} {_shown(node)}",
        route=route,
        found=f"expected {expected}",
        help=_help(node, expected),
        evidence={"value": plain(node), "expected": expected},
    )


def _shown(node: Node) -> str:
    if isinstance(node, Sequence):
        return "a list" if node.items else "an empty list"
    if not isinstance(node, Scalar):
        return "a section"
    if node.value is None:
        return "empty"
    if isinstance(node.value, bool):
        return f"`{str(node.value).lower()}`"
    return f'"{node.value}"' if isinstance(node.value, str) else f"`{node.value}`"


def _help(node: Node, expected: str) -> str:
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, str):
        return _help_with_text(value, expected)
    if isinstance(value, float) and "integer" in expected and value.is_integer():
        return f"write `{int(value)}`"
    if isinstance(value, int) and not isinstance(value, bool) and "a size" in expected:
        return f"did you mean `{value}GiB`?"
    if expected == "a section of keys":
        return "write `key: value` lines under it, indented by two spaces"
    return f"write {expected}"


def _help_with_text(value: str, expected: str) -> str:
    word = _WORDS_OF_YAML_1_1.get(value.lower())
    if word and "true" in expected:
        return f"write `{word}`: in YAML 1.2 `{value}` is a word, not a truth value"
    choices = re.findall(r"`([^`]+)`", expected)
    for near in difflib.get_close_matches(value.lower(), choices, n=1, cutoff=0.6):
        return f"did you mean `{near}`?"
    if "number" in expected or "integer" in expected:
        bare = value.strip().replace(",", "").replace("_", "")
        if _is_number(bare):
            return f"write `{bare}`" + (", without quotes" if bare == value else "")
    return f"write {expected}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


RULE = Rule("FT102", "wrong-type", Severity.ERROR, find)
