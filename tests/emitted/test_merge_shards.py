"""shards.py: merged tensor by tensor, bit for bit what peft merges in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from emitted_modules import imported
from projects import Trained
from tiny import make_gpt2, make_llama

Find = Callable[[str], Trained]
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
SOURCE = {"revision": None, "trust_remote_code": False}
# What an adapter may be: peft's options, and the base they are for.
ADAPTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("llama", {"target_modules": "all-linear"}),
    "rslora": ("llama", {"target_modules": ["q_proj", "down_proj"], "use_rslora": True}),
    "dora": ("llama", {"target_modules": ["q_proj", "v_proj"], "use_dora": True}),
    "output": ("llama", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
    "embedding": ("llama", {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}),
    "untied-output": ("untied", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
    "conv1d": ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
    "conv1d-dora": (
        "gpt2",
        {"target_modules": ["c_attn"], "fan_in_fan_out": True, "use_dora": True},
    ),
    "all-biases": (
        "gpt2",
        {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True, "bias": "all"},
    ),
    "some-biases": (
        "gpt2",
        {"target_modules": ["c_attn"], "fan_in_fan_out": True, "bias": "lora_only"},
    ),
}


@pytest.fixture(scope="module")
def shards(trained: Find) -> Iterator[ModuleType]:
    with imported(trained("lora").project, "shards") as module:
        yield module


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("bases")
    make_llama(folder / "llama")
    make_gpt2(folder / "gpt2")
    config = AutoConfig.from_pretrained(str(folder / "llama"), tie_word_embeddings=False)
    torch.manual_seed(5)
    untied = AutoModelForCausalLM.from_config(config)
    untied.save_pretrained(str(folder / "untied"), max_shard_size="60KB")
    return folder


def adapter(base: Path, folder: Path, dtype: Any, options: dict[str, Any]) -> Path:
    """Make an adapter whose every number has moved."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=dtype)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, **options)
    tuned = get_peft_model(model, config)
    for weight in tuned.parameters():
        if weight.requires_grad:
            weight.data += 0.05 * torch.randn_like(weight)
    tuned.save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.filterwarnings("ignore:.*tied.*:UserWarning")
@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
def test_tensors_are_bit_for_bit_those_of_peft(
    kind: str, dtype: str, bases: Path, shards: ModuleType, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    name, options = ADAPTERS[kind]
    base, how = bases / name, getattr(torch, dtype)
    final = adapter(base, tmp_path / "final", how, options)
    shards.merge_by_tensors(str(base), SOURCE, final, tmp_path / "merged", how)

    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=how)
    model = PeftModel.from_pretrained(model, str(final))
    expected = model.merge_and_unload(safe_merge=True).eval()
    found = AutoModelForCausalLM.from_pretrained(str(tmp_path / "merged")).eval()
    assert found.dtype == how
    theirs, ours = expected.state_dict(), found.state_dict()
    assert set(ours) == set(theirs)
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    ids = torch.arange(5, 25).reshape(2, 10)
    with torch.no_grad():
        assert torch.equal(found(input_ids=ids).logits, expected(input_ids=ids).logits)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.filterwarnings("ignore:.*tied.*:UserWarning")
