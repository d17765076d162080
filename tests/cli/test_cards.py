"""Several cards in one name, on the command line and in the spec; other makers' cards."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import SMALL, Ftspec


@pytest.mark.parametrize("name", ["2x4090", "2 x RTX 4090", "4090:2"])
def test_several_cards_on_the_command_line(name: str, small: Path, ftspec_: Ftspec) -> None:
    plan = ftspec_("check", small.name, "--gpu", name, "--json").json["plan"]
    assert (plan["hardware"]["gpu"], plan["hardware"]["count"]) == ("NVIDIA GeForce RTX 4090", 2)


def test_several_cards_in_the_spec(small: Path, ftspec_: Ftspec) -> None:
    small.write_text(SMALL + "hardware: {gpu: 8xH100}\n", encoding="utf-8")
    hardware = ftspec_("check", small.name, "--json").json["plan"]["hardware"]
    assert (hardware["gpu"], hardware["count"]) == ("NVIDIA H100 80GB HBM3", 8)
    hardware = ftspec_("check", small.name, "--count", "4", "--json").json["plan"]["hardware"]
    assert (hardware["gpu"], hardware["count"]) == ("NVIDIA H100 80GB HBM3", 4)
    hardware = ftspec_("check", small.name, "--gpu", "2xt4", "--json").json["plan"]["hardware"]
    assert (hardware["gpu"], hardware["count"]) == ("Tesla T4", 2)


def test_two_numbers_of_cards(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", small.name, "--gpu", "2x4090", "--count", "4")
    assert answer.code == 2 and "is 2 cards, and `--count` says 4" in answer.err
    assert ftspec_("check", small.name, "--gpu", "2x4090", "--count", "2").code == 0
    small.write_text(SMALL + "hardware: {gpu: 2x4090, count: 4}\n", encoding="utf-8")
    assert "FT191" in ftspec_("check", small.name).out


def test_a_near_miss_of_several_cards(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", small.name, "--gpu", "2x4095")
    assert answer.code == 2 and "Did you mean `2x NVIDIA GeForce RTX 4090`" in answer.err


@pytest.mark.parametrize(("name", "maker"), [("mi300x", "AMD"), ("m3 max", "Apple")])
def test_cards_of_other_makers(name: str, maker: str, small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", small.name, "--gpu", name)
    assert answer.code == 2 and f"a card of {maker}: nothing was measured" in answer.err
    small.write_text(SMALL + f"hardware: {{gpu: {name}}}\n", encoding="utf-8")
    assert f"nothing was measured on {maker}'s cards" in ftspec_("check", small.name).out


def test_time_and_cost(small: Path, ftspec_: Ftspec) -> None:
    small.write_text(SMALL + "hardware: {gpu: h200, price_per_hour: 3600}\n", encoding="utf-8")
    time = ftspec_("check", small.name, "--json").json["time"]
    assert time["measured"] and time["note"] == ""
    assert time["seconds_low"] < time["seconds"] < time["seconds_high"]
    assert time["cost"] == pytest.approx(time["seconds"], abs=0.02)
    shown = ftspec_("check", small.name).out
    assert "time:   about " in shown and "tokens/s (" in shown and "costs " in shown


def test_no_time_on_the_cpu(small: Path, ftspec_: Ftspec) -> None:
    answer = ftspec_("check", small.name, "--json").json["time"]
    assert (answer["seconds"], answer["note"]) == (None, "speed is not predicted on the CPU")
    assert "time:" not in ftspec_("check", small.name).out
