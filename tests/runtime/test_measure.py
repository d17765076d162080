"""Running a measurement: a child is started, followed, and gone, whatever happens."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from compiling import plan_of
from fakes import make_model, write_alpaca
from machines import CPU, RTX_4090
from measurements import GIB, RECORD, child, measured

from ftspec.compiler.facts.hardware import Hardware
from ftspec.compiler.plan import Plan
from ftspec.runtime import measure as module
from ftspec.runtime.measure import MeasurementError, describe, measure

SPEC = "model: tiny\nmethod: lora\ndata: rows.jsonl\n"


class Place:
    """A plan, a folder to measure it in, a child made for the test, and what was said."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.monkeypatch = root, monkeypatch
        self.folder = root / "scratch"
        self.folder.mkdir()
        self.said: list[str] = []
        make_model(root / "tiny")
        write_alpaca(root / "rows.jsonl")

    def plan(self, hardware: Hardware = RTX_4090) -> Plan:
        return plan_of(SPEC, self.root, hardware, self.folder / "project")

    def child(self, script: str) -> None:
        (self.root / "child.py").write_text(script)
        self.monkeypatch.setattr(module, "CHILD", self.root / "child.py")

    def log(self) -> str:
        return (self.folder / "train.log").read_text()

    def alive(self) -> bool:
        try:
            os.kill(int((self.folder / "child.pid").read_text()), 0)
        except ProcessLookupError:
            return False
        return True


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_what_the_child_records_comes_back(place: Place) -> None:
    place.child(child(RECORD))
    found = measure(place.plan(), place.folder, place.said.append)
    assert found == measured()
    assert place.said == ["measuring: loading the model and the data"]
    assert place.log().splitlines()[0] == "loading, with --cuda"


def test_the_cpu_needs_no_card(place: Place) -> None:
    place.child(child(RECORD | {"phases": {}}))
    assert measure(place.plan(CPU), place.folder, place.said.append).phases == {}
    assert place.log().splitlines()[0] == "loading, with"


def test_every_rank_counts(place: Place) -> None:
    place.child(child(RECORD, RECORD | {"context": GIB}))
    assert measure(place.plan(), place.folder, place.said.append).context_bytes == GIB


def test_memory_that_runs_out_is_a_result(place: Place) -> None:
    place.child(child(RECORD | {"exit": 76, "failed_in": [3, "backward"]}, code=76))
    found = measure(place.plan(), place.folder, place.said.append)
    assert found.failed_in == "step 3, backward"


def test_a_launchers_own_exit_code_does_not_hide_it(place: Place) -> None:
    place.child(child(RECORD, RECORD | {"exit": 76, "failed_in": [1, "forward"]}, code=1))
    found = measure(place.plan(), place.folder, place.said.append)
    assert found.failed_in == "step 1, forward"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (78, "data or settings cannot be used"),
        (79, "cannot write"),
        (1, "the script crashed (exit code 1)"),
    ],
)
def test_another_failure_is_none(code: int, reason: str, place: Place) -> None:
    place.child(child(RECORD | {"exit": code}, code=code))
    with pytest.raises(MeasurementError) as raised:
        measure(place.plan(), place.folder, place.said.append)
    assert str(raised.value) == reason
    assert "these are my last words" in raised.value.words


def test_a_child_that_is_killed(place: Place) -> None:
    place.child("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(MeasurementError, match="killed by signal 9"):
        measure(place.plan(), place.folder, place.said.append)


def test_a_child_that_records_nothing(place: Place) -> None:
    place.child("print('done')\n")
    with pytest.raises(MeasurementError, match="ended without a step"):
        measure(place.plan(), place.folder, place.said.append)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_kills_the_child(number: signal.Signals, place: Place) -> None:
    place.child(child(RECORD, pause=60))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        measure(place.plan(), place.folder, lambda line: signal.raise_signal(number))
    assert not place.alive()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_listener_that_breaks_leaves_no_child(place: Place) -> None:
    place.child(child(RECORD, pause=60))

    def broken(line: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        measure(place.plan(), place.folder, broken)
    assert not place.alive()


# A base that is a GGUF file


def from_gguf(plan: Plan) -> Plan:
    changed = {"gguf": "../base.gguf", "name": "base", "local": True}
    return plan.model_copy(update={"model": plan.model.model_copy(update=changed)})


def test_a_gguf_base_is_converted_in_the_folder_that_goes(place: Place) -> None:
    place.child(child(RECORD))
    plan = from_gguf(place.plan())
    files = {"convert.py": b"print('converting')\n", "train.py": b""}
    place.monkeypatch.setattr(module, "emit", lambda plan: files)
    assert measure(plan, place.folder, place.said.append) == measured()
    assert place.said[0].startswith("writing the GGUF file's weights as safetensors")
    assert place.log().splitlines()[0] == "converting"


def test_a_conversion_that_fails(place: Place) -> None:
    plan = from_gguf(place.plan())
    files = {"convert.py": b"raise SystemExit('there is no such file')\n", "train.py": b""}
    place.monkeypatch.setattr(module, "emit", lambda plan: files)
    with pytest.raises(MeasurementError, match="could not be converted") as raised:
        measure(plan, place.folder, place.said.append)
    assert "there is no such file" in raised.value.words


def test_weights_that_were_converted_before_are_used(place: Place) -> None:
    place.child(child(RECORD))
    base = place.root / "project" / "base"
    base.mkdir(parents=True)
    plan = from_gguf(place.plan())
    place.monkeypatch.setattr(module, "emit", lambda plan: {"train.py": b""})
    with pytest.raises(MeasurementError):  # there is no convert.py, and nothing was converted
        measure(plan, place.folder, place.said.append, base=base)
    (base / "config.json").write_text("{}")
    assert measure(plan, place.folder, place.said.append, base=base) == measured()
    assert (place.folder / "project" / "base").resolve() == base


# Words


def test_progress_in_words() -> None:
    step = {"event": "step", "number": 3, "shape": [4, 512], "seconds": 1.234, "tokens": 8192}
    assert describe(step) == (
        "measuring: step 3 of 3 (the longest rows, 4 x 512): 1.23 s, 8,192 tokens"
    )
    assert describe(step | {"number": 1, "shape": [1, 9]}) == (
        "measuring: step 1 of 3 (rows of all lengths, 1 x 9): 1.23 s, 8,192 tokens"
    )
    assert describe({"event": "train"}) == "measuring: 3 steps"
    assert describe({"event": "evaluate"}) == "measuring: evaluating one batch of the longest rows"
    assert describe({"event": "unknown"}) is None
