"""Logs of every format, broken at random: no traceback, no endless loop, sound columns."""

from __future__ import annotations

import gzip
import random

import pytest
from reader_samples import SAMPLES, Sample

from ftspec.doctor.curves.log import Log
from ftspec.doctor.curves.readers import READERS, detect, read
from ftspec.doctor.curves.series import Run

ROUNDS = 60


def sound(run: Run) -> None:
    sizes = {len(column) for column in run.train.columns.values()}
    assert len(sizes) <= 1
    assert len(run.problems) <= 25
    assert sum(part.end - part.start for part in run.segments) == len(run.train)
    assert len(run.judged) <= len(run.train)
    for record in (*run.train, *run.curve, *run.thinned(5)):
        assert record is not None
    assert run.held_out is not None
    assert run.column("reward") is not None


def mutated(data: bytes, source: random.Random) -> bytes:
    """Flip bytes, cut the end off, repeat or drop a part, put a part of something else in."""
    out = bytearray(data)
    for _ in range(source.randint(1, 6)):
        start = source.randrange(len(out) + 1)
        end = min(len(out), start + source.randint(1, 40))
        match source.randrange(6):
            case 0:
                out[start:end] = bytes(source.randrange(256) for _ in range(end - start))
            case 1:
                del out[start:end]
            case 2:
                out[start:start] = out[start:end] * source.randint(1, 5)
            case 3:
                other = source.choice(list(SAMPLES.values())).data
                place = source.randrange(len(other))
                out[start:start] = other[place : place + 60]
            case 4:
                out[start:end] = source.choice(
                    [b"\r", b"\n", b"{", b"[", b'"', b"\0", b"\xff", b","]
                )
            case _:
                out = out[: max(1, start)]
        out = out or bytearray(b"x")
    return bytes(out)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_broken_logs_are_read_as_far_as_they_go(sample: Sample) -> None:
    source = random.Random(sample.format)
    reader = next(reader for reader in READERS if reader.format == sample.format)
    for _ in range(ROUNDS):
        data = mutated(sample.data, source)
        sound(read(Log.of_bytes("x", data)))
        sound(reader.read(Log.of_bytes("x", data)))


@pytest.mark.parametrize("seed", range(20))
def test_broken_packed_logs_are_read_as_far_as_they_go(seed: int) -> None:
    source = random.Random(seed)
    sample = source.choice(list(SAMPLES.values()))
    packed = gzip.compress(sample.data * 20)
    sound(read(Log.of_bytes("x", b"\x1f\x8b" + mutated(packed, source)[2:])))


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.format)
def test_no_reader_minds_a_log_of_another_format(reader) -> None:
    for sample in SAMPLES.values():
        sound(reader.read(Log.of_bytes("x", sample.data)))
    for data in (b"", b"\n", b"\0" * 70_000, b"loss " * 30_000, b"{" * 5_000, b"%|" * 5_000):
        log = Log.of_bytes("x", data)
        assert reader.score(log) >= 0
        sound(reader.read(log))


@pytest.mark.parametrize(
    "piece",
    [
        b"loss loss loss a b c d e f g h ",
        b"'loss': {'loss': ",
        b"step step: step step= ",
        b"a-b-c-d e-f loss/loss ",
        b"\x1b[31m\x1b[0m loss ",
        b"100%|   | 1/2 [ ",
        b"[step=",
    ],
)
def test_long_lines_of_what_looks_like_records_end(piece: bytes) -> None:
    log = Log.of_bytes("x", piece * (200_000 // len(piece)) + b"loss: 1.0\n")
    detect(log)
    for reader in READERS:
        sound(reader.read(log))
