"""Accelerators of other makers, in a made-up tree of what Linux tells of its cards."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ftspec.runtime import unmeasured

GIB = 2**30


@pytest.fixture(autouse=True)
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")


def card(tree: Path, number: int, vendor: str, address: str = "0000:03:00.0", **facts: str) -> None:
    """Put a card in the tree: its entry links to the device on the bus."""
    device = tree / "devices" / address
    device.mkdir(parents=True)
    (device / "vendor").write_text(vendor + "\n")
    for name, value in facts.items():
        (device / name).write_text(value + "\n")
    entry = tree / "drm" / f"card{number}"
    entry.mkdir(parents=True)
    (entry / "device").symlink_to(device)


def found(tree: Path) -> tuple[str, ...]:
    return unmeasured.detect(tree / "drm")


def test_a_machine_with_nothing(tmp_path: Path) -> None:
    assert found(tmp_path) == ()
    assert unmeasured.note(()) == ""


def test_an_amd_card_with_its_memory(tmp_path: Path) -> None:
    memory = {"mem_info_vram_total": str(192 * GIB), "mem_info_vram_used": str(GIB)}
    card(tmp_path, 0, "0x1002", device="0x74a1", **memory)
    (tmp_path / "drm" / "card0-DP-1").mkdir()  # an output of the card, not a card
    (tmp_path / "drm" / "renderD128").mkdir()
    assert found(tmp_path) == ("AMD Instinct MI300X (192.0 GiB of its own, 191.0 free)",)


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"device": "0x1", "product_name": "Radeon PRO W9000"}, "AMD Radeon PRO W9000"),
        ({"device": "0x1", "product_name": "AMD Radeon AI PRO"}, "AMD Radeon AI PRO"),
        ({"device": "0xabcd"}, "an AMD card (device 0xabcd)"),
        ({"device": "garbage"}, "an AMD card (device 0x0000)"),
    ],
)
def test_names_of_amd_cards(facts: dict[str, str], name: str, tmp_path: Path) -> None:
    card(tmp_path, 0, "0x1002", **facts)
    assert found(tmp_path) == (name,)


def test_a_driver_that_tells_the_total_alone(tmp_path: Path) -> None:
    card(tmp_path, 0, "0x1002", device="0x744c", mem_info_vram_total=str(24 * GIB))
    assert found(tmp_path) == ("AMD Radeon RX 7900 XT or XTX (24.0 GiB of its own)",)


def test_several_cards_in_their_order(tmp_path: Path) -> None:
    card(tmp_path, 10, "0x8086", "0000:04:00.0")
    card(tmp_path, 2, "0x8086", "0000:00:02.0")
    card(tmp_path, 1, "0x10de", "0000:05:00.0")  # NVIDIA's are NVML's to tell
    card(tmp_path, 0, "0x1002", "0000:06:00.0", device="0x740f")
    here = ("AMD Instinct MI210", "Intel integrated graphics", "an Intel graphics card")
    assert found(tmp_path) == here
    words = unmeasured.note(here)
    assert words.startswith("AMD Instinct MI210, Intel integrated graphics, an Intel graphics card")
    assert " are here, where nothing was measured" in words


def apple(monkeypatch: pytest.MonkeyPatch, machine: str, chip: str | None) -> None:
    def sysctl(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        if chip is None:
            raise OSError
        return subprocess.CompletedProcess(command, 0, chip + "\n", "")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(subprocess, "run", sysctl)


@pytest.mark.parametrize(
    ("chip", "name"), [("Apple M3 Max", "Apple M3 Max"), (None, "an Apple chip"), ("", "an Apple")]
)
def test_an_apple_chip(chip: str | None, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apple(monkeypatch, "arm64", chip)
    (words,) = unmeasured.detect()
    memory = psutil.virtual_memory().total / GIB
    assert words.startswith(name)
    assert words.endswith(f"({memory:.1f} GiB, shared with the system)")


def test_an_older_mac_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    apple(monkeypatch, "x86_64", "Intel(R) Core(TM) i7")
    assert unmeasured.detect() == ()
