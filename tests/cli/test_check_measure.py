"""`ftspec check --measure`: what it asks for, what it shows, what it leaves behind."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import SMALL, Ftspec
from fakes import make_model, write_alpaca
from machines import gpu
from measurements import GIB, RECORD, STEPS, child

import ftspec.runtime.hardware
from ftspec.compiler.facts.hardware import Card, Hardware
from ftspec.compiler.memory.corrections import Machine, read
from ftspec.runtime import measure as runtime_measure
from ftspec.runtime import nvidia
from ftspec.runtime.nvidia import Driver

Child = Callable[..., None]


@pytest.fixture(autouse=True)
def scratch(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders go, and where what is measured is kept."""
    (here / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(here / "tmp"))
    monkeypatch.setenv("FTSPEC_CACHE", str(here / "cache"))
    monkeypatch.setattr(nvidia, "driver", lambda: Driver("580.1", "13.0"))
    return here / "tmp"


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Hardware:
    """A machine with one RTX 4090, of which 22 GiB are free."""
    machine = Hardware((Card(gpu("rtx-4090"), 22 * GIB),), 64 * GIB, 8)
    monkeypatch.setattr(ftspec.runtime.hardware, "detect", lambda: machine)
    return machine


@pytest.fixture
def runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> Child:
    """Put a child made for the test in the place of the one that measures."""

    def put(*records: dict[str, Any], code: int = 0, pause: float = 0.0) -> None:
        path = here / "tmp" / "child.py"
        path.write_text(child(*records, code=code, pause=pause), encoding="utf-8")
        monkeypatch.setattr(runtime_measure, "CHILD", path)

    return put


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


# What it shows


def test_predicted_and_measured_stand_side_by_side(
    small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    runs(RECORD)
    answer = ftspec_("check", small.name, "--measure")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0] == "tiny (llama, 0.1 M parameters), lora"
    assert lines[1] == (
        "measured on NVIDIA GeForce RTX 4090: 3 of 3 steps, the last of the longest rows (2 x 100)"
    )
    table = {line.split()[0]: line.split()[1:] for line in lines[2:13]}
    assert lines[2].split() == ["predicted", "measured", "difference"]
    assert table["load"][2:4] == ["4.00", "GiB"]
    assert table["train"][2:4] == ["9.00", "GiB"]
    assert table["backward"] == ["-", "9.00", "GiB"]
    assert table["reserved"][2:4] == ["10.00", "GiB"]
    assert table["context"][2:4] == ["0.50", "GiB"] and table["context"][-1] == "%"
    assert table["peak"][2:4] == ["10.50", "GiB"]
    assert "memory: fits, as measured: 10.5 GiB at the peak" in lines
    assert "        of 22.0 GiB free on NVIDIA GeForce RTX 4090" in lines
    assert any(line.startswith("time:   ") and "500 tokens/s" in line for line in lines)
    assert "        (measured: one step of 1,000 tokens in 2.00 s)" in lines
    assert any(line.startswith("        (outside of what was predicted") for line in lines)
    assert "base weights" not in answer.out
    assert "  train.epochs                    3           the guide's" in lines
    assert answer.last == "next: ftspec build small.yaml"
    assert answer.err == "measuring: loading the model and the data\n"