@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
def test_an_adapted_embedding_leaves_the_output_as_it_was(
    bases: Path, shards: ModuleType, tmp_path: Path
) -> None:
    """The adapter changes the embedding alone; peft's own merge changes the output tied to it."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base, options = bases / "llama", {"target_modules": ["q_proj", "embed_tokens"]}
    final = adapter(base, tmp_path / "final", torch.float32, options)
    shards.merge_by_tensors(str(base), SOURCE, final, tmp_path / "merged", torch.float32)
    ids = torch.arange(5, 25).reshape(2, 10)
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(str(base)).eval()
        tuned = PeftModel.from_pretrained(plain, str(final)).eval()
        expected = tuned(input_ids=ids).logits
        found = AutoModelForCausalLM.from_pretrained(str(tmp_path / "merged")).eval()
        assert torch.allclose(found(input_ids=ids).logits, expected, atol=1e-5)
        theirs = tuned.merge_and_unload(safe_merge=True)
        assert not torch.allclose(theirs(input_ids=ids).logits, expected, atol=1e-2)


def test_no_more_than_a_file_is_held(
    bases: Path, shards: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    base = bases / "untied"
    final = adapter(base, tmp_path / "final", torch.float32, {"target_modules": "all-linear"})
    shards.merge_by_tensors(str(base), SOURCE, final, tmp_path / "at-once", torch.float32)
    (whole,) = (tmp_path / "at-once").glob("*.safetensors")
    tensors = load_file(whole)
    largest = max(tensor.nbytes for tensor in tensors.values())

    held = []

    def watched(shard: dict[str, Any], *others: Any, **options: Any) -> None:
        held.append(sum(tensor.nbytes for tensor in shard.values()))
        save_file(shard, *others, **options)

    limit = 70_000
    monkeypatch.setattr(shards, "SHARD", limit)
    monkeypatch.setattr(shards, "save_file", watched)
    folder = tmp_path / "parts"
    shards.merge_by_tensors(str(base), SOURCE, final, folder, torch.float32)
    assert max(held) <= max(limit, largest)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in tensors.values())
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    assert names == [f"model-{n:05}-of-{len(held):05}.safetensors" for n in range(1, len(held) + 1)]
    assert set(index["weight_map"].values()) == set(names) and len(names) > 3
    for name, file in index["weight_map"].items():
        assert torch.equal(load_file(folder / file)[name], tensors[name])


def test_the_base_that_comes_without_its_prefix(
    bases: Path, shards: ModuleType, tmp_path: Path
) -> None:
    """As gpt2's own file has it: `h.0.attn.c_attn.weight`, with no `transformer.` before it."""
    import torch
    from safetensors.torch import load_file, save_file

    base = tmp_path / "base"
    shutil.copytree(bases / "gpt2", base)
    tensors = load_file(base / "model.safetensors")
    short = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    save_file(short, base / "model.safetensors", metadata={"format": "pt"})
    name, options = ADAPTERS["conv1d"]
    final = adapter(bases / name, tmp_path / "final", torch.float32, options)
    for place, folder in ((base, "short"), (bases / "gpt2", "long")):
        shards.merge_by_tensors(str(place), SOURCE, final, tmp_path / folder, torch.float32)
    found = load_file(tmp_path / "short" / "model.safetensors")
    expected = load_file(tmp_path / "long" / "model.safetensors")
    assert {f"transformer.{key}" for key in found} == set(expected)
    assert all(torch.equal(found[key], expected[f"transformer.{key}"]) for key in found)


def test_files_that_do_not_hold_what_is_changed(
    bases: Path, shards: ModuleType, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    base = tmp_path / "base"
    shutil.copytree(bases / "llama", base)
    options = {"target_modules": ["q_proj"]}
    final = adapter(base, tmp_path / "final", torch.float32, options)
    tensors = load_file(base / "model.safetensors")
    tensors["fused"] = tensors.pop("model.layers.1.self_attn.q_proj.weight")
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(shards.NotByTensorsError, match=r"holds model.layers.1.self_attn.q_proj"):
        shards.merge_by_tensors(str(base), SOURCE, final, tmp_path / "merged", torch.float32)
    assert not (tmp_path / "merged").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "double"), [("nf4", True), ("nf4", False), ("fp4", True), ("int8", False)]
)
def test_a_dequantized_weight_is_what_the_quantized_layer_holds(
    kind: str, double: bool, bases: Path, shards: ModuleType
) -> None:
    import torch
    from peft.utils.integrations import dequantize_module_weight
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    how = BitsAndBytesConfig(
        load_in_4bit=kind != "int8",
        load_in_8bit=kind == "int8",
        bnb_4bit_quant_type=kind if kind != "int8" else "nf4",
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = AutoModelForCausalLM.from_pretrained(
        str(bases / "llama"), dtype=torch.float32, quantization_config=how
    )
    name = "model.layers.0.mlp.down_proj"
    weight = load_file(bases / "llama" / "model.safetensors")[f"{name}.weight"]
    found = shards.as_trained(weight, {"type": kind, "double": double})
    expected = dequantize_module_weight(model.get_submodule(name))
    assert torch.allclose(found, expected.float(), atol=1e-7)
    assert not torch.allclose(found, weight, atol=1e-5)
