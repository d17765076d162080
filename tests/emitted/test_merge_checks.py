"""merge.py: the right base alone, verified, measured, and handed over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emitted_modules import imported
from projects import METHODS, Trained, run
from tiny import make_llama

Find = Callable[[str], Trained]
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def final(made: Trained) -> Path:
    return made.project / "runs" / "1" / "final"


@pytest.fixture(scope="module")
def compared(trained: Find, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The QLoRA project again, merged both ways; `shown.txt` is what was printed."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(trained("qlora").project.parent, folder, dirs_exist_ok=True)
    shown = run(folder / "project", "merge.py", "--compare").stdout
    (folder / "shown.txt").write_text(shown)
    return folder


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "project/runs/1/merge.json").read_text())
    return found


def test_qlora_is_merged_both_ways_and_measured(compared: Path) -> None:
    found, shown = result(compared), (compared / "shown.txt").read_text()
    for kind in ("original", "dequantized"):
        assert found[kind]["error"] < found[kind]["tolerance"] < found[kind]["effect"]
        assert found[kind]["same_next_token"] == 1
    scores = found["perplexity"]
    assert set(scores) == {"adapter", "merged", "merged-dequantized"}
    off = {name: abs(scores[name]["change"]) for name in ("merged", "merged-dequantized")}
    assert off["merged-dequantized"] < off["merged"] < 0.05
    assert "merged and adapter: logits differ by 0.0" in shown
    assert f"{scores['adapter']['value']:,.4f}" in shown


def test_the_two_merges_differ_by_the_quantization_alone(compared: Path) -> None:
    import torch
    from safetensors.torch import load_file

    run_folder = compared / "project" / "runs" / "1"
    told = json.loads((run_folder / "final" / "base.json").read_text())
    whole, rough = (
        load_file(run_folder / name / "model.safetensors")
        for name in ("merged", "merged-dequantized")
    )
    layers = {f"{name}.weight" for name in told["quantization"]["layers"]}
    assert len(layers) == 14
    assert {name for name in whole if not torch.equal(whole[name], rough[name])} == layers


def test_a_merged_model_is_whole(compared: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for name in ("merged", "merged-dequantized"):
        folder = compared / "project" / "runs" / "1" / name
        assert not list(folder.glob("adapter*"))
        assert (folder / "generation_config.json").exists()
        AutoModelForCausalLM.from_pretrained(str(folder))
        assert AutoTokenizer.from_pretrained(str(folder)).chat_template
    assert not list((compared / "project" / "runs" / "1").glob("*.partial"))


def test_the_hand_over_is_printed(compared: Path) -> None:
    shown = (compared / "shown.txt").read_text()
    merged = compared / "project" / "runs" / "1" / "merged"
    assert f"vllm serve {merged}" in shown
    assert f"convert_hf_to_gguf.py {merged} --outfile {merged}/model.gguf --outtype f32" in shown
    assert f"ollama create project -f {merged}/Modelfile" in shown


def test_merged_in_memory_is_merged_by_tensors(trained: Find, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    made = trained("lora")
    shutil.copytree(made.project.parent, tmp_path, dirs_exist_ok=True)
    found = []
    for options in ([], ["--whole"]):
        shown = run(tmp_path / "project", "merge.py", *options).stdout
        assert ("in memory (--whole)" in shown) is bool(options)
        found.append(load_file(tmp_path / "project/runs/1/merged/model.safetensors"))
    assert set(found[0]) == set(found[1])
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    told = run(tmp_path / "project", "merge.py", "--into", "dequantized", check=78).stderr
    assert "the base was not quantized: there is nothing to dequantize" in told


def test_a_wrong_base_is_refused(trained: Find, tmp_path: Path) -> None:
    """One of the same shape, with other numbers."""
    import torch

    made = trained("lora")
    shutil.copytree(made.project.parent, tmp_path, dirs_exist_ok=True)
    torch.manual_seed(9)
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(made.base))
    AutoModelForCausalLM.from_config(config).save_pretrained(str(tmp_path / "other"))
    project = tmp_path / "project"
    shutil.rmtree(project / "runs" / "1" / "merged", ignore_errors=True)
    told = run(project, "merge.py", "--base", str(tmp_path / "other"), check=78).stderr
    assert "other is the wrong base: its weights are not those it was trained on" in told
    assert not (project / "runs" / "1" / "merged").exists()
    (tmp_path / "llama").rename(tmp_path / "moved")
    assert "cannot be read" in run(project, "merge.py", check=78).stderr
    run(project, "merge.py", "--base", str(tmp_path / "moved"))


def test_verifying_sees_a_merge_that_is_none(trained: Find, tmp_path: Path) -> None:
    made = trained("lora")
    with imported(made.project, "merge") as merge:
        found = merge.verify(final(made), made.base, str(made.base), None, None)
        assert found is not None
        assert found["error"] == pytest.approx(found["effect"])
        assert found["error"] > found["tolerance"]


def test_without_room_nothing_is_verified(
    trained: Find, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = trained("lora")
    with imported(made.project, "merge") as merge:
        monkeypatch.setattr(merge.psutil, "virtual_memory", lambda: type("", (), {"available": 9}))
        assert merge.verify(final(made), made.base, str(made.base), None, None) is None
    assert "not verified: the model takes 0.0 GiB" in capsys.readouterr().out


def test_the_base_is_known_by_what_its_tensors_hold(trained: Find, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    made = trained("lora")
    with imported(made.project, "base") as base:
        expected = base.read_base(final(made))["weights"]
        assert base.weights_hash(base.weight_files(str(made.base))) == expected
        model = AutoModelForCausalLM.from_pretrained(str(made.base))
        model.save_pretrained(str(tmp_path / "parts"), max_shard_size="60KB")
        files = base.weight_files(str(tmp_path / "parts"))
        assert len(files) > 2
        assert base.weights_hash(files) == expected, "however tensors are spread over files"
        tensors = load_file(made.base / "model.safetensors")
        tensors["model.norm.weight"] = tensors["model.norm.weight"] + 0.01
        other = make_llama(tmp_path / "other")
        save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
        assert base.weights_hash(base.weight_files(str(other))) != expected
        assert base.weights_hash([]) is None
    assert torch.is_tensor(tensors["model.norm.weight"])


ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from base import describe, how_to_load
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained("org/bot")
facts = describe(model)
print(json.dumps([facts, how_to_load(model, True, facts["commit"])]))
"""


