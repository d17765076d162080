"""The child that measures: which rows it takes, what it records, whom it asks."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftspec.runtime import measured_steps
from ftspec.runtime.measured_steps import STEPS, Driver, Record, chosen_rows, script_environment

GIB = 2**30


# Rows


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    micro_batch=st.integers(1, 8),
    micro_batches=st.integers(1, 6),
)
def test_the_last_step_is_the_worst_batch_that_the_rows_can_form(
    lengths: list[int], micro_batch: int, micro_batches: int
) -> None:
    rows = chosen_rows(lengths, micro_batch, micro_batches)
    a_step = micro_batch * micro_batches
    assert len(rows) == STEPS * a_step
    last = rows[-a_step:]
    often = -(-micro_batch // len(lengths))  # few rows come again
    longest = sorted(list(range(len(lengths))) * often, key=lambda row: -lengths[row])
    for start in range(0, a_step, micro_batch):
        batch = last[start : start + micro_batch]
        assert max(Counter(batch).values()) <= often
        if often == 1:
            worst = [lengths[row] for row in longest[:micro_batch]]
            assert sorted((lengths[row] for row in batch), reverse=True) == worst
        assert max(lengths[row] for row in batch) == max(lengths)


def test_the_other_steps_see_rows_of_all_lengths() -> None:
    lengths = [(7 * n) % 1000 for n in range(1000)]
    rows = chosen_rows(lengths, 4, 5)
    first, second, last = rows[:20], rows[20:40], rows[40:]
    assert first == second  # so that the second, which is timed, meets no new shape
    mean = sum(lengths[row] for row in first) / 20
    assert abs(mean - sum(lengths) / 1000) < 5
    assert sorted(lengths[row] for row in first)[0] < 50
    assert min(lengths[row] for row in last) >= 996


def test_the_same_data_gives_the_same_rows() -> None:
    lengths = [3, 1, 2, 9, 4]
    assert chosen_rows(lengths, 2, 2) == chosen_rows(lengths, 2, 2)


def test_few_rows_come_again() -> None:
    assert Counter(chosen_rows([5], 2, 2)) == {0: 12}


# What a script sets


def test_the_scripts_environment_is_read_before_it_runs() -> None:
    script = (
        'import os\nos.environ.setdefault("A", "1")  # why\nos.environ.setdefault("B", "x y")\n'
        'print("no")\nother.setdefault("C", "3")\ndef f():\n    os.environ.setdefault("D", "4")\n'
    )
    assert script_environment(script) == {"A": "1", "B": "x y"}


def test_what_an_emitted_script_sets_for_a_card_is_found() -> None:
    golden = Path(__file__).parents[1] / "golden"
    found = [script_environment(path.read_text()) for path in golden.rglob("train.py")]
    assert {"PYTORCH_ALLOC_CONF": "expandable_segments:True", "CUDA_VISIBLE_DEVICES": "0"} in found


# Memory


class FakeCuda:
    """The calls that are made of torch.cuda; `peaks`: a card's [allocated, reserved] now."""

    def __init__(self, cards: int = 1) -> None:
        self.now = [[0, 0] for _ in range(cards)]
        self.peaks = [[0, 0] for _ in range(cards)]
        self.used = True

    def hold(self, card: int, allocated: int, reserved: int) -> None:
        self.now[card] = [allocated, reserved]
        pairs = zip(self.peaks[card], self.now[card], strict=True)
        self.peaks[card] = [max(pair) for pair in pairs]

    def is_initialized(self) -> bool:
        return self.used

    def device_count(self) -> int:
        return len(self.now)

    def max_memory_allocated(self, card: int) -> int:
        return self.peaks[card][0]

    def max_memory_reserved(self, card: int) -> int:
        return self.peaks[card][1]

    def reset_peak_memory_stats(self, card: int) -> None:
        self.peaks[card] = list(self.now[card])

    def memory_reserved(self) -> int:
        return self.now[0][1]

    def synchronize(self) -> None:
        pass

    def memory_stats(self) -> dict[str, int]:
        return {"num_alloc_retries": 2}


class Silent(Driver):
    """A driver that tells nothing."""

    def __init__(self) -> None:
        self.nvml = None
        self.free_before = None


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda(2)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=fake))
    return fake


