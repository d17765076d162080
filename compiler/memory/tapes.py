"""The tapes that come with ftspec, and those that a user's machine recorded: written and read.

A file holds the tapes of one structure (`regime.structure`): a zip archive with a member, JSON,
for each regime, and one that says which versions of the libraries they were recorded with. Those
shipped count if these are the versions that the emitted scripts are tested with.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from ftspec.compiler.memory import corrections
from ftspec.compiler.memory.tape import Asked, Base, Op, Tape, Trained
from ftspec.compiler.tested import TESTED_WITH

SHIPPED = Path(__file__).with_name("tapes")
FORMAT = 2  # also one more when the tracer sees more, so that kept tapes are made anew
RECORDED = ("bitsandbytes", "peft", "torch", "transformers", "trl")  # whose code is on a tape
VERSIONS = "versions.json"
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


def tested() -> dict[str, str]:
    """Return the versions that the emitted scripts are tested with, of what is on a tape."""
    return {name: TESTED_WITH[name] for name in RECORDED}


@lru_cache(maxsize=1)
def installed() -> dict[str, str]:
    """Return the versions of what is installed of these, without a build's own label."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in RECORDED:
        with suppress(PackageNotFoundError):
            found[name] = version(name).partition("+")[0]
    return found


def folders() -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield where tapes lie, and of which versions: those shipped, then this machine's own."""
    yield SHIPPED, tested()
    for versions in (tested(), installed()):
        own = own_folder(versions)
        if own is not None:
            yield own, versions


def own_folder(versions: Mapping[str, str]) -> Path | None:
    """Return where this machine's own tapes of such versions lie; None: nobody is at home."""
    path = corrections.file_path()
    if path is None:
        return None
    return path.with_name("tapes") / sha256(_stamp(versions)).hexdigest()[:8]


@lru_cache(maxsize=64)
def find(structure: str, regime: str) -> Tape | None:
    """Return the tape of a structure and a regime, or None."""
    for folder, versions in folders():
        tape = read(folder, structure, regime, versions)
        if tape is not None:
            return tape
    return None


def read(folder: Path, structure: str, regime: str, versions: Mapping[str, str]) -> Tape | None:
    """Return a folder's tape; None: it has none of these versions, or a broken file."""
    try:
        with zipfile.ZipFile(folder / file_name(structure)) as archive:
            if json.loads(archive.read(VERSIONS)) != versions:
                return None
            return from_json(json.loads(archive.read(member_name(regime))))
    except (OSError, *DAMAGED):
        return None


def outdated() -> bool:
    """Whether tapes are shipped, and none is of the versions that the scripts are tested with."""
    found = [_members(path).get(VERSIONS, b"{}") for path in sorted(SHIPPED.glob("*.zip"))[:1]]
    return bool(found) and found[0] != _stamp(tested())


def add(folder: Path, structure: str, regime: str, tape: Tape, versions: Mapping[str, str]) -> None:
    """Write a tape into a folder's file; one of the same regime is replaced.

    So is a broken file, and one of other versions. Raises OSError where it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(structure)
    members, stamp = _members(path), _stamp(versions)
    if members.get(VERSIONS) != stamp:
        members = {VERSIONS: stamp}
    members[member_name(regime)] = _json(to_json(tape))
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


def _stamp(versions: Mapping[str, str]) -> bytes:
    return _json(dict(sorted(versions.items())))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()


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
        "asked": [[one.name, one.played, one.segment, one.after] for one in tape.asked],
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
        asked=tuple(Asked(*one) for one in data["asked"]),
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
