"""`ftspec check`: what it prints, what programs read, and how it ends."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import BIG, FLAT, SMALL, Ftspec
from fakes import write_alpaca

import ftspec.runtime.hardware
from ftspec.cli.check import held_lines
from ftspec.compiler.facts.gpus import find_gpu
from ftspec.compiler.facts.hardware import Card, Hardware

FINDING_KEYS = {
    "code": str,
    "name": str,
    "title": str,
    "severity": str,
    "file": str,
    "line": int,
    "column": int,
    "end_line": int,
    "end_column": int,
    "route": list,
    "help": str,
    "evidence": dict,
    "confidence": float,
    "prescriptions": list,
}
MEMORY_KEYS = {
    "verdict": str,
    "phase": str,
    "peak_bytes": int,
    "low_bytes": int,
    "high_bytes": int,
    "allocated_peak_bytes": int,
    "expected_peak_bytes": int,
    "context_bytes": int,
    "free_bytes": int,
    "parts": dict,
    "phases": dict,
    "ranks": int,
    "host_bytes": int,
    "disk_bytes": int,
    "method": str,
}
WRONG = """\
model: tiny
method:
  type: lora
  rnak: 16
data: rows.jsonl
train:
  learning_rate: fast
  batch_size: 0
"""


def typed(document: dict[str, Any], keys: dict[str, type]) -> None:
    for key, kind in keys.items():
        value = document[key]
        assert type(value) is kind, f"{key}: {value!r}"


# What a person reads


def test_memory_stands_as_bars_and_choices_as_a_table(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", small.name, "--gpu", "rtx-4090")
    assert answer.code == 0
    assert answer.err == ""
    assert answer.out.startswith("tiny (llama, 0.1 M parameters), lora\nmemory: fits: 0.6 GiB")
    assert "of 23.5 GiB free on NVIDIA GeForce RTX 4090" in answer.out
    lines = answer.out.splitlines()
    bars = lines[4 : next(n for n, line in enumerate(lines) if line.startswith("  by phase"))]
    names = "base weights, adapters, gradients, optimizer, activations, logits, workspace, context"
    assert [line[2:15].strip() for line in bars] == names.split(", ")
    assert all(line[16] in "█▏▎▍▌▋▊▉" for line in bars)
    assert {len(line) for line in bars} == {55}  # the sizes end in one column
    assert "by phase      load" in answer.out
    assert "  train.epochs                    3           the guide's" in answer.out
    assert answer.out.splitlines()[-2:] == [
        "no findings",
        "next: ftspec build small.yaml --gpu rtx-4090",
    ]


def test_why_shows_every_choice_with_its_reason(small: Path, ftspec_: Ftspec) -> None:
    short = ftspec_("check", small.name, "--gpu", "rtx-4090").out
    full = ftspec_("check", small.name, "--gpu", "rtx-4090", "--why").out
    assert "train.optimizer" in full and "train.optimizer" not in short
    assert "r (in + out) of each adapted layer" in full
    assert "--why" in short and "--why" not in full


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_keep_to_the_terminal(
    width: int, small: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    shown = ftspec_("check", small.name, "--gpu", "rtx-4090").out
    bars, table = shown.split("\n\n")[:2]
    assert max(map(len, bars.splitlines()[3:])) <= width
    reasons = [line for line in table.splitlines() if "q_proj" not in line]
    assert max(map(len, reasons)) <= max(width, 44)  # a key and its value are never cut


def test_all_errors_come_at_once_in_their_order(here: Path, ftspec_: Ftspec) -> None:
    Path("wrong.yaml").write_text(WRONG, encoding="utf-8")
    answer = ftspec_("check", "wrong.yaml")
    assert answer.code == 1
    places = [line.split()[-1] for line in answer.out.splitlines() if "-->" in line]
    assert places == ["wrong.yaml:4:3", "wrong.yaml:7:18", "wrong.yaml:8:15"]
    assert "4 |   rnak: 16\n  |   ^^^^" in answer.out
    assert answer.last == "next: ftspec explain FT101"
    assert "3 errors\n" in answer.out


def test_a_run_that_does_not_fit(big: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", big.name, "--gpu", "rtx-4090")
    assert answer.code == 1
    assert "error[FT201]: needs " in answer.out
    assert "memory: does not fit: " in answer.out
    assert answer.last.endswith("ask about another card: ftspec check big.yaml --gpu NAME")
    assert ftspec_("check", big.name, "--gpu", "rtx-4090", "--fail-on", "never").code == 0


def test_tight_is_a_warning(here: Path, ftspec_: Ftspec) -> None:
    full = f"{BIG.replace('full', 'qlora')}tune: {{memory: off, speed: off}}\n"
    write_alpaca(here / "rows.jsonl")
    Path("off.yaml").write_text(full, encoding="utf-8")
    off = ftspec_("check", "off.yaml", "--gpu", "rtx-4090", "--json").json["memory"]
    between = (off["low_bytes"] + off["high_bytes"]) // 2
    answer = ftspec_("check", "off.yaml", "--vram", f"{between / 2**30:.3f}GiB")
    assert "memory: tight: it may not fit" in answer.out
    assert "warning[FT202]" in answer.out
    assert answer.code == 0
    again = ("check", "off.yaml", "--vram", f"{between / 2**30:.3f}GiB", "--fail-on", "warning")
    assert ftspec_(*again).code == 1


def test_unknown_memory_is_a_warning(here: Path, ftspec_: Ftspec) -> None:
    write_alpaca(here / "rows.jsonl")
    text = SMALL.replace("tiny", "somebody/something")
    Path("unknown.yaml").write_text(text, encoding="utf-8")
    answer = ftspec_("check", "unknown.yaml")
    assert answer.code == 0
    assert "memory: cannot be told: not in the catalogue" in answer.out
    assert ftspec_("check", "unknown.yaml", "--json").json["memory"]["verdict"] == "unknown"
    assert ftspec_("check", "unknown.yaml", "--fail-on", "warning").code == 1


# The guide's quick reference


def test_the_flat_form_is_answered_without_data(flat: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", flat.name, "--gpu", "rtx-4090")
    assert answer.code == 0
    assert "info[FT106]: the spec names no data" in answer.out
    assert "memory: fits" in answer.out
    assert "  train.learning_rate             2e-4        as written" in answer.out
    assert answer.last == "next: ftspec build flat.yaml --gpu rtx-4090 --data FILE"
    assert ftspec_("check", flat.name, "--gpu", "rtx-4090", "--fail-on", "info").code == 1


def test_data_comes_from_the_command_line(flat: Path, small: Path, ftspec_: Ftspec) -> None:
    named = ftspec_("check", flat.name, "--gpu", "rtx-4090", "--data", "rows.jsonl", "--json").json
    assert named["plan"]["data"]["train_rows"] == 100  # 120, less the 20 held out
    assert [finding["name"] for finding in named["findings"]] == ["unknown-lengths"]
    write_alpaca(Path("other.jsonl"), 90)
    instead = ftspec_("check", small.name, "--data", "other.jsonl", "--json").json
    assert instead["plan"]["data"]["train_rows"] == 70


def test_data_of_the_command_line_is_seen_from_the_working_folder(
    small: Path, ftspec_: Ftspec
) -> None:
    Path("deep/er").mkdir(parents=True)
    Path("deep/er/spec.yaml").write_text(FLAT, encoding="utf-8")
    answer = ftspec_("check", "deep/er/spec.yaml", "--data", "rows.jsonl", "--json")
    assert answer.json["plan"]["data"]["train_rows"] == 100


def test_data_that_is_not_there(flat: Path, ftspec_: Ftspec) -> None:
    missing = ftspec_("check", flat.name, "--data", "nope.jsonl")
    assert (missing.code, missing.out) == (2, "")
    assert "`--data nope.jsonl`: there is no such file" in missing.err
    Path("rows").mkdir()
    assert "is a folder" in ftspec_("check", flat.name, "--data", "rows").err


# What programs read


def test_json_has_the_shape_that_programs_rely_on(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", small.name, "--gpu", "rtx-4090", "--json")
    document = answer.json
    assert (answer.code, answer.err) == (0, "")
    assert document["schema_version"] == 1
    assert document["ok"] is True
    assert document["findings"] == []
    assert document["changes"] == []
    typed(document["memory"], MEMORY_KEYS)
    assert document["memory"]["verdict"] == "fits"
    assert all(type(size) is int for size in document["memory"]["parts"].values())
    phases = document["memory"]["phases"]
    assert set(phases) <= {"load", "train", "evaluate", "save", "merge", "generate"}
    assert {"load", "train", "evaluate"} <= set(phases)
    assert document["plan"]["train"]["learning_rate"] == 2e-4
    time = document["time"]
    assert {"tokens", "tokens_per_second", "seconds", "cost"} <= set(time)
    assert time["tokens_per_second_low"] < time["tokens_per_second"]
    assert time["seconds_low"] < time["seconds"] < time["seconds_high"]
    assert time["cost"] is None and "was not measured" in time["note"]
    assert type(document["time"]["tokens"]) is int


def test_json_holds_the_findings_with_their_places(here: Path, ftspec_: Ftspec) -> None:
    Path("wrong.yaml").write_text(WRONG, encoding="utf-8")
    answer = ftspec_("check", "wrong.yaml", "--json")
    document = answer.json
    assert answer.code == 1
    assert document["ok"] is False
    assert (document["plan"], document["memory"], document["time"]) == (None, None, None)
    for finding in document["findings"]:
        typed(finding, FINDING_KEYS)
        assert finding["severity"] in ("error", "warning", "info")
        assert 0 <= finding["confidence"] <= 1
    first = document["findings"][0]
    assert first["route"] == ["method", "rnak"]
    place = [first[key] for key in ("file", "line", "column", "end_line", "end_column")]
    assert place == ["wrong.yaml", 4, 3, 4, 7]


def test_json_of_data_without_an_evaluation_leaves_the_phase_out(
    small: Path, ftspec_: Ftspec
) -> None:
    small.write_text(SMALL.replace("data: rows.jsonl", "data: {train: rows.jsonl, eval: none}"))
    phases = ftspec_("check", small.name, "--json").json["memory"]["phases"]
    assert "evaluate" not in phases


# Hardware


def test_without_a_card_the_cpu_trains(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", small.name)
    assert "of 64.0 GiB free on this machine's memory (the CPU trains)" in answer.out
    assert "(no NVIDIA driver; --gpu NAME asks about another machine)" in answer.out
    assert answer.last == "next: ftspec build small.yaml"


@pytest.mark.parametrize("name", ["rtx-4090", "RTX 4090", "NVIDIA GeForce RTX 4090", "4090"])
def test_cards_go_by_the_names_that_people_write(name: str, small: Path, ftspec_: Ftspec) -> None:
    document = ftspec_("check", small.name, "--gpu", name, "--json").json
    assert document["plan"]["hardware"]["gpu"] == "NVIDIA GeForce RTX 4090"
    assert document["plan"]["hardware"]["detected"] is False


def test_a_wrong_card_names_the_near_ones(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", small.name, "--gpu", "rtx-4091")
    assert (answer.code, answer.out) == (2, "")
    assert "Did you mean `NVIDIA GeForce RTX 4090`" in answer.err


def test_memory_alone_is_a_card(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", small.name, "--vram", "24GiB")
    assert "of 24.0 GiB free on a card of 24 GiB" in answer.out
    assert answer.last == "next: ftspec build small.yaml --vram 24GiB"
    both = ftspec_("check", small.name, "--gpu", "rtx-4090", "--vram", "10 GiB")
    assert "of 10.0 GiB free on NVIDIA GeForce RTX 4090" in both.out
    assert both.last == "next: ftspec build small.yaml --gpu rtx-4090 --vram '10 GiB'"


@pytest.mark.parametrize("size", ["24", "24XB", "-1GiB", "0GiB", "lots", "1e3GiB"])
def test_a_size_that_is_none(size: str, small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", small.name, f"--vram={size}")
    assert answer.code == 2
    assert f"`--vram {size}` is no size; write it as in 24GiB" in answer.err


def test_the_command_line_wins_over_the_spec(small: Path, ftspec_: Ftspec) -> None:
    small.write_text(f"{SMALL}hardware: {{gpu: a100-80gb, count: 2}}\n", encoding="utf-8")

    def hardware(*options: str) -> tuple[str | None, int]:
        plan = ftspec_("check", small.name, *options, "--json").json["plan"]["hardware"]
        return plan["gpu"], plan["count"]

    assert hardware() == ("NVIDIA A100-SXM4-80GB", 2)
    assert hardware("--count", "4") == ("NVIDIA A100-SXM4-80GB", 4)
    assert hardware("--gpu", "rtx-4090") == ("NVIDIA GeForce RTX 4090", 2)
    assert hardware("--gpu", "rtx-4090", "--count", "1") == ("NVIDIA GeForce RTX 4090", 1)
    assert hardware("--vram", "20GiB") == ("a card of 20 GiB", 2)
    assert hardware("--gpu", "cpu") == (None, 1)


def test_cards_that_are_here_count(
    small: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = find_gpu("rtx-3090")
    assert gpu is not None
    here = Hardware((Card(gpu, 20 * 2**30), Card(gpu, 21 * 2**30)), 64 * 2**30, 8)
    monkeypatch.setattr(ftspec.runtime.hardware, "detect", lambda: here)
    out = ftspec_("check", small.name).out
    assert "of 20.0 GiB free on each of 2 x NVIDIA GeForce RTX 3090" in out
    one = ftspec_("check", small.name, "--count", "1", "--json").json["plan"]["hardware"]
    assert (one["count"], one["free_bytes"], one["detected"]) == (1, 20 * 2**30, True)
    three = ftspec_("check", small.name, "--count", "3")
    assert three.code == 2
    assert "`--count 3`: this machine has 2 cards; name a kind with --gpu" in three.err


# Files that are no spec


def test_a_spec_from_standard_input(
    small: Path, ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Input:
        buffer = io.BytesIO(SMALL.encode())

    monkeypatch.setattr(sys, "stdin", Input)
    answer = ftspec_("check", "-")
    assert answer.code == 0
    assert answer.last == "next: ftspec build - -o DIR"


def test_a_file_that_is_not_there(here: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", "nope.yaml")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: `nope.yaml` cannot be read: No such file or directory\n"


def test_a_folder_is_no_spec(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", ".")
    assert answer.code == 2
    assert answer.err == "error: `.` is a folder; name the spec in it, such as small.yaml\n"
    assert ftspec_("check", "tiny").err == "error: `tiny` is a folder; name the spec in it\n"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "FT005"),
        (b"\x00\xff\xfe\x80", "FT001"),
        (b"model: [", "FT002"),
        (b"- a\n- b\n", "FT006"),
        (b"\tmodel: tiny\n", "FT003"),
    ],
)
def test_files_of_another_kind(content: bytes, code: str, here: Path, ftspec_: Ftspec) -> None:
    Path("odd.yaml").write_bytes(content)
    answer = ftspec_("check", "odd.yaml")
    assert answer.code == 1
    assert f"error[{code}]" in answer.out
    assert answer.last == f"next: ftspec explain {code}"
    assert ftspec_("check", "odd.yaml", "--json").json["findings"][0]["code"] == code


def test_who_holds_memory_of_a_card_is_named() -> None:
    gpu = find_gpu("rtx-4090")
    assert gpu is not None
    card = Card(gpu, gpu.usable_bytes - 3 * 2**30, (("python3 (4711)", 3 * 2**30),))
    lines = list(held_lines(Hardware((card,))))
    assert lines == ["        3.0 GiB of card 0 are held by python3 (4711)"]
