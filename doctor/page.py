"""One self-contained HTML page: sections in, page out. Nothing on it comes from elsewhere.

Whatever a section shows may come from a log, which strangers write: every value is escaped by the
templates, and characters that cannot be seen are replaced. The page's own style and script are
named by their hashes in its Content-Security-Policy; nothing else may run or be loaded.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import ftspec.templates
from ftspec import __version__
from ftspec.spec.render import printable


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page: `anchor` is its id, `body` is HTML, `note` a few words in the contents."""

    anchor: str
    title: str
    body: Markup
    note: str = ""


def page(title: str, sections: Sequence[Section], lead: str = "", also: str = "") -> str:
    """Return a whole page of these sections.

    `also` names a style and a script of `templates/report` that stand beside the page's own.
    """
    names = ["page", also] if also else ["page"]
    style, script = ("\n".join(_text(f"{name}.{kind}") for name in names) for kind in ("css", "js"))
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return rendered(
        "page.html.j2",
        title=title,
        lead=lead,
        sections=sections,
        policy=policy,
        style=Markup(style),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - a file of this package
        version=__version__,
    )


def section(anchor: str, title: str, template: str, note: str = "", **context: Any) -> Section:
    """Return a section whose body is a template's."""
    return Section(anchor, title, Markup(rendered(template, **context)), note)  # noqa: S704


def rendered(template: str, **context: Any) -> str:
    """Return a template of `templates/report` with values in it, escaped."""
    return _environment().get_template(template).render(context)


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_folder()),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _visible(value: Any) -> Any:
    """Replace what cannot be seen in any text that reaches the page, HTML of our own apart."""
    return printable(value) if type(value) is str else value


def _folder() -> Path:
    return Path(next(iter(ftspec.templates.__path__))) / "report"


def _text(name: str) -> str:
    return (_folder() / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Return what a Content-Security-Policy calls an inline style or script by."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