def test_a_base_of_the_hub_is_known_by_its_commit(trained: Find, tmp_path: Path) -> None:
    """As it lies in the hub's cache, with nothing fetched."""
    made, commit = trained("lora"), "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "hub" / "models--org--bot"
    shutil.copytree(made.base, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    (tmp_path / "ask.py").write_text(ASK)
    env = {"HF_HUB_CACHE": str(tmp_path / "hub")}
    shown = run(tmp_path, "ask.py", str(made.project), **env).stdout
    facts, lines = json.loads(shown.splitlines()[-1])
    assert (facts["name"], facts["commit"]) == ("org/bot", commit)
    expected = json.loads((final(made) / "base.json").read_text())
    assert facts["weights"] == expected["weights"] and expected["commit"] is None
    assert f"from_pretrained('org/bot', revision='{commit}', dtype='float32')" in lines[2]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_a_run_leaves_loads_in_plain_peft_and_transformers(method: str, trained: Find) -> None:
    """The lines that train.py prints, run as they stand, and the model that they give."""
    import torch

    made = trained(method)
    lines = json.loads((final(made) / "base.json").read_text())["load"]
    assert len([line for line in lines if " = " in line]) <= 3
    found: dict[str, Any] = {}
    exec("\n".join(lines).replace("FINAL", repr(str(final(made)))), found)
    assert found["tokenizer"].eos_token == "<|end|>"
    with imported(made.project, "evaluate") as evaluate:
        tokenizer = evaluate.load_tokenizer()
        rows = evaluate.held_out(tokenizer)
        ours = evaluate.losses(evaluate.load_tuned(final(made)).eval(), rows, 0)
        plain = evaluate.losses(found["model"].eval(), rows, 0)
        base = evaluate.losses(evaluate.load_base().eval(), rows, 0)
    assert torch.allclose(plain, ours, rtol=1e-4)
    assert not torch.allclose(plain, base, rtol=1e-2)
