"""`ftspec gpus`: the catalogue as a table, and what is in this machine."""

from __future__ import annotations

import pytest
from commands import Ftspec
from machines import gpu

import ftspec.cli.app
import ftspec.runtime.hardware
from ftspec.compiler.facts.gpus import catalogue
from ftspec.compiler.facts.hardware import Card, Hardware
from ftspec.runtime import nvidia

GIB = 2**30


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ftspec.cli.app, "VERBS", {**ftspec.cli.app.VERBS, "gpus": ("gpus", "What cards there are.")}
    )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(gpu("h200"), 130 * GIB, (("python (123)", 9 * GIB), ("Xorg (9)", 0)))
    here = Hardware((card, Card(gpu("h200"), 139 * GIB)), 100 * GIB, 16)
    monkeypatch.setattr(ftspec.runtime.hardware, "detect", lambda: here)
    monkeypatch.setattr(nvidia, "driver", lambda: nvidia.Driver("580.159.04", "13.0"))


def test_the_whole_table(ftspec_: Ftspec) -> None:
    answer = ftspec_("gpus")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].split() == ["card", "GiB", "GB/s", "TFLOP/s", "cc", "bf16", "fp8"]
    rows = lines[1 : 1 + len(catalogue())]
    assert len({len(line) for line in rows}) == 1 and len(rows[0]) <= 100
    assert rows[-1].startswith(catalogue()[-1].name)
    assert f"{len(catalogue())} cards; `ftspec gpus TEXT` shows sources" in answer.out
    assert answer.last == "next: ftspec check SPEC --gpu NAME"


def test_a_part_of_a_name_with_sources(ftspec_: Ftspec) -> None:
    answer = ftspec_("gpus", "h100")
    lines = answer.out.splitlines()
    assert lines[1].split()[-6:] == ["79.1", "3,350", "989.4", "9.0", "yes", "yes"]
    assert lines[2] == "  NVIDIA H100 SXM datasheet, sparse rate / 2"
    assert answer.out.count("NVIDIA H100") == 7  # three cards, their sources, and what to type
    assert answer.last == "next: ftspec check SPEC --gpu 'NVIDIA H100 80GB HBM3'"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("4090", ["RTX 4090", "RTX 4090 D", "RTX 4090 Laptop GPU"]),
        ("2x t4", ["Tesla T4"]),
        ("h100 3g.40gb", ["NVIDIA H100 80GB HBM3 MIG 3g.40gb"]),
        ("titan", ["TITAN Xp", "TITAN V", "TITAN RTX"]),
    ],
)
def test_what_a_text_means(text: str, names: list[str], ftspec_: Ftspec) -> None:
    found = ftspec_("gpus", text, "--json").json["gpus"]
    assert [
        item["name"].removeprefix("NVIDIA GeForce ").removeprefix("NVIDIA TI") for item in found
    ]
    assert len(found) == len(names)
    assert all(name in item["name"] for name, item in zip(names, found, strict=True))


def test_a_near_miss(ftspec_: Ftspec) -> None:
    answer = ftspec_("gpus", "rtx 4095")
    assert (answer.code, answer.out) == (2, "")
    assert "no card `rtx 4095`. Did you mean `NVIDIA GeForce RTX 4090`" in answer.err
    assert "Did you mean" not in ftspec_("gpus", "zzzz").err


def test_what_programs_read(ftspec_: Ftspec) -> None:
    document = ftspec_("gpus", "t4", "--json").json
    assert document["schema_version"] == 1
    assert document["gpus"][0] == {
        "name": "Tesla T4",
        "usable_bytes": 14912 * 2**20,
        "total_bytes": 15360 * 2**20,
        "memory": "reported",
        "bandwidth": 320_000_000_000,
        "bf16_flops": None,
        "fp16_flops": 65_000_000_000_000,
        "capability": "7.5",
        "bf16": False,
        "fp8": False,
        "source": "NVIDIA T4 datasheet",
    }


def test_this_machine(ftspec_: Ftspec, machine: None) -> None:
    answer = ftspec_("gpus", "--here")
    assert answer.code == 0
    assert answer.out.splitlines() == [
        "0  NVIDIA H200: 130.0 GiB free of 139.7",
        "   compute capability 9.0, bf16, fp8; 4,800 GB/s",
        "   9.0 GiB held by python (123)",
        "   memory held by Xorg (9)",
        "1  NVIDIA H200: 139.0 GiB free of 139.7",
        "   compute capability 9.0, bf16, fp8; 4,800 GB/s",
        "driver 580.159.04, which runs CUDA up to 13.0",
        "host: 100.0 GiB of memory, 16 cores",
        "next: ftspec check SPEC",
    ]


def test_this_machine_for_programs(ftspec_: Ftspec, machine: None) -> None:
    document = ftspec_("gpus", "--here", "--json").json
    assert (document["driver"], document["cuda"], document["cores"]) == ("580.159.04", "13.0", 16)
    assert [card["free_bytes"] for card in document["cards"]] == [130 * GIB, 139 * GIB]
    assert document["cards"][0]["held_by"][0] == {"name": "python (123)", "bytes": 9 * GIB}


def test_a_machine_without_cards(ftspec_: Ftspec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "driver", lambda: None)
    answer = ftspec_("gpus", "--here")
    assert answer.out.splitlines() == [
        "no card to train on: the CPU trains",
        "(no NVIDIA driver)",
        "host: 64.0 GiB of memory, 8 cores",
        "next: ftspec check SPEC --gpu NAME",
    ]
    document = ftspec_("gpus", "--here", "--json").json
    assert (document["cards"], document["driver"]) == ([], None)


def test_here_takes_no_text(ftspec_: Ftspec) -> None:
    assert ftspec_("gpus", "--here", "4090").code == 2
