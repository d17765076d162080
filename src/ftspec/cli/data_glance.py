"""A glance at the data for `ftspec check`: its first rows, by every rule that costs little.

What was seen of files is kept until one of them changes, so a later check pays a millisecond.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ftspec import __version__
from ftspec.cli.data_inputs import layout_of
from ftspec.cli.output import command
from ftspec.compiler.memory.corrections import file_path
from ftspec.doctor.data.layout import Layout
from ftspec.doctor.data.readers.source import Source, find_sources
from ftspec.doctor.data.record import UnreadableDataError
from ftspec.spec.finding import Finding, Place, Severity
from ftspec.spec.model import Spec
from ftspec.spec.values import parse_share

ROWS = 1_000  # of each file: 0.1 s of all rules but near-duplicates and tokens
WORTH = 1 << 12  # bytes of files from which keeping it is worth a write (looking costs 0.1 s)
KEPT = 100  # sets of files of which is kept what was seen
SHOWN = 20  # rows that a finding names
FILE = "data.json"


def glance(spec: Spec, root: Path, name: str) -> tuple[Finding, ...]:
    """Return what is wrong with the first rows of a spec's data, warnings at worst.

    `name`: the spec's, for the command that looks at all rows. Files that cannot be read give
    nothing: the compiler has told it.
    """
    if spec.data.train is None:
        return ()
    try:
        sources = find_sources(spec.data.train, root)
        beside = spec.data.eval
        named = beside and beside != "none" and parse_share(beside) is None
        held_out = find_sources([str(beside)], root) if named else ()
        layout = layout_of(spec)
        names = ("--spec", name) if name != "-" else tuple(source.name for source in sources)
        hint = f"`{command('data', 'check', *names)}` tells every row"
        key, kept = _key(sources, held_out, layout), _read()
        try:
            return tuple(_finding(document, hint) for document in kept[key])
        except (KeyError, TypeError):  # not kept, or not by this program
            kept[key] = [_kept(finding) for finding in _looked(sources, held_out, layout)]
        if sum(source.path.stat().st_size for source in sources) >= WORTH:
            _write(kept)
        return tuple(_finding(document, hint) for document in kept[key])
    except (UnreadableDataError, OSError):
        return ()


def _key(sources: Sequence[Source], held_out: Sequence[Source], layout: Layout | None) -> str:
    """Return a name for files as they are now, and how they are read."""
    files = [
        (str(source.path.resolve()), status.st_size, status.st_mtime_ns)
        for source in (*sources, *held_out)
        for status in (source.path.stat(),)
    ]
    names = [source.name for source in sources]
    asked = [__version__, ROWS, names, files, len(sources), layout and [*layout]]
    return blake2b(json.dumps(asked, default=dict).encode(), digest_size=16).hexdigest()


def _looked(
    sources: Sequence[Source], held_out: Sequence[Source], layout: Layout | None
) -> list[Finding]:
    from ftspec.doctor.data.check import Wanted, check

    checked = check(sources, Wanted(layout, tuple(held_out), most=ROWS))
    return [
        replace(
            finding,
            title=f"{finding.title} (of the first {ROWS:,})"
            if finding.evidence.get("of_rows", 0) >= ROWS
            else finding.title,
        )
        for finding in checked.findings
        if finding.severity.at_least(Severity.WARNING) and finding.evidence["rows"]
    ]


def _kept(finding: Finding) -> dict[str, Any]:
    document = {**finding.as_json(), "found": finding.found}
    document["evidence"]["rows"] = document["evidence"]["rows"][:SHOWN]
    return document


def _finding(document: dict[str, Any], hint: str) -> Finding:
    """Return a finding as a warning: nothing of it keeps the spec from being built."""
    place = None
    if document["file"] is not None:
        names = ("file", "line", "column", "end_line", "end_column")
        place = Place(*(document[name] for name in names))
    return Finding(
        document["code"],
        document["name"],
        document["title"],
        Severity.WARNING,
        found=document["found"],
        help=f"{document['help']}; {hint}",
        evidence=document["evidence"],
        confidence=document["confidence"],
        place=place,
    )


def _path() -> Path | None:
    beside = file_path()
    return beside.with_name(FILE) if beside is not None else None


def _read() -> dict[str, list[dict[str, Any]]]:
    """Return what is kept; a file that is not there or is damaged keeps nothing."""
    path = _path()
    try:
        kept = json.loads(path.read_bytes()) if path is not None else {}
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _write(kept: dict[str, list[dict[str, Any]]]) -> None:
    """Keep the newest; where nothing can be written, nothing is kept."""
    path = _path()
    if path is None:
        return
    newest = dict(list(kept.items())[-KEPT:])
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(newest), encoding="utf-8")
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