def test_why_shows_the_predicted_parts_too(
    small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    runs(RECORD)
    shown = ftspec_("check", small.name, "--measure", "--why").out
    assert "base weights" in shown
    assert "measured on NVIDIA GeForce RTX 4090" in shown


def test_json_has_the_measurement_with_the_prediction_beside_it(
    small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    runs(RECORD)
    before = ftspec_("check", small.name, "--json").json
    answer = ftspec_("check", small.name, "--measure", "--json")
    document = answer.json
    memory = document["memory"]
    assert (answer.code, document["ok"]) == (0, True)
    assert (memory["method"], memory["verdict"], memory["phase"]) == ("measured", "fits", "train")
    assert memory["peak_bytes"] == 10 * GIB + GIB // 2
    assert memory["low_bytes"] == round(0.99 * memory["peak_bytes"])
    assert memory["phases"] == {"load": 4 * GIB, "train": 9 * GIB, "evaluate": 5 * GIB}
    assert memory["predicted"] == before["memory"]
    assert memory["parts"] == before["memory"]["parts"]
    assert memory["measured"]["phases"]["backward"]["reserved_bytes"] == 10 * GIB
    assert memory["measured"]["steps"][2]["micro_batch"] == [2, 100]
    assert document["time"]["tokens_per_second"] == 500
    assert document["time"]["seconds"] > 0 and document["time"]["measured"] is True
    assert document["plan"] == before["plan"]
    assert answer.err == "measuring: loading the model and the data\n"


# Verdicts


def test_what_was_predicted_to_fit_and_does_not(
    small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    large = {**RECORD["phases"], "backward": (22 * GIB, 23 * GIB)}  # type: ignore[dict-item]
    runs(RECORD | {"phases": large})
    answer = ftspec_("check", small.name, "--measure")
    assert answer.code == 1
    assert "error[FT201]: needs 23.5 GiB of 22.0 GiB free" in answer.out
    assert "memory: does not fit, as measured: 23.5 GiB at the peak" in answer.out
    assert "change the spec, or ask about another card" in answer.last


def test_memory_that_runs_out_is_a_verdict_and_no_crash(
    small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    died = {"exit": 76, "steps": STEPS[:2], "failed_in": [3, "backward"]}
    runs(RECORD | died, code=76)
    answer = ftspec_("check", small.name, "--measure")
    assert answer.code == 1
    assert "error[FT201]: memory ran out when it was measured: in `step 3, backward`" in answer.out
    assert "10.5 GiB were held by then, of 22.0 GiB that were free" in answer.out
    assert "= help: try in this order: " in answer.out
    assert "2 of 3 steps\n" in answer.out
    assert "memory: does not fit, as measured: at least 10.5 GiB at the peak" in answer.out
    document = ftspec_("check", small.name, "--measure", "--json").json
    assert document["ok"] is False
    assert document["memory"]["measured"]["out_of_memory"] == "step 3, backward"
    assert ftspec_("check", small.name, "--measure", "--fail-on", "never").code == 0


def test_what_was_predicted_not_to_fit_and_does(
    here: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    make_model(here / "tiny")
    write_alpaca(here / "rows.jsonl")
    text = "model: meta-llama/Llama-2-7b-hf\nmethod: full\ndata: rows.jsonl\n"
    Path("big.yaml").write_text(text, encoding="utf-8")
    runs(RECORD)
    assert ftspec_("check", "big.yaml").code == 1
    answer = ftspec_("check", "big.yaml", "--measure")
    assert answer.code == 0
    assert "FT201" not in answer.out
    assert "memory: fits, as measured" in answer.out


def test_a_model_that_cannot_be_predicted_is_measured(
    here: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    make_model(here / "tiny")
    config = json.loads((here / "tiny" / "config.json").read_text())
    changed = config | {"model_type": "mamba3"}
    (here / "tiny" / "config.json").write_text(json.dumps(changed), encoding="utf-8")
    write_alpaca(here / "rows.jsonl")
    spec = SMALL.replace("lora", "{type: lora, target_modules: [q_proj]}")
    Path("new.yaml").write_text(spec, encoding="utf-8")
    runs(RECORD)
    assert ftspec_("check", "new.yaml", "--json").json["memory"]["verdict"] == "unknown"
    answer = ftspec_("check", "new.yaml", "--measure")
    assert "memory: fits, as measured: 10.5 GiB" in answer.out
    assert "FT203" not in answer.out


def test_a_limit_of_the_spec_counts(
    small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    small.write_text(f"{SMALL}hardware: {{vram_limit: 10GiB}}\n", encoding="utf-8")
    runs(RECORD)
    answer = ftspec_("check", small.name, "--measure")
    assert answer.code == 1
    assert "needs 10.5 GiB of 10.0 GiB free" in answer.out


def test_what_lies_inside_the_interval_needs_no_word(
    small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    predicted = ftspec_("check", small.name, "--json").json["memory"]
    reserved = predicted["peak_bytes"] - predicted["context_bytes"]
    runs(RECORD | {"phases": {"backward": (reserved // 2, reserved)}})
    assert "outside of" not in ftspec_("check", small.name, "--measure").out


# Nothing is left behind, and what is kept


def test_nothing_is_left_behind(small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec) -> None:
    runs(RECORD)
    before = tree(Path.cwd())
    ftspec_("check", small.name, "--measure")
    assert tree(Path.cwd()) - before == {"cache", "cache/data.json", "cache/machine.json"}


def test_what_was_measured_is_kept_for_this_machine(
    small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    predicted = ftspec_("check", small.name, "--json").json["memory"]
    reserved = predicted["peak_bytes"] - predicted["context_bytes"]
    runs(RECORD | {"phases": {"backward": (reserved // 2, 2 * reserved)}})
    answer = ftspec_("check", small.name, "--measure")
    path = Path.cwd() / "cache" / "machine.json"
    assert f"kept for later checks: {path} (delete it to forget)" in answer.out
    found = read(path).find("NVIDIA GeForce RTX 4090", "580.1", ("2.13.0+cu130", "13.0"))
    assert found is not None
    assert found.context_bytes == GIB // 2
    assert "outside of what was predicted" in answer.out
    (residual,) = found.residuals
    assert (residual.method, residual.predicted_by) == ("lora", predicted["method"])
    assert residual.predicted_bytes == reserved
    assert (residual.allocated, residual.reserved) == (pytest.approx(0.5, abs=1e-3), 2.0)


def test_a_measurement_that_cannot_be_kept_is_still_an_answer(
    small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    runs(RECORD)
    Path("cache").write_text("a file where the folder should be")
    answer = ftspec_("check", small.name, "--measure")
    assert answer.code == 0
    assert "what was measured is not kept: `" in answer.err
    assert "kept for later checks" not in answer.out


def test_ctrl_c_ends_it_and_leaves_nothing(
    small: Path,
    cards: Hardware,
    runs: Child,
    ftspec_: Ftspec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs(RECORD, pause=60)
    before = tree(Path.cwd())
    monkeypatch.setattr("ftspec.cli.measured._say", lambda line: signal.raise_signal(signal.SIGINT))
    answer = ftspec_("check", small.name, "--measure")
    assert (answer.code, answer.out) == (130, "")
    assert answer.err == "interrupted\n"
    assert tree(Path.cwd()) == before


def test_a_script_that_fails_shows_its_last_words(
    small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    runs(RECORD | {"exit": 78}, code=78)
    answer = ftspec_("check", small.name, "--measure")
    assert (answer.code, answer.out) == (1, "")
    assert "these are my last words" in answer.err
    assert "error: nothing was measured: data or settings cannot be used" in answer.err
    assert not Path("cache").exists()


# Where it cannot be done


def test_without_a_card_it_says_so(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", small.name, "--measure")
    assert (answer.code, answer.out) == (2, "")
    assert "error: `--measure` needs an NVIDIA card on this machine: no NVIDIA driver" in answer.err


def test_a_card_that_is_elsewhere_cannot_be_measured(
    small: Path, cards: Hardware, ftspec_: Ftspec
) -> None:
    answer = ftspec_("check", small.name, "--measure", "--gpu", "h100")
    assert answer.code == 2
    assert "this machine's cards (NVIDIA GeForce RTX 4090), and the plan is for" in answer.err
    cpu = ftspec_("check", small.name, "--measure", "--gpu", "cpu")
    assert cpu.code == 2 and "the plan is for the CPU" in cpu.err
    two = ftspec_("check", small.name, "--measure", "--gpu", "2x4090")
    assert two.code == 2 and "the plan is for 2 x NVIDIA GeForce RTX 4090" in two.err


def test_a_card_named_that_is_here_is_measured(
    small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    runs(RECORD)
    answer = ftspec_("check", small.name, "--measure", "--gpu", "4090")
    assert answer.code == 0
    assert "memory: fits, as measured" in answer.out


def test_several_machines_are_not_measured(small: Path, cards: Hardware, ftspec_: Ftspec) -> None:
    small.write_text(f"{SMALL}hardware: {{nodes: 2}}\n", encoding="utf-8")
    answer = ftspec_("check", small.name, "--measure")
    assert answer.code == 2
    assert "`--measure` measures one machine; the plan is for several" in answer.err


def test_a_spec_with_errors_is_not_measured(
    small: Path, cards: Hardware, runs: Child, ftspec_: Ftspec
) -> None:
    runs(RECORD)
    small.write_text(f"{SMALL}trian: {{epochs: 3}}\n", encoding="utf-8")
    answer = ftspec_("check", small.name, "--measure")
    assert answer.code == 1
    assert "error[FT101]" in answer.out
    assert answer.err == ""


def test_without_data_there_is_nothing_to_measure(
    flat: Path, cards: Hardware, ftspec_: Ftspec
) -> None:
    assert ftspec_("check", flat.name).code == 0
    answer = ftspec_("check", flat.name, "--measure")
    assert answer.code == 1
    assert "error[FT106]" in answer.out
    assert answer.err == ""


def test_the_training_libraries_are_needed(
    small: Path, cards: Hardware, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftspec.cli.python.missing_libraries", lambda python: ("trl",))
    answer = ftspec_("check", small.name, "--measure")
    assert answer.code == 1
    assert "the scripts need trl, which this Python does not have" in answer.err


# The next check on this machine


def test_the_next_check_counts_the_measured_context(
    small: Path, cards: Hardware, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ftspec_("check", small.name, "--json").json["memory"]
    known = Machine(
        gpu=cards.cards[0].gpu.name, driver="580.1", torch="2.13.0", context_bytes=GIB // 4
    )
    here = replace(cards, machine=known)
    monkeypatch.setattr(ftspec.runtime.hardware, "detect", lambda: here)
    after = ftspec_("check", small.name, "--json").json["memory"]
    assert after["context_bytes"] == GIB // 4
    assert before["peak_bytes"] - after["peak_bytes"] == before["context_bytes"] - GIB // 4
    assert "  (the context is the one measured on this machine)" in ftspec_("check", small.name).out
    named = ftspec_("check", small.name, "--gpu", "4090", "--json").json["memory"]
    assert named["context_bytes"] == before["context_bytes"]


def test_the_planner_counts_it_too(
    small: Path, cards: Hardware, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batch(context: int) -> int:
        known = Machine(
            gpu=cards.cards[0].gpu.name, driver="580.1", torch="2.13.0", context_bytes=context
        )
        here = replace(cards, machine=known)
        monkeypatch.setattr(ftspec.runtime.hardware, "detect", lambda: here)
        plan = ftspec_("check", small.name, "--fail-on", "never", "--json").json["plan"]
        return int(plan["train"]["batch_size"])

    assert batch(GIB) > 1
    assert batch(22 * GIB) == 1  # nothing fits beside it: the smallest there is
