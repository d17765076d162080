"""Following a file of events while it grows."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ftspec.runtime.events import Follower


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def add(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def steps(follower: Follower) -> list[object]:
    return [event.get("step") for event in follower.new_events()]


def test_a_file_that_appears_late(path: Path) -> None:
    follower = Follower(path)
    assert steps(follower) == []
    add(path, b'{"event": "step", "step": 1}\n')
    assert steps(follower) == [1]
    assert steps(follower) == []


def test_half_a_line_waits_for_its_end(path: Path) -> None:
    follower = Follower(path)
    add(path, b'{"event": "step", "step": 1}\n{"event": "st')
    assert steps(follower) == [1]
    add(path, b'ep", "step": 2')
    assert steps(follower) == []
    add(path, b"}\n")
    assert steps(follower) == [2]


def test_a_character_that_is_split_between_two_reads(path: Path) -> None:
    follower = Follower(path)
    line = '{"event": "stop", "text": "fünf €"}\n'.encode()
    cut = line.index("€".encode()) + 1
    add(path, line[:cut])
    assert list(follower.new_events()) == []
    add(path, line[cut:])
    assert [event["text"] for event in follower.new_events()] == ["fünf €"]


def test_torn_lines_and_other_things_are_passed_over(path: Path) -> None:
    add(
        path,
        b'{"event": "step", "st\n\xff\xfe\n\n[1]\n7\n{"step": 9}\n{"event": "end", "step": 3}\n',
    )
    assert steps(Follower(path)) == [3]


def test_losses_that_are_not_numbers(path: Path) -> None:
    add(path, b'{"event": "step", "loss": NaN}\r\n{"event": "step", "loss": -Infinity}\n')
    losses = [event["loss"] for event in Follower(path).new_events()]
    assert math.isnan(losses[0]) and losses[1] == -math.inf


def test_only_what_comes_after_is_followed(path: Path) -> None:
    add(path, b'{"event": "step", "step": 1}\n{"event": "step", "st')
    follower = Follower(path, from_end=True)
    assert steps(follower) == []
    add(path, b'{"event": "start"}\n{"event": "step", "step": 2}\n')
    assert steps(follower)[-1] == 2
    assert steps(Follower(path.with_name("none"), from_end=True)) == []
