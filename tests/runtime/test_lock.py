"""One supervisor at a time; who a process is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ftspec.runtime import lock
from ftspec.runtime.lock import NAME, AlreadyRunningError, holder_of, only_one
from ftspec.runtime.process import Process, from_json, process

HOLD = """\
import sys, time
from pathlib import Path
from ftspec.runtime.lock import only_one
with only_one(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_goes_with_its_holder_however_that_ends(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    with pytest.raises(AlreadyRunningError, match=f"process {child.pid} runs") as error:
        with only_one(tmp_path):
            pass
    assert error.value.holder is not None and error.value.holder.pid == child.pid
    child.kill()
    child.communicate()
    assert holder_of(tmp_path) is None, "the file is still there, and its holder is not"
    with only_one(tmp_path):
        assert holder_of(tmp_path) == process()
    assert holder_of(tmp_path) is None


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has no locks."""
    import fcntl

    def refuse(file: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("no_locks")
def test_where_there_are_no_locks_the_file_says_who(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(AlreadyRunningError):
        with only_one(tmp_path):
            pass
    me = process()
    assert me is not None
    reused = Process(me.pid, me.host, "long ago")
    (tmp_path / NAME).write_text(json.dumps(reused.as_json()))
    with only_one(tmp_path):
        pass
    (tmp_path / NAME).write_text(json.dumps(Process(1, "elsewhere", "x").as_json()))
    with pytest.raises(AlreadyRunningError, match="process 1 on elsewhere"):
        with only_one(tmp_path):
            pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "1"}', '{"pid": -1}', "\x00"])
def test_a_file_that_says_nothing_holds_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(content)
    assert lock._stale(content.encode())
    assert holder_of(tmp_path) is None


def test_a_process_is_more_than_its_number() -> None:
    me = process()
    assert me is not None and me.alive and not me.elsewhere
    assert from_json(json.loads(json.dumps(me.as_json()))) == me
    assert not Process(me.pid, me.host, me.since + "1").alive
    assert Process(me.pid, "other", me.since).elsewhere
    assert not Process(me.pid, "other", me.since).alive


def test_an_ended_process_that_nobody_waited_for_does_not_live() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = process(child.pid)
    assert found is not None and found.host == socket.gethostname()
    assert found.alive
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not found.alive
    child.communicate()
    assert process(child.pid) is None