def test_peaks_belong_to_the_phase_that_they_fell_in(tmp_path: Path, cuda: FakeCuda) -> None:
    record = Record(tmp_path, 0, Silent())
    cuda.hold(0, 5, 6)
    cuda.hold(0, 3, 6)
    record.tokens = [100, 200]
    for number in range(2):
        record.enter("forward")
        cuda.hold(0, 7 + number, 8)
        record.enter("backward")
        cuda.hold(0, 20, 24)
        cuda.hold(1, 22, 23)  # the fuller card counts, for each figure
        cuda.hold(0, 4, 24)
        cuda.hold(1, 2, 23)
        record.enter("optimizer")
        record.end_step()
    record.write(0)
    found = json.loads((tmp_path / "measured.0.json").read_text())
    assert found["phases"] == {
        "load": [5, 6],
        "forward": [8, 24],
        "backward": [22, 24],
        "optimizer": [4, 24],
    }
    assert [step["tokens"] for step in found["steps"]] == [100, 200]
    assert [step["reserved"] for step in found["steps"]] == [24, 24]
    assert (found["context"], found["retries"], found["exit"]) == (None, 2, 0)


def test_a_card_that_is_not_used_has_no_figures(tmp_path: Path, cuda: FakeCuda) -> None:
    cuda.used = False
    record = Record(tmp_path, 0, Silent())
    record.enter("forward")
    record.write(76)
    found = json.loads((tmp_path / "measured.0.json").read_text())
    assert (found["phases"], found["exit"]) == ({}, 76)
    assert "context" not in found


def test_one_rank_alone_tells_of_progress(tmp_path: Path) -> None:
    Record(tmp_path, 1, Silent()).say("load")
    assert not (tmp_path / "progress.jsonl").exists()
    Record(tmp_path, 0, Silent()).say("step", number=1)
    assert json.loads((tmp_path / "progress.jsonl").read_text()) == {"event": "step", "number": 1}


def test_without_a_card_it_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cuda = SimpleNamespace(is_available=lambda: False, is_initialized=lambda: False)
    torch = SimpleNamespace(cuda=cuda, __version__="2.13.0+cpu")
    monkeypatch.setitem(sys.modules, "torch", torch)
    record = Record(tmp_path, 0, Silent())
    code = measured_steps.run(record, lambda: measured_steps.hook(record, True))
    assert code == measured_steps.UNUSABLE
    assert "torch 2.13.0+cpu of " in capsys.readouterr().err


# The driver


class FakeNvml(ModuleType):
    """NVML with one card of 24 GiB."""

    def __init__(self, free: int = 20 * GIB, own: int | None = None) -> None:
        super().__init__("pynvml")
        self.free, self.own, self.asked = free, own, ""

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"card {index}"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return uuid

    def nvmlDeviceGetMemoryInfo(self, card: str) -> Any:
        self.asked = card
        return SimpleNamespace(free=self.free)

    def nvmlDeviceGetComputeRunningProcesses(self, card: str) -> list[Any]:
        if self.own is None:  # in a container it is known by another number
            return [SimpleNamespace(pid=os.getpid() + 1, usedGpuMemory=8 * GIB)]
        return [SimpleNamespace(pid=os.getpid(), usedGpuMemory=self.own)]


def driver(monkeypatch: pytest.MonkeyPatch, nvml: FakeNvml | None, shown: str = "") -> Driver:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # None: it cannot be imported
    return Driver(0)


def test_the_context_is_the_drivers_figure_less_what_is_reserved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nvml = FakeNvml(own=5 * GIB)
    assert driver(monkeypatch, nvml).context(4 * GIB) == (GIB, "driver")


def test_where_it_does_not_know_the_process_free_memory_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nvml = FakeNvml(free=20 * GIB)
    found = driver(monkeypatch, nvml)
    nvml.free = 15 * GIB
    assert found.context(4 * GIB) == (GIB, "difference")


@pytest.mark.parametrize("now", [17 * GIB, 21 * GIB, 2 * GIB])
def test_a_difference_that_others_made_is_no_answer(
    now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = FakeNvml(free=20 * GIB)
    found = driver(monkeypatch, nvml)
    nvml.free = now
    assert found.context(4 * GIB) == (None, "")


def test_without_a_driver_there_is_no_context(monkeypatch: pytest.MonkeyPatch) -> None:
    assert driver(monkeypatch, None).context(4 * GIB) == (None, "")


@pytest.mark.parametrize(
    ("shown", "card"),
    [("", "card 0"), ("3", "card 3"), ("2,1", "card 2"), ("MIG-ab12", "MIG-ab12")],
)
def test_the_card_that_the_process_sees_is_asked(
    shown: str, card: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = FakeNvml()
    driver(monkeypatch, nvml, shown)
    assert nvml.asked == card
