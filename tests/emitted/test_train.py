"""Emitted scripts, run: trained, stopped, resumed; what learns has changed, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import METHODS, Trained, events, of_kind, tree_digest

Find = Callable[[str], Trained]


@pytest.mark.parametrize("method", METHODS)
def test_sigterm_stops_with_a_whole_checkpoint(method: str, trained: Find) -> None:
    made = trained(method)
    assert made.stop_code == 75
    found = events(made.stopped)
    assert found[-1]["event"] == "stop" and found[-1]["code"] == 75
    last = of_kind(found, "checkpoint")[-1]
    assert last["step"] == found[-1]["step"]
    checkpoint = made.stopped / "runs" / "1" / last["path"]
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    files = {p.relative_to(checkpoint).as_posix() for p in checkpoint.rglob("*") if p.is_file()}
    assert set(manifest) == files - {"manifest.json"}
    assert not (made.stopped / "runs" / "1" / "final").exists()


@pytest.mark.parametrize("method", METHODS)
def test_the_next_start_resumes_and_finishes(method: str, trained: Find) -> None:
    made = trained(method)
    stopped, found = events(made.stopped), events(made.project)
    first, second = of_kind(found, "start")
    assert first["resumed_from"] is None
    assert second["resumed_from"] == of_kind(stopped, "checkpoint")[-1]["path"]
    assert second["plan_hash"] == json_plan_hash(made.project)
    steps = [event["step"] for event in of_kind(found, "step")]
    assert steps == list(range(1, 61)), "each step is logged once, over both attempts"
    assert all(
        {"loss", "grad_norm", "learning_rate", "tokens"} <= set(e) for e in of_kind(found, "step")
    )
    assert [e["step"] for e in of_kind(found, "eval")] == list(range(10, 61, 10))
    assert of_kind(found, "checkpoint")[-1]["step"] == 60
    assert found[-1] | {"time": 0} == {"event": "end", "time": 0, "step": 60, "final": "final"}
    assert (made.project / "runs" / "1" / "final").is_dir()
    assert not list((made.project / "runs" / "1").glob("*.partial"))


def json_plan_hash(project: Path) -> str:
    text = (project / "train.py").read_text()
    return next(line.split('"')[1] for line in text.splitlines() if line.startswith("PLAN = "))


@pytest.mark.parametrize("method", METHODS)
def test_it_learns(method: str, trained: Find) -> None:
    losses = [event["loss"] for event in of_kind(events(trained(method).project), "step")]
    assert sum(losses[-10:]) < sum(losses[:10])


LEARNT: dict[str, Callable[[str], bool]] = {
    "full": lambda name: True,
    "lora": lambda name: "lora_" in name,
    "qlora": lambda name: "lora_" in name,
    "prefix": lambda name: "prompt_encoder" in name,
    "prompt": lambda name: "prompt_encoder" in name,
}


@pytest.mark.parametrize("method", METHODS)
def test_what_the_method_trains_has_changed_and_all_else_has_not(
    method: str, trained: Find
) -> None:
    made = trained(method)
    report = made.report
    expected = [name for name in report["parameters"] if LEARNT[method](name)]
    assert expected
    assert report["trainable"] == expected
    assert report["changed"] == expected
    assert tree_digest(made.base) == made.base_digest, "the base's own files are as they were"


def test_full_writes_weights_that_all_differ_from_the_base(trained: Find) -> None:
    made = trained("full")
    base, final = weights(made.base), weights(made.project / "runs" / "1" / "final")
    assert set(final) == set(base)
    assert all((base[name] != final[name]).any() for name in base)


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_lora_writes_adapters_alone(method: str, trained: Find) -> None:
    final = weights(trained(method).project / "runs" / "1" / "final")
    modules = 7 if method == "lora" else 4
    assert len(final) == 2 * 2 * modules  # A and B of each module in each of two layers
    assert all("lora_A" in name or "lora_B" in name for name in final)
    assert all(final[name].any() for name in final), "B starts at zero and has moved"


@pytest.mark.parametrize(("method", "width"), [("prefix", 2 * 2 * 2 * 16), ("prompt", 64)])
def test_prompt_learning_writes_the_virtual_tokens_alone(
    method: str, width: int, trained: Find
) -> None:
    final = weights(trained(method).project / "runs" / "1" / "final")
    assert {name: tuple(value.shape) for name, value in final.items()} == {
        "prompt_embeddings": (4, width)
    }


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (file,) = folder.glob("*.safetensors")
    return load_file(file)


@pytest.mark.parametrize("method", METHODS)
def test_final_brings_its_tokenizer_and_template(method: str, trained: Find) -> None:
    final = trained(method).project / "runs" / "1" / "final"
    assert (final / "tokenizer.json").is_file()
    if method in ("lora", "qlora", "prefix"):
        assert (final / "chat_template.jinja").is_file()


def test_qlora_keeps_its_base_quantized_and_its_adapter_apart(trained: Find) -> None:
    dtypes = trained("qlora").report["dtypes"]
    quantized = [name for name, dtype in dtypes.items() if dtype == "torch.uint8"]
    assert len(quantized) == 2 * 7
    assert not any("lora" in name for name in quantized)
