"""The tapes that come with ftspec, and those that a user's machine recorded: written and read.

A file holds the tapes of one structure (`regime.structure`): a zip archive with a member, JSON,
for each regime.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from ftspec.compiler.memory import corrections
from ftspec.compiler.memory.tape import Base, Op, Tape, Trained

SHIPPED = Path(__file__).with_name("tapes")
FORMAT = 1
# What a damaged archive, or a member that is no tape, raises.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError),
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
)


def file_name(structure: str) -> str:
    """Return the name of the file that holds a structure's tapes."""
    return f"{structure.split()[0]}-{sha256(structure.encode()).hexdigest()[:8]}.zip"


def member_name(regime: str) -> str:
    """Return the name of a regime's member of that file."""
    return f"{regime}.json"


def folders() -> Iterator[Path]:
    """Yield where tapes lie: those shipped, then this machine's own."""
    yield SHIPPED
    own = own_folder()
    if own is not None:
        yield own


def own_folder() -> Path | None:
    """Return where this machine's own tapes lie; None where nobody is at home."""
    path = corrections.file_path()
    return None if path is None else path.with_name("tapes")


@lru_cache(maxsize=64)
def find(structure: str, regime: str) -> Tape | None:
    """Return the tape of a structure and a regime, or None. A broken file counts as none."""
    for folder in folders():
        try:
            with zipfile.ZipFile(folder / file_name(structure)) as archive:
                text = archive.read(member_name(regime))
            return from_json(json.loads(text))
        except (OSError, *DAMAGED):
            continue
    return None


def add(folder: Path, structure: str, regime: str, tape: Tape) -> None:
    """Write a tape into a folder's file; one of the same regime is replaced, as is a broken file.

    Raises OSError where it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(structure)
    members = _members(path)
    text = json.dumps(to_json(tape), separators=(",", ":"), ensure_ascii=True)
    members[member_name(regime)] = text.encode()
    # In a folder beside it: another process may write the same file.
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{path.stem}.") as beside:
        partial = Path(beside) / path.name
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(members):
                # The date is the format's first, so that the same tapes give the same bytes.
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), members[name], 8, 9)
        partial.replace(path)


def _members(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (FileNotFoundError, *DAMAGED):
        return {}


def to_json(tape: Tape) -> dict[str, Any]:
    """Return a tape as plain values; segments that are alike are written once."""
    table: dict[tuple[Op, ...], int] = {}
    passes = {
        name: {key: table.setdefault(ops, len(table)) for key, ops in segments.items()}
        for name, segments in tape.passes.items()
    }
    return {
        "format": FORMAT,
        "sizes": [_plain(size) for size in tape.sizes],
        "tags": list(tape.tags),
        "base": [[one.name, one.size, int(one.each_block)] for one in tape.base],
        "trained": [
            [one.name, list(one.shape), one.bytes_each, int(one.embedding), int(one.each_block)]
            for one in tape.trained
        ],
        "segments": [[list(op) for op in ops] for ops in table],
        "passes": passes,
        "gradients": {name: list(places) for name, places in tape.gradients.items()},
        "workspaces": list(tape.workspaces),
    }


def from_json(data: Mapping[str, Any]) -> Tape:
    """Return the tape that `to_json` wrote. Raises ValueError for another format."""
    if data.get("format") != FORMAT:
        raise ValueError("a tape of another format")
    segments = [tuple(tuple(op) for op in ops) for ops in data["segments"]]
    return Tape(
        sizes=tuple(_rich(size) for size in data["sizes"]),
        tags=tuple(data["tags"]),
        base=tuple(Base(name, size, bool(each)) for name, size, each in data["base"]),
        trained=tuple(
            Trained(name, tuple(shape), each, bool(embedding), bool(block))
            for name, shape, each, embedding, block in data["trained"]
        ),
        passes={
            name: {key: segments[place] for key, place in chosen.items()}
            for name, chosen in data["passes"].items()
        },
        gradients={name: tuple(places) for name, places in data["gradients"].items()},
        workspaces=tuple(data["workspaces"]),
    )


def _plain(value: Any) -> Any:
    """Write fractions as text, tuples as lists."""
    if isinstance(value, Fraction):
        return {"/": str(value)}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _rich(value: Any) -> Any:
    if isinstance(value, dict):
        return Fraction(value["/"])
    if isinstance(value, list):
        return tuple(_rich(one) for one in value)
    return value
