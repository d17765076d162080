"""Tapes are written and read: the same bytes for the same tapes, and broken files count as none."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_tapes import make_tape, product

from ftspec.compiler.facts import catalogue
from ftspec.compiler.facts.config import shape_of
from ftspec.compiler.memory import tapes
from ftspec.compiler.memory.peaks import peaks
from ftspec.compiler.memory.regime import regime, structure
from ftspec.compiler.memory.tape import ROLES, Asked, Tape
from ftspec.compiler.memory.trace.library import models, works

LLAMA = "llama grouped"
TESTED = tapes.tested()
OTHER = {**TESTED, "torch": "2.99.0"}
INSTALLED = tapes.installed
SHIPPED = Path(tapes.__file__).with_name("tapes")


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with two empty folders of tapes; nothing is remembered of others."""
    monkeypatch.setattr(tapes, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("FTSPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tapes, "installed", lambda: OTHER)
    tapes.find.cache_clear()
    yield tmp_path
    tapes.find.cache_clear()


def with_everything() -> Tape:
    """A tape with all that JSON has to carry: fractions, calls, nested tuples."""
    call = ("aten::mm", (("tensor", product(1, B=1)[1:], 2, "float32", True),), (), ())
    return make_tape(sizes=(product(2, B=1), ("call", call, 0), *make_tape().sizes[2:]))


def test_a_tape_is_read_as_it_was_written(fresh: Path) -> None:
    for tape in (make_tape(), with_everything()):
        text = json.dumps(tapes.to_json(tape))
        assert tapes.from_json(json.loads(text)) == tape


def test_segments_that_are_alike_are_written_once() -> None:
    written = tapes.to_json(make_tape())
    assert len(written["segments"]) < len(written["passes"]["first"])
    assert written["passes"]["first"] == written["passes"]["more"]


def test_a_file_is_the_same_bytes_in_any_order(fresh: Path) -> None:
    one, other = make_tape(), make_tape(asked=())
    tapes.add(fresh / "a", LLAMA, "full", one, TESTED)
    tapes.add(fresh / "a", LLAMA, "lora", other, TESTED)
    tapes.add(fresh / "b", LLAMA, "lora", make_tape(), TESTED)
    tapes.add(fresh / "b", LLAMA, "full", one, TESTED)
    tapes.add(fresh / "b", LLAMA, "lora", other, TESTED)  # replaces
    name = tapes.file_name(LLAMA)
    assert (fresh / "a" / name).read_bytes() == (fresh / "b" / name).read_bytes()
    assert os.listdir(fresh / "a") == [name]


def test_a_structure_has_a_file_and_a_regime_a_member(fresh: Path) -> None:
    assert tapes.file_name(LLAMA).startswith("llama-")
    assert tapes.file_name(LLAMA) != tapes.file_name("llama tied grouped")
    tapes.add(fresh / "shipped", LLAMA, "full, flash", make_tape(), TESTED)
    with zipfile.ZipFile(fresh / "shipped" / tapes.file_name(LLAMA)) as archive:
        assert archive.namelist() == ["full, flash.json", "versions.json"]
        assert json.loads(archive.read("versions.json")) == TESTED


def test_a_tape_is_found_in_what_is_shipped_then_in_the_user_s_folder(fresh: Path) -> None:
    assert tapes.find(LLAMA, "full") is None
    tapes.find.cache_clear()
    own = tapes.own_folder(TESTED)
    assert own is not None
    tapes.add(own, LLAMA, "full", named("user's"), TESTED)
    tapes.add(own, LLAMA, "lora", named("user's"), TESTED)
    tapes.add(fresh / "shipped", LLAMA, "full", named("shipped"), TESTED)
    assert tapes.find(LLAMA, "full") == named("shipped")
    assert tapes.find(LLAMA, "lora") == named("user's")
    assert tapes.find(LLAMA, "prompt") is None
    assert tapes.find("gpt2 tied", "full") is None


def named(name: str) -> Tape:
    """A tape that can be told from others."""
    return make_tape(asked=(Asked(name, "first", "turn", 0),))


def test_tapes_of_other_versions_than_the_scripts_do_not_count(fresh: Path) -> None:
    assert not tapes.outdated()  # there is none
    tapes.add(fresh / "shipped", LLAMA, "full", make_tape(), OTHER)
    assert tapes.find(LLAMA, "full") is None
    assert tapes.outdated()
    tapes.find.cache_clear()
    tapes.add(fresh / "shipped", LLAMA, "full", make_tape(), TESTED)
    assert tapes.find(LLAMA, "full") == make_tape()
    assert not tapes.outdated()


def test_a_file_of_other_versions_is_begun_anew(fresh: Path) -> None:
    tapes.add(fresh, LLAMA, "full", make_tape(), OTHER)
    tapes.add(fresh, LLAMA, "lora", make_tape(), TESTED)
    assert tapes.read(fresh, LLAMA, "full", TESTED) is None
    assert tapes.read(fresh, LLAMA, "lora", OTHER) is None
    assert tapes.read(fresh, LLAMA, "lora", TESTED) == make_tape()


def test_a_user_s_tapes_are_of_what_is_installed(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, gone = tapes.own_folder(OTHER), {**OTHER, "trl": "0.1.0"}
    assert own is not None
    tapes.add(own, LLAMA, "full", make_tape(), OTHER)
    assert tapes.find(LLAMA, "full") == make_tape()
    tapes.find.cache_clear()
    monkeypatch.setattr(tapes, "installed", lambda: gone)  # another trl has come
    assert tapes.find(LLAMA, "full") is None


def test_versions_are_told_without_a_build_s_label(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "trl":
            raise metadata.PackageNotFoundError
        return "2.13.0+cu128"

    monkeypatch.setattr(metadata, "version", version)
    INSTALLED.cache_clear()
    assert INSTALLED() == dict.fromkeys(("bitsandbytes", "peft", "torch", "transformers"), "2.13.0")
    INSTALLED.cache_clear()


def test_where_the_user_s_tapes_lie(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped, *own = tapes.folders()
    assert shipped == (fresh / "shipped", TESTED)
    assert [versions for _, versions in own] == [TESTED, OTHER]
    assert {path.parent for path, _ in own} == {fresh / "cache" / "tapes"}
    assert len({path for path, _ in own}) == 2
    monkeypatch.delenv("FTSPEC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert parent() == Path("/var/cache/me/ftspec/tapes")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/me")
    assert parent() == Path("/home/me/.cache/ftspec/tapes")
    assert tapes.own_folder(TESTED) == tapes.own_folder(dict(reversed(TESTED.items())))


def parent() -> Path:
    own = tapes.own_folder(TESTED)
    assert own is not None
    return own.parent


def test_nobody_at_home(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapes.corrections, "file_path", lambda: None)
    assert list(tapes.folders()) == [(fresh / "shipped", TESTED)]
    assert tapes.find(LLAMA, "full") is None


MEMBERS = {
    "no JSON": b"{",
    "a list": b"[]",
    "another format": b'{"format": 0}',
    "an older one": b'{"format": 1, "segments": [], "sizes": []}',
    "half of it": b'{"format": 2, "sizes": []}',
    "wrong inside": b'{"format": 2, "segments": [3], "sizes": []}',
    "a fraction by zero": b'{"format": 2, "segments": [], "sizes": [{"/": "1/0"}]}',
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("content", MEMBERS.values(), ids=MEMBERS.keys())
def test_a_member_that_is_no_tape_counts_as_none(content: bytes, fresh: Path) -> None:
    path = fresh / "shipped" / tapes.file_name(LLAMA)
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("versions.json", json.dumps(TESTED))
        archive.writestr("full.json", content)
    assert tapes.find(LLAMA, "full") is None


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_archive_counts_as_none_and_is_replaced(
    content: bytes, fresh: Path
) -> None:
    own = tapes.own_folder(TESTED)
    assert own is not None
    path = own / tapes.file_name(LLAMA)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert tapes.find(LLAMA, "full") is None
    tapes.find.cache_clear()
    tapes.add(path.parent, LLAMA, "full", make_tape(), TESTED)
    assert tapes.find(LLAMA, "full") == make_tape()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_archive_is_a_tape_or_none(data: st.DataObject, fresh: Path) -> None:
    path = fresh / "shipped" / tapes.file_name(LLAMA)
    tapes.add(path.parent, LLAMA, "full", make_tape(), TESTED)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.integers(at, len(content)))])
    tapes.find.cache_clear()
    assert tapes.find(LLAMA, "full") in (None, make_tape())


# --- what is shipped ------------------------------------------------------------------------------


ARCHIVES = sorted(SHIPPED.glob("*.zip"))
LIBRARY = {tapes.file_name(key): (key, name, config) for key, name, config in models()}


def members(path: Path) -> Iterator[tuple[str, Tape]]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read(tapes.VERSIONS)) == TESTED, "record the tapes anew"
        for name in archive.namelist():
            if name == tapes.VERSIONS:
                continue
            yield name.removesuffix(".json"), tapes.from_json(json.loads(archive.read(name)))


@pytest.mark.skipif(not ARCHIVES, reason="no tapes are here: see trace/library.py")
@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
def test_shipped_tapes_are_of_regimes_and_whole(path: Path) -> None:
    assert path.name in LIBRARY, "no model of the catalogue has this structure"
    key, name, config = LIBRARY[path.name]
    regimes = {regime(config, work, card) for work, card in works(config, name)}
    for member, tape in members(path):
        assert member in regimes, f"{key}: {member}"
        assert {"first", "more", "evaluate"} == set(tape.passes), member
        assert tape.base, member
        assert tape.trained, member
        for segments in tape.passes.values():
            inner = {segment for segment in segments if "." in segment}
            assert inner >= {f"F.{role}" for role in ROLES}, member
        places = [op for one in tape.passes.values() for ops in one.values() for op in ops]
        assert max(op[0] for op in places if len(op) == 2) < len(tape.sizes), member
        assert max(op[1] for op in places if len(op) == 2) < len(tape.tags), member


@pytest.mark.skipif(not ARCHIVES, reason="no tapes are here: see trace/library.py")
@pytest.mark.parametrize("path", ARCHIVES[:6], ids=lambda path: path.stem)
def test_a_shipped_tape_holds_more_than_the_model(path: Path) -> None:
    """Its regimes at the size of the structure's smallest model: weights, then all else."""
    key, name, config = LIBRARY[path.name]
    shape, parameters = shape_of(config, name), catalogue.known_parameters(name)
    assert parameters is not None
    assert structure(config, shape) == key
    by_regime = {regime(config, work, card): (work, card) for work, card in works(config, name)}
    for member, tape in list(members(path))[::9]:
        work, card = by_regime[member]
        each = 4 if work.dtype == "float32" else 2
        weights = each * parameters // (4 if work.quantization == "nf4" else 1)
        seen = peaks(tape, work, card)
        assert weights < seen.allocated <= seen.reserved, member
        assert seen.allocated < 40 * weights + 2**32, member
        assert sum(seen.parts.values()) == seen.allocated, member
