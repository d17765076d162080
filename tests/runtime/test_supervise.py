"""The supervisor, on projects made by hand."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

import pytest
from fakes import make_project

from ftspec.runtime.events import Event
from ftspec.runtime.interrupts import Interrupts
from ftspec.runtime.state import newest_run, read_ledger
from ftspec.runtime.supervise import (
    Ended,
    NotAProjectError,
    SeveralMachinesError,
    last_words,
    launcher,
    missing_libraries,
    supervise,
)

CONVERT = """\
import sys
from pathlib import Path
print("converting")
if {fails}:
    print("there is no such file", file=sys.stderr)
    sys.exit(1)
(Path("base")).mkdir()
Path("base/config.json").write_text("{{}}")
"""


class Seen:
    """A view that keeps what it is shown."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.notes: list[str] = []
        self.breaks_at = ""

    def event(self, event: Event) -> None:
        self.events.append(event["event"])
        if event["event"] == self.breaks_at:
            raise RuntimeError("the view broke")

    def note(self, text: str) -> None:
        self.notes.append(text)

    def close(self) -> None:
        pass


@pytest.fixture
def seen() -> Seen:
    return Seen()


def test_events_reach_the_view_in_their_order(tmp_path: Path, seen: Seen) -> None:
    ended = supervise(make_project(tmp_path), seen)
    assert (ended.state, ended.exit, ended.interrupted) == ("finished", 0, False)
    assert seen.events == ["launch", "start", "step", "step", "step", "eval", "end"]
    assert last_words(ended.run) == "arguments: --resume"
    again = supervise(tmp_path, seen)
    assert (again.state, again.nothing_to_do) == ("finished", True)
    assert seen.events.count("launch") == 1


def test_a_child_that_is_killed(tmp_path: Path, seen: Seen) -> None:
    ended = supervise(make_project(tmp_path, end="kill"), seen)
    assert (ended.state, ended.exit) == ("failed", -signal.SIGKILL)
    assert ended.reason == "killed by signal 9"
    assert read_ledger(ended.run)["attempts"][0]["exit"] == -9


def test_a_view_is_told_of_earlier_attempts_before_the_next(tmp_path: Path, seen: Seen) -> None:
    supervise(make_project(tmp_path, end="kill"), seen)
    assert "earlier" not in seen.events
    supervise(make_project(tmp_path), seen)
    at = seen.events.index("earlier")
    assert seen.events[at + 1] == "launch"


def test_each_attempt_has_its_own_last_words(tmp_path: Path, seen: Seen) -> None:
    first = supervise(make_project(tmp_path, end=78), seen)
    assert "these are my last words" in first.words
    make_project(tmp_path, end="raise")
    second = supervise(tmp_path, seen)
    assert second.words.endswith("RuntimeError: the fuse is blown")
    assert "my last words" not in second.words
    assert len(read_ledger(second.run)["attempts"]) == 2


def test_last_words_leave_progress_bars_out(tmp_path: Path, seen: Seen) -> None:
    ended = supervise(make_project(tmp_path), seen)
    ended.run.output.write_bytes(
        b"loading\n  0%|   | 0/9 [00:00<?, ?it/s]\r 10%|#  | 1/9 [00:01<00:08, 1.00it/s]\n"
        b"\xff broken\n 20%|## | 2/9 [00:08<00:32, 4.01s/it]\ndone\n"
    )
    assert last_words(ended.run) == "loading\n\ufffd broken\ndone"
    assert last_words(ended.run, count=1) == "done"
    ended.run.output.unlink()
    assert last_words(ended.run) == ""


def test_a_gguf_base_is_converted_first_and_once(tmp_path: Path, seen: Seen) -> None:
    make_project(tmp_path, gguf="base.gguf", end=77)
    (tmp_path / "convert.py").write_text(CONVERT.format(fails=False))
    ended = supervise(tmp_path, seen)
    assert ended.run.output.read_text().splitlines()[:2] == ["converting", "arguments: --resume"]
    assert seen.notes == ["writing the GGUF file's weights as safetensors, once"]
    supervise(tmp_path, seen)
    assert ended.run.output.read_text().count("converting") == 1
    assert len(seen.notes) == 1


