"""`ftspec methods`: the guide's table for a person, and for a program."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Ftspec
from fakes import make_model

import ftspec.cli.app

SEVEN_B = "meta-llama/Llama-2-7b-hf"
METHODS = ["full", "lora", "qlora", "prefix", "prompt"]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    verbs = {**ftspec.cli.app.VERBS, "methods": ("methods", "Five methods, one model.")}
    monkeypatch.setattr(ftspec.cli.app, "VERBS", verbs)


def test_memory_beside_the_guide(ftspec_: Ftspec) -> None:
    answer = ftspec_("methods", SEVEN_B)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == f"{SEVEN_B} (llama, 6.74 B parameters)"
    assert "predicted on NVIDIA H200" in lines
    head = next(number for number, line in enumerate(lines) if "allocated" in line)
    rows = lines[head + 1 : head + 6]
    assert [row.split()[0] for row in rows] == METHODS
    assert ["28 GB" in rows[0], "16 GB" in rows[1], "6 GB" in rows[2]] == [True] * 3
    columns = lines[head].index(" 8 ") + 1
    assert [row[columns] for row in rows] == ["·", "·", "✓", "·", "·"]
    assert "full    28 GB: the float32 weights alone are 27.0 GB" in answer.out
    assert "lora    16 GB: agrees" in answer.out
    assert "  qlora   medium    good      very low " in answer.out
    assert answer.last == "next: ftspec check SPEC"


def test_lines_keep_to_the_terminal(ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert max(map(len, ftspec_("methods", SEVEN_B).out.splitlines())) <= 100


def test_without_unicode(ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftspec.cli.methods.speaks_unicode", lambda stream: False)
    assert ftspec_("methods", SEVEN_B).out.isascii()


def test_on_a_card_that_is_named(ftspec_: Ftspec) -> None:
    answer = ftspec_("methods", SEVEN_B, "--gpu", "rtx-4090")
    assert "predicted on NVIDIA GeForce RTX 4090" in answer.out
    assert "RTX 4090 was not measured" in answer.out
    assert answer.last == "next: ftspec check SPEC --gpu rtx-4090"
    assert ftspec_("methods", SEVEN_B, "--gpu", "cpu").code == 2
    assert ftspec_("methods", SEVEN_B, "--gpu", "rtx-4095").code == 2


def test_a_size_that_the_guide_does_not_have(here: Path, ftspec_: Ftspec) -> None:
    make_model(here / "tiny")
    answer = ftspec_("methods", "tiny")
    assert answer.code == 0
    assert "none for a model of this size" in answer.out
    assert "guide  " not in answer.out  # no column for what there is nothing in


def test_a_model_that_is_not_known(ftspec_: Ftspec) -> None:
    answer = ftspec_("methods", "nobody/nothing-of-that-name")
    assert answer.code == 0
    assert "memory cannot be told" in answer.out
    assert "  full    slow      best      high" in answer.out


def test_a_folder_that_is_not_there(ftspec_: Ftspec) -> None:
    answer = ftspec_("methods", "./nowhere")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no folder `./nowhere`" in answer.err


def test_what_programs_read(ftspec_: Ftspec) -> None:
    document = ftspec_("methods", SEVEN_B, "--json").json
    assert document["schema_version"] == 1
    assert (document["gpu"], document["guide_size"], document["max_length"]) == (
        "NVIDIA H200",
        "7B",
        512,
    )
    assert [item["method"] for item in document["methods"]] == METHODS
    for item in document["methods"]:
        assert item["low_bytes"] < item["peak_bytes"] < item["high_bytes"]
        assert item["allocated_peak_bytes"] < item["peak_bytes"]
        assert item["tokens_per_second_low"] < item["tokens_per_second"]
        assert item["tokens_per_second"] < item["tokens_per_second_high"]
        assert set(item["cards"].values()) <= {"fits", "tight", "no"}
    assert document["methods"][0]["guide"] == {
        "memory": "60GB+",
        "speed": "slow",
        "quality": "best",
        "cost": "high",
    }
