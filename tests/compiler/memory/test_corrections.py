"""What is kept of a machine, and what it does to predictions there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measurements import GIB, predicted

from ftspec import __version__
from ftspec.compiler.memory import corrections
from ftspec.compiler.memory.corrections import (
    Machine,
    Residual,
    context_shift,
    corrected,
    file_path,
    keep,
    read,
    verdict_of,
)

CU130 = ("2.13.0+cu130", "13.0")


def residual(**changed: Any) -> Residual:
    known: dict[str, Any] = {
        "method": "lora",
        "predicted_by": "tape",
        "ftspec": __version__,
        "predicted_bytes": 10 * GIB,
        "allocated": 1.0,
        "reserved": 1.0,
    }
    return Residual(**known | changed)


def machine(**changed: Any) -> Machine:
    known: dict[str, Any] = {
        "gpu": "NVIDIA A10",
        "driver": "580.1",
        "torch": CU130[0],
        "cuda": CU130[1],
        "context_bytes": GIB // 2,
    }
    return Machine(**known | changed)


# The file


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "machine.json"
    keep(path, machine(residuals=(residual(),)))
    found = read(path).find("NVIDIA A10", "580.1", CU130)
    assert found == machine(residuals=(residual(),))
    assert read(path).problem == ""
    assert [entry.name for entry in path.parent.iterdir()] == ["machine.json"]


def test_it_says_nothing_of_whoever_measured(tmp_path: Path) -> None:
    keep(tmp_path / "machine.json", machine(residuals=(residual(),)))
    kept = json.loads((tmp_path / "machine.json").read_text())
    assert set(kept) == {"schema_version", "machines"}
    (one,) = kept["machines"]
    assert set(one) == {"gpu", "driver", "torch", "cuda", "context_bytes", "residuals"}
    names = {"method", "predicted_by", "ftspec", "predicted_bytes", "allocated", "reserved"}
    assert set(one["residuals"][0]) == names


def test_another_driver_or_torch_was_not_measured(tmp_path: Path) -> None:
    keep(tmp_path / "machine.json", machine())
    kept = read(tmp_path / "machine.json")
    assert kept.find("NVIDIA A10", "580.2", CU130) is None
    assert kept.find("NVIDIA A100", "580.1", CU130) is None
    assert kept.find("NVIDIA A10", "580.1", ("2.13.0+cu126", "12.6")) is None
    assert kept.find("NVIDIA A10", "580.1", None) == machine()


def test_without_a_torch_of_its_own_the_newest_counts(tmp_path: Path) -> None:
    path = tmp_path / "machine.json"
    for version in ("2.11.0", "2.13.0", "2.12.0"):
        keep(path, machine(torch=version))
    keep(path, machine(torch="2.11.0", context_bytes=GIB))
    found = read(path).find("NVIDIA A10", "580.1", None)
    assert found == machine(torch="2.11.0", context_bytes=GIB)
    assert len(read(path).machines) == 3


def test_a_measurement_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "machine.json"
    keep(path, machine(residuals=(residual(reserved=1.5), residual(method="full"))))
    keep(path, machine(context_bytes=None, residuals=(residual(reserved=1.1),)))
    (found,) = read(path).machines
    assert found.context_bytes == GIB // 2  # the later one could not tell it
    kept = {one.method: one.reserved for one in found.residuals}
    assert kept == {"full": 1.0, "lora": 1.1}


def test_old_machines_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "machine.json"
    for number in range(corrections.MOST_MACHINES + 3):
        keep(path, machine(driver=f"580.{number}"))
    drivers = [one.driver for one in read(path).machines]
    assert len(drivers) == corrections.MOST_MACHINES
    assert (drivers[0], drivers[-1]) == ("580.3", f"580.{corrections.MOST_MACHINES + 2}")


def test_no_file_is_nothing_to_speak_of(tmp_path: Path) -> None:
    kept = read(tmp_path / "machine.json")
    assert (kept.machines, kept.problem) == ((), "")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"schema_version": 2, "machines": []}',
        b'{"machines": [{"gpu": "A10"}]}',
        b'{"machines": [{"gpu": "", "driver": "1", "torch": "2"}]}',
        b'{"machines": [{"gpu": "a", "driver": "1", "torch": "2", "context_bytes": -1}]}',
        b'{"machines": [{"gpu": "a", "driver": "1", "torch": "2", "context_bytes": "1"}]}',
        b'{"machines": [{"gpu": "a", "driver": "1", "torch": "2", "context_bytes": 1e30}]}',
        b'{"machines": {"gpu": "a"}}',
    ],
)
def test_a_damaged_file_is_passed_over_and_written_anew(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "machine.json"
    path.write_bytes(content)
    kept = read(path)
    assert kept.machines == ()
    assert kept.problem.startswith(f"`{path}` is passed over, with what was measured here before")
    keep(path, machine())
    assert read(path).machines == (machine(),)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,0.machines').map(str.encode))
def test_no_content_makes_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("kept") / "machine.json"
    path.write_bytes(content)
    read(path)


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan"), float("inf"), 100.0])
def test_a_ratio_that_cannot_be_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError):
        residual(reserved=ratio)


def test_a_folder_in_its_place_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "machine.json").mkdir()
    assert "Is a directory" in read(tmp_path / "machine.json").problem
    with pytest.raises(OSError):
        keep(tmp_path / "machine.json", machine())
    assert [entry.name for entry in tmp_path.iterdir()] == ["machine.json"]  # nothing half written


def test_a_write_that_breaks_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "machine.json"
    keep(path, machine())

    def refuse(source: str, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        keep(path, machine(driver="581"))
    assert read(path).machines == (machine(),)
    assert [entry.name for entry in tmp_path.iterdir()] == ["machine.json"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"FTSPEC_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a/machine.json"),
        ({"FTSPEC_CACHE": "", "XDG_CACHE_HOME": "/b"}, "/b/ftspec/machine.json"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/ftspec/machine.json"),
        ({"FTSPEC_CACHE": "~/kept"}, "/home/me/kept/machine.json"),
        ({}, "/home/me/.cache/ftspec/machine.json"),
    ],
)
def test_where_it_lies(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert file_path(environment) == Path(expected)


def test_without_a_home_there_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert file_path({}) is None


# What it does to a prediction


def test_the_measured_context_stands_in_place_of_the_assumed_one() -> None:
    memory = corrected(predicted(), machine(), "lora")
    shift = GIB // 2 - GIB
    for name in ("peak_bytes", "low_bytes", "high_bytes", "expected_peak_bytes"):
        assert getattr(memory, name) == getattr(predicted(), name) + shift
    assert memory.context_bytes == GIB // 2
    assert memory.allocated_peak_bytes == 9 * GIB
    assert (memory.method, memory.parts) == ("tape", predicted().parts)
    assert memory.note == "the context is the one measured on this machine"


def test_a_smaller_context_may_make_it_fit_and_a_larger_one_not() -> None:
    tight = predicted(free_bytes=round(11.6 * GIB), verdict="tight")
    assert corrected(tight, machine(), "lora").verdict == "fits"
    assert corrected(tight, machine(context_bytes=3 * GIB), "lora").verdict == "no"


@pytest.mark.parametrize("ratio", [0.95, 1.0, 1.09])
def test_a_residual_inside_the_interval_changes_nothing(ratio: float) -> None:
    known = machine(context_bytes=None, residuals=(residual(reserved=ratio, allocated=2.0),))
    assert corrected(predicted(), known, "lora") == predicted()


def test_a_residual_outside_widens_the_interval_and_does_not_shift_the_peak() -> None:
    known = machine(context_bytes=None, residuals=(residual(reserved=1.2),))
    memory = corrected(predicted(), known, "lora")
    assert memory.peak_bytes == 11 * GIB
    assert memory.low_bytes == 10 * GIB
    assert memory.high_bytes == round(12 * GIB * 1.01) + GIB  # 10 GiB reserved, and the context
    assert "the interval is widened: lora took 1.20 times what was predicted" in memory.note
    below = machine(context_bytes=None, residuals=(residual(reserved=0.7),))
    memory = corrected(predicted(), below, "lora")
    assert (memory.low_bytes, memory.high_bytes) == (round(7 * GIB * 0.99) + GIB, 12 * GIB)


def test_a_widened_interval_is_judged_anew() -> None:
    known = machine(context_bytes=None, residuals=(residual(reserved=1.2),))
    assert corrected(predicted(free_bytes=12 * GIB), known, "lora").verdict == "tight"


@pytest.mark.parametrize(
    "other",
    [
        {"method": "full"},
        {"predicted_by": "closed-form"},
        {"ftspec": "0.0.1"},
        {"predicted_bytes": 4 * GIB},
        {"predicted_bytes": 21 * GIB},
    ],
)
def test_a_residual_of_another_kind_says_nothing(other: dict[str, Any]) -> None:
    known = machine(context_bytes=None, residuals=(residual(reserved=1.5, **other),))
    assert corrected(predicted(), known, "lora") == predicted()


def test_nothing_known_changes_nothing() -> None:
    assert corrected(predicted(), None, "lora") == predicted()
    unknown = predicted(
        verdict="unknown", peak_bytes=None, low_bytes=None, high_bytes=None, method="none"
    )
    assert corrected(unknown, machine(residuals=(residual(),)), "lora") == unknown


def test_notes_stand_together() -> None:
    memory = corrected(predicted(note="so and so"), machine(), "lora")
    assert memory.note == "so and so; the context is the one measured on this machine"


def test_the_planner_is_told_of_the_context_alone() -> None:
    assert context_shift(machine(), GIB) == -GIB // 2
    assert context_shift(machine(context_bytes=None), GIB) == 0
    assert context_shift(None, GIB) == 0


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(8, 10, "fits"), (8, 11, "tight"), (10, 11, "tight"), (11, 12, "no"), (None, 1, "unknown")],
)
def test_the_verdict_is_the_contracts(low: int | None, high: int, verdict: str) -> None:
    assert verdict_of(low, high, 10) == verdict
