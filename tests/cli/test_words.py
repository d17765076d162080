"""Several words on the command line: one name together, or several names in turn."""

from __future__ import annotations

import pytest
from commands import Ftspec

from ftspec.cli.words import NothingFitsError, rows_of_words

NAMES = ("red fox", "red hen", "grey goose", "grey hen")


def fitting(text: str) -> list[str]:
    return [name for name in NAMES if all(word in name for word in text.split())]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("red", ["red fox", "red hen"]),
        ("red fox", ["red fox"]),
        ("fox goose", ["red fox", "grey goose"]),
        ("goose fox", ["grey goose", "red fox"]),
        ("red fox grey goose", ["red fox", "grey goose"]),
        ("red, hen", ["red fox", "red hen", "grey hen"]),
        ("fox, goose ,hen", ["red fox", "grey goose", "red hen", "grey hen"]),
        ("hen red", ["red hen"]),
        ("hen fox hen", ["red hen", "grey hen", "red fox"]),
    ],
)
def test_words_name_one_thing_or_several(text: str, rows: list[str]) -> None:
    assert rows_of_words(text, fitting) == rows


@pytest.mark.parametrize(
    ("text", "asked"),
    [("cow", "cow"), ("fox cow", "cow"), ("cow fox", "cow"), (" , ", " , "), ("big cow", "big")],
)
def test_what_fits_nothing_is_told(text: str, asked: str) -> None:
    with pytest.raises(NothingFitsError) as caught:
        rows_of_words(text, fitting)
    assert caught.value.text == asked


def test_a_word_that_fits_many_is_told_with_the_one_that_fits_none() -> None:
    many = [f"card {number}" for number in range(20)]
    with pytest.raises(NothingFitsError, match="card 77"):
        rows_of_words("card 77", lambda text: [name for name in many if text in name])


def test_many_words_are_no_trouble() -> None:
    assert rows_of_words("hen fox " * 50, fitting) == ["red hen", "grey hen", "red fox"]


@pytest.mark.parametrize(
    ("words", "first", "last", "count"),
    [
        (["4090", "a100"], "GeForce RTX 4090", "A100 80GB PCIe", 7),
        (["rtx", "4090"], "GeForce RTX 4090", "GeForce RTX 4090 Laptop GPU", 3),
        (["rtx", "4090", "a100", "80gb"], "GeForce RTX 4090", "A100 80GB PCIe", 5),
        (["a100,", "t4"], "A100-SXM4-40GB", "T4G", 6),
        (["2", "x", "t4"], "Tesla T4", "Tesla T4", 1),
    ],
)
def test_gpus_by_several_words(
    words: list[str], first: str, last: str, count: int, ftspec_: Ftspec
) -> None:
    found = [item["name"] for item in ftspec_("gpus", *words, "--json").json["gpus"]]
    assert (found[0].removeprefix("NVIDIA "), found[-1].removeprefix("NVIDIA ")) == (first, last)
    assert len(found) == len(set(found)) == count


def test_gpus_without_a_match_have_near_names(ftspec_: Ftspec) -> None:
    answer = ftspec_("gpus", "rtx", "4095")
    assert (answer.code, answer.out) == (2, "")
    assert "no card `rtx 4095`. Did you mean `NVIDIA GeForce RTX 4090`" in answer.err
    answer = ftspec_("gpus", "4090", "a10000")
    assert answer.code == 2 and "no card `a10000`. Did you mean" in answer.err
    assert "Did you mean" not in ftspec_("gpus", "zzzz", "qqqq").err
    assert ftspec_("gpus", "--here", "rtx", "4090").code == 2


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["llama", "3.1", "8b"], ["meta-llama/Llama-3.1-8B"]),
        (["gpt2", "distilgpt2"], ["openai-community/gpt2", "distilbert/distilgpt2"]),
        (
            ["mixtral", "8x7b", "gpt2-xl"],
            ["mistralai/Mixtral-8x7B-v0.1", "openai-community/gpt2-xl"],
        ),
        (
            ["mistralai/mixtral-8x7b-v0.1,", "gpt2"],
            ["mistralai/Mixtral-8x7B-v0.1", "openai-community/gpt2"],
        ),
    ],
)
def test_models_by_several_words(words: list[str], found: list[str], ftspec_: Ftspec) -> None:
    answer = ftspec_("models", *words, "--json")
    assert [row["id"] for row in answer.json["models"]] == found


def test_models_without_a_match_have_near_names(ftspec_: Ftspec) -> None:
    answer = ftspec_("models", "gpt2-xl", "Mistral-7b-v3.0x")
    assert (answer.code, answer.out) == (2, "")
    assert "No model `Mistral-7b-v3.0x`. Did you mean `mistral" in answer.err
