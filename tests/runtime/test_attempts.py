"""Attempts that fail, and what the next one has: on projects made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from troubled import out_of_memory, starts, troubled

import ftspec.runtime.attempts
from ftspec.runtime.events import Event
from ftspec.runtime.state import read_ledger
from ftspec.runtime.supervise import Ended, supervise
from ftspec.runtime.watch import Limits


class Seen:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def event(self, event: Event) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def close(self) -> None:
        pass


@pytest.fixture
def seen() -> Seen:
    return Seen()


def records(ended: Ended) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_ledger(ended.run)["attempts"]
    return found


def codes(ended: Ended) -> list[str]:
    return [finding["name"] for record in records(ended) for finding in record["findings"]]


def test_the_guide_s_rungs_in_their_order(tmp_path: Path, seen: Seen) -> None:
    """Activation checkpointing, then micro-batches of 2 and 1; 8 rows a step stay."""
    project = troubled(tmp_path, *[out_of_memory("train", at) for at in (3, 5, 5)])
    ended = supervise(project, seen)
    assert ended.state == "finished"
    assert starts(project) == [
        ["--resume"],
        ["--resume", "--activation-checkpointing"],
        ["--resume", "--activation-checkpointing", "--micro-batch", "2", "--accumulation", "4"],
        ["--resume", "--activation-checkpointing", "--micro-batch", "1", "--accumulation", "8"],
    ]
    found = records(ended)
    assert [record["resumed_from"] for record in found] == [
        None,
        "checkpoint-2",
        "checkpoint-4",
        "checkpoint-4",
    ]
    assert [record["exit"] for record in found] == [76, 76, 76, 0]
    assert [record["phase"] for record in found[:3]] == ["train"] * 3
    assert found[2]["changes"][0] == {
        "path": "train.batch_size",
        "asked": 4,
        "planned": 2,
        "rule": "batch",
        "reason": "a smaller micro-batch; 8 rows a step stay",
    }
    memory = found[0]["memory"]
    assert (memory["predicted_phase_bytes"], memory["measured_bytes"]) == (9 * 2**20, 3 * 2**20)
    assert found[0]["findings"][0]["name"] == "ran-out-of-memory"


def test_evaluation_shrinks_evaluation_alone(tmp_path: Path, seen: Seen) -> None:
    project = troubled(tmp_path, *[out_of_memory("evaluate", at) for at in (3, 5)])
    assert supervise(project, seen).state == "finished"
    assert starts(project)[1:] == [
        ["--resume", "--eval-batch", "4"],
        ["--resume", "--eval-batch", "2"],
    ]


def test_memory_that_is_short_while_loading_needs_leave(tmp_path: Path, seen: Seen) -> None:
    project = troubled(tmp_path, out_of_memory("load", None))
    ended = supervise(project, seen)
    assert (ended.state, ended.exit, len(starts(project))) == ("failed", 76, 1)
    assert codes(ended) == ["ran-out-of-memory", "no-rung-left"]
    finding = records(ended)[0]["findings"][1]
    assert finding["help"] == "allow what would help: `tune.allow: [quantize]`"


def test_attempts_are_bounded(tmp_path: Path, seen: Seen) -> None:
    attempts = [out_of_memory("train", 1)] * 9
    project = troubled(tmp_path, *attempts, run={"max_attempts": 3})
    ended = supervise(project, seen)
    assert (ended.state, len(records(ended))) == ("failed", 3)
    assert seen.notes[-1] == (
        "3 attempts were made, and `run.max_attempts` allows no more; not tried: next rung, batch:"
        " a smaller micro-batch; 8 rows a step stay"
    )
    again = supervise(project, seen)  # goes on with what was in force
    assert starts(project)[3] == starts(project)[2]
    assert (again.state, len(records(again))) == ("failed", 5)  # down to one row a batch


def test_on_oom_stop(tmp_path: Path, seen: Seen) -> None:
    project = troubled(tmp_path, out_of_memory("train", 1), run={"on_oom": "stop"})
    ended = supervise(project, seen)
    assert (ended.state, len(records(ended)), codes(ended)) == ("failed", 1, ["ran-out-of-memory"])


def test_nothing_is_left_below_one_row(tmp_path: Path, seen: Seen) -> None:
    project = troubled(tmp_path, *[out_of_memory("train", 1)] * 9)
    ended = supervise(project, seen)
    assert ended.state == "failed"
    assert len(starts(project)) == 4
    assert codes(ended)[-1] == "no-rung-left"
    assert "[quantize, shorten]" in records(ended)[-1]["findings"][-1]["help"]


def test_full_fine_tuning_does_not_turn_into_adapters_under_way(tmp_path: Path, seen: Seen) -> None:
    text = "model: m\nmethod: full\ndata: d.jsonl\ntune: {allow: [quantize]}\n"
    plan = {"method": {"type": "full", "quantization": "none"}}
    plan |= {"spec": {"name": "s.yaml", "text": text}}
    ended = supervise(troubled(tmp_path, out_of_memory("load", None), plan=plan), seen)
    assert (ended.state, codes(ended)[-1]) == ("failed", "no-rung-left")
    assert "`method: qlora` needs less: another run" in records(ended)[0]["findings"][-1]["help"]


def test_shorter_rows_only_with_leave(tmp_path: Path, seen: Seen) -> None:
    text = "model: m\nmethod: lora\ndata: d.jsonl\ntune: {allow: [shorten]}\n"
    attempts = [out_of_memory("train", 1)] * 4
    project = troubled(tmp_path, *attempts, plan={"spec": {"name": "s.yaml", "text": text}})
    assert supervise(project, seen).state == "finished"
    assert starts(project)[4][-2:] == ["--max-length", "384"]


def test_host_memory_on_a_machine_with_cards_is_no_matter_of_rungs(
    tmp_path: Path, seen: Seen
) -> None:
    project = troubled(tmp_path, out_of_memory("train", 1, where="host"))
    ended = supervise(project, seen)
    assert (ended.state, ended.reason) == ("failed", "out of host memory")
    assert records(ended)[0]["findings"][1]["help"].startswith("free host memory")


def test_the_kernel_s_own_count_tells_a_kill_for_memory(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([4, 5, 5, 5])
    monkeypatch.setattr(ftspec.runtime.attempts, "memory_kills", lambda: next(counts))
    project = troubled(tmp_path, {"fails": 0, "signal": 9, "at": 1})
    ended = supervise(project, seen)
    assert ended.reason == "the kernel ended it: out of host memory"
    cpu = {"hardware": {"device": "cpu"}}
    other = troubled(tmp_path / "cpu", {"fails": 0, "signal": 9, "at": 1}, plan=cpu)
    counts = iter([4, 5, 5, 5])
    assert supervise(other, seen).state == "finished"  # there the rungs free host memory
    assert starts(other)[1] == ["--resume", "--activation-checkpointing"]


def test_a_kill_without_that_count_is_somebody_s(tmp_path: Path, seen: Seen) -> None:
    ended = supervise(troubled(tmp_path, {"fails": 0, "signal": 9, "at": 1}), seen)
    assert (ended.state, ended.reason, ended.exit) == ("failed", "killed by signal 9", -9)
    assert len(records(ended)) == 1


def test_a_lost_card_is_not_tried_again(tmp_path: Path, seen: Seen) -> None:
    says = "RuntimeError: CUDA error: uncorrectable ECC error encountered"
    ended = supervise(troubled(tmp_path, {"fails": 1, "at": 2, "says": says}), seen)
    assert (ended.state, codes(ended), len(records(ended))) == ("failed", ["gpu-lost"], 1)


NAN = {"fails": 77, "at": 5, "event": {"event": "stop", "step": 5, "code": 77}}


def test_not_finite_stops_by_default(tmp_path: Path, seen: Seen) -> None:
    ended = supervise(troubled(tmp_path, NAN), seen)
    assert (ended.state, ended.exit, len(records(ended))) == ("failed", 77, 1)


def test_a_roll_back_goes_on_before_the_fault_with_the_doctor_s_rate(
    tmp_path: Path, seen: Seen
) -> None:
    bad = {"event": "step", "step": 6, "loss": float("nan"), "learning_rate": 1e-3}
    text = "model: m\nmethod: lora\ndata: d.jsonl\ntrain: {learning_rate: 1e-3}\n"
    project = troubled(
        tmp_path,
        {"fails": 77, "at": 9, "event": bad},
        steps=12,
        run={"on_nan": "rollback"},
        plan={"spec": {"name": "s.yaml", "text": text}},
    )
    (project / "ftspec.yaml").write_text(text)
    ended = supervise(project, seen)
    assert ended.state == "finished"
    change = records(ended)[1]["changes"][0]
    assert change["path"] == "train.learning_rate"
    assert change["planned"] < 1e-3
    assert starts(project)[1] == ["--resume", "--learning-rate", str(change["planned"])]
    assert records(ended)[1]["resumed_from"] == "checkpoint-8"


def test_without_a_prescription_a_roll_back_is_tried_once(tmp_path: Path, seen: Seen) -> None:
    project = troubled(tmp_path, NAN, NAN, run={"on_nan": "rollback"})
    ended = supervise(project, seen)
    assert (ended.state, len(records(ended))) == ("failed", 2)


QUICK = Limits(quiet=0.6, pauses=2, loading=1.5, grace=1.0)


def test_a_run_that_hangs_is_ended_and_says_where_it_stood(tmp_path: Path, seen: Seen) -> None:
    project = troubled(tmp_path, {"fails": 1, "at": 3, "hangs": True})
    ended = supervise(project, seen, limits=QUICK)
    assert (ended.state, codes(ended)) == ("failed", ["hangs"])
    assert "no sign of life for" in ended.reason and "in phase train" in ended.reason
    assert "where it stands" in ended.run.output.read_text()


def test_a_run_that_hangs_may_be_tried_again(tmp_path: Path, seen: Seen) -> None:
    hang = {"fails": 1, "at": 3, "hangs": True}
    project = troubled(tmp_path, hang, run={"on_hang": "retry"})
    ended = supervise(project, seen, limits=QUICK)
    assert ended.state == "finished"
    assert records(ended)[1]["resumed_from"] == "checkpoint-2"


def test_a_disk_without_room_for_a_checkpoint_starts_nothing(tmp_path: Path, seen: Seen) -> None:
    memory = {"disk_bytes": 2**60}
    ended = supervise(troubled(tmp_path, plan={"memory": memory}), seen)
    assert (ended.state, ended.exit) == ("failed", 79)
    assert "a checkpoint needs" in ended.reason
    assert not (ended.run.path / "starts").exists()
    assert json.loads((ended.run.path / "run.json").read_text())["attempts"] == []
