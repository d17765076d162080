"""The guide's table: from which start, beside which figures, and which cards it fits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from machines import cards

from ftspec.compiler.facts.gpus import find_gpu
from ftspec.compiler.facts.hardware import Hardware, named
from ftspec.compiler.methods import (
    CARDS,
    GUIDE,
    GUIDE_GB,
    METHODS,
    NoMethodsError,
    Prediction,
    guide_size,
    predict_methods,
    spec_text,
)
from ftspec.compiler.pipeline import compile_spec
from ftspec.spec.parse import parse

H200 = cards("h200")
SEVEN_B = "meta-llama/Llama-2-7b-hf"


@pytest.fixture(scope="module")
def seven_b() -> dict[str, Prediction]:
    return {item.method: item for item in predict_methods(SEVEN_B, Path(), H200)}


def test_all_methods_start_where_the_guide_does(seven_b: dict[str, Prediction]) -> None:
    assert list(seven_b) == list(METHODS) == list(GUIDE)
    for method, item in seven_b.items():
        plan = item.plan
        assert (plan.train.batch_size, plan.train.gradient_accumulation) == (4, 4)
        assert (plan.data.max_length, plan.data.packing, plan.train.compile) == (512, False, False)
        assert plan.train.activation_checkpointing is (method != "prefix")
        assert plan.model.dtype == ("float32" if method == "full" else "bfloat16")
        if method in ("lora", "qlora"):
            assert (plan.method.r, plan.method.alpha, plan.method.dropout) == (16, 32, 0.05)
    assert seven_b["qlora"].plan.method.quantization == "nf4"


@pytest.mark.parametrize("method", METHODS)
def test_the_spec_needs_nothing_but_data(method: str, seven_b: dict[str, Prediction]) -> None:
    """A person who writes that spec gets the same prediction."""
    text = spec_text(SEVEN_B, seven_b[method].method, None)
    parsed = parse(text.replace("{max_length", "{train: a/b, max_length"), "ftspec.yaml")
    compiled = compile_spec(parsed, Path(), H200)
    assert compiled.plan is not None
    assert compiled.plan.memory == seven_b[method].plan.memory


def test_the_guides_figures_stand_beside(seven_b: dict[str, Prediction]) -> None:
    figures = {method: item.guide_gb for method, item in seven_b.items()}
    assert figures == {"full": 28, "lora": 16, "qlora": 6, "prefix": 8, "prompt": 4}


def test_where_physics_and_the_guide_part(seven_b: dict[str, Prediction]) -> None:
    remarks = {method: item.remark for method, item in seven_b.items()}
    assert remarks["full"].startswith("the float32 weights alone are 27.0 GB; on top come")
    assert "optimizer state 53.9" in remarks["full"]
    assert "stored in bfloat16" in remarks["full"]
    for method in ("lora", "qlora"):
        assert remarks[method].startswith("agrees: ")
    for method in ("prefix", "prompt"):
        assert remarks[method].startswith("the bfloat16 weights alone are 13.5 GB")


def test_other_sizes() -> None:
    thirteen = {m.method: m for m in predict_methods("meta-llama/Llama-2-13b-hf", Path(), H200)}
    assert [thirteen[m].guide_gb for m in METHODS] == [52, 28, 12, None, None]
    assert thirteen["qlora"].remark.endswith("GB are enough")
    assert thirteen["prefix"].remark == ""
    seventy = {m.method: m for m in predict_methods("meta-llama/Meta-Llama-3-70B", Path(), H200)}
    assert [seventy[m].guide_gb for m in METHODS] == [280, 80, 48, None, None]
    assert seventy["lora"].remark.startswith("the bfloat16 weights alone are 141.1 GB")
    small = predict_methods("HuggingFaceTB/SmolLM2-135M", Path(), H200)
    assert {(item.guide_gb, item.remark) for item in small} == {(None, "")}


@pytest.mark.parametrize(
    ("billions", "size"),
    [(6.7, "7B"), (8.03, "7B"), (13.0, "13B"), (70.6, "70B"), (3.2, None), (32.8, None), (0, None)],
)
def test_the_guides_sizes(billions: float, size: str | None) -> None:
    assert guide_size(round(billions * 1e9)) == size
    assert guide_size(None) is None


def test_every_guide_figure_has_its_method() -> None:
    for low, high, figures in GUIDE_GB.values():
        assert low < high and set(figures) <= set(METHODS)


# Cards


def test_every_card_is_known_and_sizes_go_up() -> None:
    memory = []
    for _, names, count in CARDS:
        found = [find_gpu(name) for name in names]
        assert all(found)
        memory.append(count * min(gpu.usable_bytes for gpu in found if gpu))
    assert memory[:10] == sorted(memory[:10])


@pytest.mark.parametrize("model", [SEVEN_B, "meta-llama/Meta-Llama-3-70B"])
def test_verdicts_are_those_of_check(model: str) -> None:
    """What is decided without planning anew is what planning would say."""
    for item in predict_methods(model, Path(), H200):
        text = spec_text(model, item.method, None)
        for fit, (size, names, count) in zip(item.fits, CARDS, strict=True):
            assert fit.size == size
            parsed = parse(text.replace("{max_length", "{train: a/b, max_length"), "ftspec.yaml")
            verdicts = []
            for name in names:
                gpu = find_gpu(name)
                assert gpu is not None
                compiled = compile_spec(parsed, Path(), named(gpu, count))
                assert compiled.plan is not None
                verdicts.append(compiled.plan.memory.verdict)
            worst = min(verdicts, key=("no", "tight", "fits").index)
            assert fit.verdict == worst, (item.method, size)


def test_a_larger_card_never_fits_less(seven_b: dict[str, Prediction]) -> None:
    order = ("no", "tight", "fits")
    for item in seven_b.values():
        ranks = [order.index(fit.verdict) for fit in item.fits if "x" not in fit.size]
        assert ranks == sorted(ranks), item.method
    assert {fit.size: fit.verdict for fit in seven_b["qlora"].fits}["8"] == "fits"
    assert {fit.size: fit.verdict for fit in seven_b["full"].fits}["80"] == "no"


def test_a_model_too_large_for_one_card_is_spread() -> None:
    seventy = {m.method: m for m in predict_methods("meta-llama/Meta-Llama-3-70B", Path(), H200)}
    fits = {fit.size: fit for fit in seventy["lora"].fits}
    assert fits["80"].verdict == "no"
    assert fits["4x80"].verdict == "fits" and fits["4x80"].split


def test_the_card_asked_about_decides_dtype_and_speed() -> None:
    t4 = {item.method: item for item in predict_methods(SEVEN_B, Path(), cards("t4"))}
    assert t4["lora"].plan.model.dtype == "float16"
    assert "stored in bfloat16" not in t4["full"].remark
    h200 = {item.method: item for item in predict_methods(SEVEN_B, Path(), H200)}
    for method in METHODS:
        slow, fast = t4[method].speed.tokens_per_second, h200[method].speed.tokens_per_second
        assert slow is not None and fast is not None and slow < fast


# Models that are no catalogue entries


def test_a_folder(world: Path) -> None:
    found = predict_methods("llama", world, H200)
    assert all(item.plan.memory.verdict == "fits" for item in found)
    assert {item.plan.data.max_length for item in found} == {236}  # 256 positions, less a prompt


def test_an_unknown_model_has_no_memory_and_no_verdicts(world: Path) -> None:
    for item in predict_methods("nobody/nothing-of-that-name", world, H200):
        assert item.plan.memory.verdict == "unknown"
        assert {fit.verdict for fit in item.fits} == {"unknown"}
        assert item.speed.tokens_per_second is None


@pytest.mark.parametrize("name", ["./nowhere", "lies", "train.jsonl"])
def test_a_model_that_cannot_be_read(name: str, world: Path) -> None:
    with pytest.raises(NoMethodsError):
        predict_methods(name, world, H200)


def test_a_name_is_quoted_in_the_spec() -> None:
    text = spec_text('a "quoted": name', "lora", None)
    spec = parse(text.replace("{max_length", "{train: a/b, max_length"), "x").spec
    assert spec is not None and spec.model.name == json.loads(json.dumps('a "quoted": name'))


def test_without_a_card_the_cpu_would_train() -> None:
    found = predict_methods("HuggingFaceTB/SmolLM2-135M", Path(), Hardware((), 64 * 2**30, 8))
    assert {item.plan.hardware.device for item in found} == {"cpu"}
    assert {item.speed.note for item in found} == {"speed is not predicted on the CPU"}