def test_a_conversion_that_fails(tmp_path: Path, seen: Seen) -> None:
    make_project(tmp_path, gguf="base.gguf")
    (tmp_path / "convert.py").write_text(CONVERT.format(fails=True))
    ended = supervise(tmp_path, seen)
    assert (ended.state, ended.exit) == ("failed", 1)
    assert ended.reason == "the GGUF file could not be converted"
    assert "there is no such file" in ended.words
    assert seen.events == []
    ledger = json.loads((ended.run.path / "run.json").read_text())
    assert (ledger["state"], ledger["attempts"]) == ("failed", [])


@pytest.mark.parametrize("plan", ["{}", '{"model": null, "facts": 3}'])
def test_plans_with_little_in_them(plan: str, tmp_path: Path, seen: Seen) -> None:
    make_project(tmp_path)
    (tmp_path / "plan.json").write_text(plan)
    assert supervise(tmp_path, seen).state == "finished"


@pytest.mark.parametrize("plan", [None, "", "[]", "\x00"])
def test_folders_that_are_no_project(plan: str | None, tmp_path: Path, seen: Seen) -> None:
    make_project(tmp_path)
    (tmp_path / "plan.json").unlink()
    if plan is not None:
        (tmp_path / "plan.json").write_text(plan)
    with pytest.raises(NotAProjectError):
        supervise(tmp_path, seen)
    assert newest_run(tmp_path) is None


def test_a_view_that_breaks_does_not_leave_a_child_behind(tmp_path: Path, seen: Seen) -> None:
    make_project(tmp_path, steps=400, pause=0.02)
    seen.breaks_at = "step"
    with pytest.raises(RuntimeError, match="the view broke"):
        supervise(tmp_path, seen)
    assert len(list((tmp_path / "runs/1").glob("checkpoint-*"))) == 1  # asked to stop, it saved


def test_another_thread_may_supervise(tmp_path: Path, seen: Seen) -> None:
    found: list[Ended] = []
    thread = threading.Thread(target=lambda: found.append(supervise(make_project(tmp_path), seen)))
    thread.start()
    thread.join(30)
    assert [ended.state for ended in found] == ["finished"]


def test_requests_to_stop_are_counted_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)  # ignored, as under nohup
            assert interrupts.count == 2
    finally:
        signal.signal(signal.SIGHUP, ignored)
    assert signal.getsignal(signal.SIGINT) is before


def test_missing_libraries_are_looked_for_in_this_python_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "trl" else name)
    assert missing_libraries() == ("trl",)
    assert missing_libraries(f"{sys.executable}-other") == ()


def test_a_plan_for_several_machines_is_not_started_on_one(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    plan = json.loads((project / "plan.json").read_text())
    plan["hardware"] = {**plan.get("hardware", {}), "count": 1, "nodes": 2}
    (project / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(SeveralMachinesError, match="2 machines"):
        supervise(project, Seen())


@pytest.mark.parametrize(
    ("hardware", "starts"),
    [
        ({"count": 1, "split_model": False}, ["python"]),
        ({"count": 2, "split_model": True}, ["python"]),
        (None, ["python"]),
    ],
)
def test_one_process_where_one_is_enough(hardware: object, starts: list[str]) -> None:
    assert launcher({"hardware": hardware}, "python") == starts


def test_one_process_a_card_where_each_trains_a_copy() -> None:
    launch = launcher({"hardware": {"count": 4, "split_model": False}}, "python")
    assert launch[:3] == ["python", "-m", "accelerate.commands.launch"]
    assert launch[-2:] == ["--num_processes", "4"]


def test_a_changed_plan_starts_a_new_run(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert supervise(project, Seen()).run.number == 1
    plan = json.loads((project / "plan.json").read_text())
    plan["train"] = {**plan.get("train", {}), "learning_rate": 0.5}
    (project / "plan.json").write_text(json.dumps(plan))
    seen = Seen()
    ended = supervise(project, seen)
    assert (ended.run.number, ended.nothing_to_do) == (2, False)
    assert any("has changed since run 1" in note for note in seen.notes)


def test_a_plan_that_only_fits_otherwise_goes_on(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    supervise(project, Seen())
    plan = json.loads((project / "plan.json").read_text())
    plan["train"] = {**plan.get("train", {}), "batch_size": 1, "gradient_accumulation": 16}
    (project / "plan.json").write_text(json.dumps(plan))
    assert supervise(project, Seen()).nothing_to_do
