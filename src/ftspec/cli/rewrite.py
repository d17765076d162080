"""`--write`: put changes into the spec itself; all else stays byte for byte."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ftspec.cli.failure import Failure
from ftspec.cli.paint import painter
from ftspec.compiler.plan import Change
from ftspec.spec.edit import CannotEditError, apply, diff
from ftspec.spec.finding import Edit


def rewrite(path: Path, changes: Sequence[Change]) -> None:
    """Write changes into a spec, and show them as a diff on standard error."""
    if not changes:
        print(f"{path}: nothing to change", file=sys.stderr)
        return
    edit(path, [Edit(change.path, change.asked, change.planned) for change in changes])


def edit(path: Path, edits: Sequence[Edit]) -> None:
    """Make edits in a spec's file; it is replaced whole, or not at all.

    Raises Failure where its form has no place for them, or where it cannot be written.
    """
    before = path.read_bytes().decode("utf-8")
    try:
        after = apply(before, edits)
    except CannotEditError as error:
        raise Failure(f"`{path}` was not changed: {error}") from None
    paint = painter(sys.stderr)
    for line in diff(before, after, str(path)).splitlines():
        style = {"+": "green", "-": "red"}.get(line[:1])
        print(paint(line, style) if style else line, file=sys.stderr)
    try:
        replace_file(path, after.encode("utf-8"))
    except OSError as error:
        raise Failure(f"`{path}` cannot be written: {error.strerror}") from None


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file's content in one step, keeping its mode; a link's target is replaced."""
    path = path.resolve()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, path.stat().st_mode & 0o7777)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
