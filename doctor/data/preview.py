"""Rows as the model will see them: rendered by the chat template, what is learnt set apart."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.mask import masked
from ftspec.doctor.data.tokens import Counting, Rendered, Tokens
from ftspec.spec.render import Paint

MOST = 4000  # characters of a row that are shown


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a row's text: tokens that are learnt, masked, or cut at the longest row."""

    kind: str
    tokens: tuple[str, ...]

    @property
    def text(self) -> str:
        """The stretch as text."""
        return "".join(self.tokens)


@dataclass(frozen=True, slots=True)
class Preview:
    """A row: its number, its parts in order, and how many tokens it has of each kind."""

    row: int
    line: int | None
    parts: tuple[Part, ...]
    tokens: int
    learnt: int
    cut: int


def previews(examples: Iterator[Example], counting: Counting, count: int) -> Iterator[Preview]:
    """Yield the first rows that can be used, as the model will see them."""
    tokens = Tokens(counting)
    for example in examples:
        rendered = tokens.rendered(example) if example.usable else None
        if rendered is None:
            continue
        yield _preview(example, rendered, counting.max_length)
        count -= 1
        if count <= 0:
            return


def _preview(example: Example, rendered: Rendered, limit: int | None) -> Preview:
    parts: list[tuple[str, list[str]]] = []
    at = 0
    for number, (_, end) in enumerate(rendered.offsets):
        # What no token covers, mostly spaces that a tokenizer leaves out, goes with the next one;
        # of tokens that share a character the first one shows it.
        text = rendered.text[at:end]
        at = max(at, end)
        learnt = rendered.learnt[number]
        kind = "cut" if limit and number >= limit else "learnt" if learnt else "masked"
        if not parts or parts[-1][0] != kind:
            parts.append((kind, []))
        parts[-1][1].append(text)
    cut = max(0, len(rendered.learnt) - limit) if limit else 0
    return Preview(
        example.record.number,
        example.record.line,
        tuple(Part(kind, tuple(texts)) for kind, texts in parts),
        len(rendered.learnt),
        sum(rendered.learnt[: limit or None]),
        cut,
    )


STYLES = {"learnt": "bold green", "masked": "dim", "cut": "red"}
MARKS = {"learnt": ("[+", "+]"), "masked": ("", ""), "cut": ("[-", "-]")}


def as_text(shown: Sequence[Preview], name: str, paint: Paint, coloured: bool) -> str:
    """Return previews for a terminal; without colours what is learnt stands in `[+ … +]`."""
    lines = []
    for one in shown:
        said = f"{one.tokens:,} tokens, {one.learnt:,} learnt"
        said += f", {one.cut:,} cut" if one.cut else ""
        lines.append(f"{paint(f'{name} row {one.row:,}', 'bold')}  {said}")
        left = MOST
        for part in one.parts:
            text = _printable(masked(part.text))[:left]
            left -= len(text)
            before, after = ("", "") if coloured else MARKS[part.kind]
            lines.append(f"{before}{_painted(text, STYLES[part.kind], paint)}{after}")
            if left <= 0:
                lines.append("…")
                break
        lines.append("")
    return "\n".join(lines)


def _painted(text: str, style: str, paint: Paint) -> str:
    return "\n".join(paint(line, style) if line else line for line in text.split("\n"))


def _printable(text: str) -> str:
    return "".join(ch if ch.isprintable() or ch in "\n\t" else "\ufffd" for ch in text)


_PAGE = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{name}</title>
<style>
body {{ font: 14px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f6f6; padding: 1rem }}
.learnt {{ background: #cdeccd }} .masked {{ color: #666 }}
.cut {{ background: #f6d0d0; text-decoration: line-through }}
.token:nth-child(even) {{ filter: brightness(0.94) }}
</style>
<h1>{name}</h1>
<p><span class="learnt">learnt</span> · <span class="masked">masked</span> ·
<span class="cut">cut</span>; each shade is a token</p>
{rows}
</html>
"""


def as_html(shown: Sequence[Preview], name: str) -> str:
    """Return previews as one page that loads nothing; private data is masked."""
    rows = "\n".join(_section(one) for one in shown)
    return _PAGE.format(name=html.escape(name), rows=rows)


def _section(one: Preview) -> str:
    parts = []
    for part in one.parts:
        whole = masked(part.text)
        texts = part.tokens if whole == part.text else (whole,)
        tokens = "".join(f'<span class="token">{html.escape(_printable(t))}</span>' for t in texts)
        parts.append(f'<span class="{part.kind}">{tokens}</span>')
    said = f"{one.tokens:,} tokens, {one.learnt:,} learnt, {one.cut:,} cut"
    return f"<h2>row {one.row:,}</h2><p>{said}</p><pre>{''.join(parts)}</pre>"
