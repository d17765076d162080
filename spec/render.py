"""Show findings to a person, in the shape of rustc's: title, place, the line, a caret, a hint."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable

from ftspec.spec.finding import Finding, Place, Severity

Paint = Callable[[str, str], str]

COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold cyan"}
HELP_WIDTH = 88  # characters; the lines of a finding fit into 100
MAX_LINE = 120  # a longer line is shown in part, around the caret


def no_paint(text: str, style: str) -> str:
    """Leave the text as it is: the painter of a stream without colours."""
    return text


def render(finding: Finding, text: str | None = None, paint: Paint = no_paint) -> str:
    """Return a finding as lines of text; `text` is the file that its place refers to."""
    head = paint(f"{finding.severity.value}[{finding.code}]", COLOURS[finding.severity])
    lines = [f"{head}: {paint(printable(finding.title), 'bold')}"]
    place = finding.place
    if place is not None:
        lines += _at(finding, place, text, paint)
    elif finding.found:
        lines.append(f"  {paint('=', 'blue')} {printable(finding.found)}")
    gutter = " " * (len(str(place.line)) if place else 1)
    for number, line in enumerate(_wrapped(finding.help)):
        label = paint("help:", "bold green") if number == 0 else "     "
        lines.append(f"{gutter} {paint('=', 'blue')} {label} {printable(line)}")
    return "\n".join(lines)


def _wrapped(help: str) -> list[str]:
    """Break long lines between words; lines of an example that are indented stay whole."""
    lines: list[str] = []
    for line in help.splitlines():
        whole = len(line) <= HELP_WIDTH or line.startswith(" ")
        lines += [line] if whole else textwrap.wrap(line, HELP_WIDTH, break_on_hyphens=False)
    return lines


def _at(finding: Finding, place: Place, text: str | None, paint: Paint) -> list[str]:
    width = len(str(place.line))
    bar = paint("|", "blue")
    lines = [
        f"{' ' * width}{paint('-->', 'blue')} {printable(place.file)}:{place.line}:{place.column}"
    ]
    all_lines = (text or "").split("\n")
    if text is None or place.line > len(all_lines) or not text.strip():
        if finding.found:
            lines.append(f"{' ' * width} {paint('=', 'blue')} {printable(finding.found)}")
        return lines
    line = all_lines[place.line - 1].rstrip("\r")
    end = place.end_column if place.end_line == place.line else len(line) + 1
    shown, start, stop = _window(line, place.column - 1, max(end - 1, place.column))
    marker = " " * _cells(shown[:start]) + "^" * max(1, _cells(shown[start:stop]))
    lines.append(f"{' ' * width} {bar}")
    lines.append(f"{paint(str(place.line), 'blue')} {bar} {printable(shown)}")
    caret = paint(f"{marker} {printable(finding.found)}".rstrip(), COLOURS[finding.severity])
    lines.append(f"{' ' * width} {bar} {caret}")
    return lines


def _window(line: str, start: int, stop: int) -> tuple[str, int, int]:
    if len(line) <= MAX_LINE:
        return line, start, stop
    left = max(0, start - MAX_LINE // 3)
    part = line[left : left + MAX_LINE]
    prefix = "…" if left else ""
    suffix = "…" if left + MAX_LINE < len(line) else ""
    shift = len(prefix) - left
    return prefix + part + suffix, start + shift, min(stop + shift, len(prefix) + len(part))


def printable(text: str) -> str:
    """Return the text with control characters replaced, so that none reaches a terminal."""
    return "".join(" " if ch == "\t" else ch if ch.isprintable() else "\ufffd" for ch in text)


def _cells(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(ch) in "WF" for ch in text)
    marks = sum(unicodedata.combining(ch) != 0 for ch in text)
    return len(text) + wide - marks
