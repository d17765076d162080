"""Texts with HTML entities that were never decoded.

What it finds
    Named and numeric entities (&amp; &quot; &#39; &nbsp;) in texts that are not about markup:
    rows with a tag, a code fence, a URL's query or the words HTML, XML or entity are left
    alone.

Why it matters
    They are left over from scraping; the model learns to write them.

Evidence it needs
    One row.

Example
    ```
    "Tom &amp; Jerry said &quot;hello&quot;"
    ```

What to do
    `ftspec data clean` decodes them.

References
    HTML Living Standard, 13.5 (named character references).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

_ENTITY = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|hellip|mdash|ndash|[lr]squo|[lr]dquo|copy|reg|trade|deg|eacute"
    r"|egrave|uuml|ouml|auml|szlig|euro|pound|bull|laquo|raquo|frac12|times|iexcl|iquest|ntilde"
    r"|aacute|iacute|oacute|uacute|agrave|ccedil|#[0-9]{2,6}|#x[0-9a-f]{2,5});",
    re.IGNORECASE,
)
_MARKUP = re.compile(
    r"</?[a-z][a-z0-9]*[\s>/]|<!|```|\bx?html|\bxml\b|entit(?:y|ies)|\bescap", re.I
)


def look(example: Example) -> Hit | None:
    """Return the entities of a row."""
    if b"&" not in example.encoded or b";" not in example.encoded:
        return None
    match = _ENTITY.search(example.text)
    if match is None or _MARKUP.search(example.text):
        return None
    return Hit(f"holds `{match[0]}`", example.text, match.start(), repair(example.text))


def repair(text: str) -> str:
    """Return a text with its entities decoded; one about markup stays."""
    if "&" not in text or _MARKUP.search(text):
        return text
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for entities."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} HTML entities",
        help="`ftspec data clean` decodes them",
    )


RULE = Rule("FT524", "html-entities", Severity.WARNING, find)
