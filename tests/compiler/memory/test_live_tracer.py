"""A trace in a child process: what is asked, and what may go wrong with the answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_tapes import make_shape, make_tape, make_work

from ftspec.compiler.facts.shape import Latent
from ftspec.compiler.memory import live, tapes
from ftspec.compiler.memory.live import LiveTracer
from ftspec.compiler.memory.peaks import Peaks
from ftspec.compiler.memory.trace.question import as_json, work_of

VERSIONS = {"torch": "2.99.0"}
CONFIG = {"model_type": "llama", "hidden_size": 256}
ANSWER = {
    "allocated": 5,
    "reserved": 6,
    "phases": {"load": [1, 2], "backward": [5, 6]},
    "parts": {"activations": 5},
    "moment": "backward",
    "paged": 0,
}


class Child:
    """Stands for the child process."""

    def __init__(self, out: str = "", code: int = 0, err: str = "") -> None:
        self.out, self.code, self.err = out, code, err
        self.raises: Exception | None = None
        self.calls: list[tuple[list[str], dict[str, Any]]] = []

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.calls.append((command, options))
        if self.raises is not None:
            raise self.raises
        return subprocess.CompletedProcess(command, self.code, self.out, self.err)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All libraries are there, whether or not they are."""
    monkeypatch.setattr(live, "find_spec", lambda name: name)
    monkeypatch.setenv("FTSPEC_CACHE", str(tmp_path))
    monkeypatch.setattr(tapes, "installed", lambda: VERSIONS)


def asked(child: Child, monkeypatch: pytest.MonkeyPatch) -> tuple[LiveTracer, Peaks | None]:
    monkeypatch.setattr(live.subprocess, "run", child.run)
    tracer = LiveTracer()
    return tracer, tracer(CONFIG, make_work(), (9, 0))


def test_the_answer_is_the_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(out='{"allocated": 1}\nLoading weights\n\n' + json.dumps(ANSWER) + "\n")
    tracer, seen = asked(child, monkeypatch)
    assert seen == Peaks(
        5, 6, {"load": (1, 2), "backward": (5, 6)}, {"activations": 5}, "backward", 0
    )
    assert tracer.failed == ""


def test_the_question(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = Child(out=json.dumps(ANSWER))
    asked(child, monkeypatch)
    ((command, options),) = child.calls
    assert command[-2:] == ["-m", "ftspec.compiler.memory.trace"]
    assert options["timeout"] == live.SECONDS
    question = json.loads(options["input"])
    assert question["config"] == CONFIG
    assert question["capability"] == [9, 0]
    assert question["tapes"] == str(tapes.own_folder(VERSIONS))
    assert work_of(question["work"]) == make_work()


def test_nobody_at_home_keeps_no_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapes.corrections, "file_path", lambda: None)
    child = Child(out=json.dumps(ANSWER))
    assert asked(child, monkeypatch)[1] is not None
    assert json.loads(child.calls[0][1]["input"])["tapes"] is None


BROKEN = {
    "nothing": "",
    "blank lines": "\n\n",
    "no JSON": "Traceback (most recent call last)",
    "half of it": json.dumps(ANSWER)[:-9],
    "a list": "[1, 2]",
    "a number": "3",
    "other keys": '{"ok": true}',
    "a key more": json.dumps({**ANSWER, "more": 1}),
    "a key less": json.dumps({key: ANSWER[key] for key in ("allocated", "phases")}),
    "a phase of one number": json.dumps({**ANSWER, "phases": {"load": [1]}}),
}


@pytest.mark.parametrize("out", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_answer_is_none(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tracer, seen = asked(Child(out=out, err="warning: a\nValueError: b\n"), monkeypatch)
    assert seen is None
    assert tracer.failed == "the trace failed: ValueError: b"


def test_a_child_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tracer, seen = asked(Child(code=-9), monkeypatch)
    assert seen is None
    assert tracer.failed == "the trace failed: it said nothing"


def test_an_answer_of_a_child_that_failed_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    tracer, seen = asked(Child(out=json.dumps(ANSWER), code=1, err="x" * 999), monkeypatch)
    assert seen is None
    assert tracer.failed == "the trace failed: " + "x" * 200


@pytest.mark.parametrize(
    "error", [subprocess.TimeoutExpired("python", 300), FileNotFoundError("python")]
)
def test_a_child_that_never_ends_or_never_starts(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child()
    child.raises = error
    tracer, seen = asked(child, monkeypatch)
    assert seen is None
    assert tracer.failed == f"the trace failed: {type(error).__name__}"


def test_missing_libraries_are_named_and_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = {"trl", "bitsandbytes"}
    monkeypatch.setattr(live, "find_spec", lambda name: None if name in missing else name)
    child = Child(out=json.dumps(ANSWER))
    said: list[str] = []
    monkeypatch.setattr(live.subprocess, "run", child.run)
    tracer = LiveTracer(said.append)
    assert tracer(CONFIG, make_work(), (9, 0)) is None
    assert "trl, bitsandbytes" in tracer.failed
    assert (child.calls, said) == ([], [])


def test_tapes_of_other_versions_are_said_to_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    monkeypatch.setattr(live.subprocess, "run", Child(out=json.dumps(ANSWER)).run)
    monkeypatch.setattr(tapes, "SHIPPED", tmp_path)
    tapes.add(tmp_path, "llama", "full", make_tape(), VERSIONS)
    assert LiveTracer(said.append)(CONFIG, make_work(), (9, 0)) is not None
    assert said[0].startswith("the tapes are of other library versions")
    monkeypatch.setattr(live, "find_spec", lambda name: None)
    tracer = LiveTracer()
    assert tracer(CONFIG, make_work(), (9, 0)) is None
    assert tracer.failed.startswith("the tapes are of other library versions, and torch")


def test_what_failed_before_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(code=1, err="no memory")
    said: list[str] = []
    monkeypatch.setattr(live.subprocess, "run", child.run)
    tracer = LiveTracer(said.append)
    assert tracer(CONFIG, make_work(), (9, 0)) is None
    child.code, child.out = 0, json.dumps(ANSWER)
    assert tracer(CONFIG, make_work(), (9, 0)) is not None
    assert tracer.failed == ""
    assert len(said) == 2


def test_a_tape_that_was_traced_is_found_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tapes.find("a structure", "a regime") is None
    asked(Child(out=json.dumps(ANSWER)), monkeypatch)
    assert tapes.find.cache_info().currsize == 0


@pytest.mark.parametrize(
    "work",
    [
        make_work(),
        make_work(make_shape(latent=Latent(0, 512, 128, 64, 128))),
        make_work(method="lora", targets=("q_proj",), rank=8, modules_to_save=("lm_head",)),
        make_work(checkpointing="selective", packed=True, ranks=2, quantization="nf4"),
    ],
)
def test_a_set_up_survives_json(work: Any) -> None:
    assert work_of(json.loads(json.dumps(as_json(work)))) == work


def test_the_larger_of_both_orders_counts_where_layers_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        seeds.append(seed := options["env"]["PYTHONHASHSEED"])
        answer = {**ANSWER, "reserved": 6 + int(seed), "kinds": 2}
        return subprocess.CompletedProcess(command, 0, json.dumps(answer), "")

    monkeypatch.setattr(live.subprocess, "run", run)
    seen = LiveTracer()(CONFIG, make_work(), (9, 0))
    assert seen is not None and seen.reserved == 7
    assert seeds == list(live.SEEDS)


def test_the_seeds_give_both_orders() -> None:
    code = "print(list({'full_attention', 'sliding_attention'}))"
    orders = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in live.SEEDS
    }
    assert len(orders) == 2
