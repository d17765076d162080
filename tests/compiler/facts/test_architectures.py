"""Every family of decoders, held against what transformers builds on the meta device."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftspec.compiler.facts.architectures import ARCHITECTURES
from ftspec.compiler.facts.config import NESTED_DEFAULTS, ModelUnreadableError, shape_of

torch = pytest.importorskip("torch", reason="torch builds models on its meta device")
transformers = pytest.importorskip("transformers", reason="transformers builds the models")

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 128, "n_positions": 32}
WITHOUT_KV = {key: value for key, value in SMALL.items() if key != "num_key_value_heads"}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 40}
LATENT = {"kv_lora_rank": 24, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12}
# Where the usual keys are not the ones of a family, or not enough.
OTHERS: dict[str, dict[str, Any]] = {
    "gpt2": GPT,
    "gpt_bigcode": GPT,
    "gptj": GPT | {"rotary_dim": 8},
    "codegen": GPT | {"rotary_dim": 8},
    "gpt_neo": {
        "hidden_size": 64,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "vocab_size": 128,
        "max_position_embeddings": 32,
    },
    "mpt": {"d_model": 64, "n_layers": 2, "n_heads": 4, "vocab_size": 128, "max_seq_len": 32},
    "opt": WITHOUT_KV | {"ffn_dim": 96, "word_embed_proj_dim": 64, "intermediate_size": None},
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 128},
    "falcon": WITHOUT_KV | {"intermediate_size": None},
    "gpt_neox": WITHOUT_KV,
    "persimmon": WITHOUT_KV,
    "mixtral": SMALL | {"num_local_experts": 6, "num_experts_per_tok": 2},
    "phimoe": SMALL | {"num_local_experts": 6, "num_experts_per_tok": 2},
    "granitemoe": SMALL | {"num_local_experts": 6, "num_experts_per_tok": 2},
    "granitemoeshared": SMALL
    | {"num_local_experts": 6, "num_experts_per_tok": 2, "shared_intermediate_size": 20},
    "gpt_oss": SMALL | {"num_local_experts": 6, "num_experts_per_tok": 2},
    "olmoe": SMALL | {"num_experts": 6, "num_experts_per_tok": 2},
    "qwen2_moe": SMALL | EXPERTS | {"num_experts": 6, "shared_expert_intermediate_size": 20},
    "qwen3_moe": SMALL | EXPERTS | {"num_experts": 6},
    "glm4_moe": SMALL
    | EXPERTS
    | {"n_routed_experts": 6, "n_shared_experts": 1, "first_k_dense_replace": 1},
    "deepseek_v2": SMALL
    | EXPERTS
    | LATENT
    | {"n_routed_experts": 6, "n_shared_experts": 2, "first_k_dense_replace": 1}
    | {"q_lora_rank": None},
    "deepseek_v3": SMALL
    | EXPERTS
    | LATENT
    | {"n_routed_experts": 6, "n_shared_experts": 1, "first_k_dense_replace": 1}
    | {"q_lora_rank": 20, "n_group": 1, "topk_group": 1},
}


def small(kind: str, **changes: Any) -> dict[str, Any]:
    """Return a small config of a family."""
    return {"model_type": kind, **{k: v for k, v in OTHERS.get(kind, SMALL).items()}, **changes}


def build(config: dict[str, Any], device: str = "meta") -> Any:
    """Build a model; on the meta device, without weights."""
    rope = {"rope_type": "default", "rope_theta": 10_000.0}
    given_keys = {key: value for key, value in config.items() if value is not None}
    for key in ("q_lora_rank",):  # here, null says something
        if key in config:
            given_keys[key] = config[key]
    if config["model_type"] in (
        "apertus",
        "ministral3",
        "gpt_oss",
    ):  # their own is for more positions
        given_keys["rope_parameters"] = rope
    if config["model_type"] == "ministral3":
        rope |= {"llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 32}
    with torch.device(device):
        return transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(**given_keys)
        )


def compare(config: dict[str, Any]) -> None:
    """Hold parameters, names and widths against the model that transformers builds."""
    model = build(config)
    shape = shape_of(config, "config.json")
    assert shape.parameters == sum(weight.numel() for weight in model.parameters())
    family = shape.family
    assert family is not None
    linears = {
        name: module
        for name, module in model.named_modules()
        if ".1." in name and ".experts." not in name
        if type(module).__name__.endswith(("Linear", "Conv1D"))
    }
    found = set()
    for name, inputs, outputs in shape.linears():
        (module,) = [m for path, m in linears.items() if path.endswith("." + name)]
        conv = type(module).__name__ == "Conv1D"
        assert tuple(module.weight.shape) == ((inputs, outputs) if conv else (outputs, inputs)), (
            name
        )
        assert family.conv1d is conv
        found.add(module)
    if family.mixture is None:
        assert found == set(linears.values()), "every linear layer of a block is named"
    else:
        rest = {path for path, module in linears.items() if module not in found}
        assert all("shared" in path for path in rest), rest
    assert {name for name, _, _ in shape.linears()} == set(family.modules)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_family_is_what_transformers_builds(kind: str) -> None:
    compare(small(kind))


def switches(kind: str) -> dict[str, st.SearchStrategy[Any]]:
    """Return the keys of a family that change its parameters, and values for them."""
    family = ARCHITECTURES[kind]
    found: dict[str, st.SearchStrategy[Any]] = {key: st.booleans() for key, _ in family.bias_keys}
    found["tie_word_embeddings"] = st.booleans()
    if family.qk_norm_key:
        found[family.qk_norm_key[0]] = st.booleans()
    if family.head_bias_key:
        found[family.head_bias_key] = st.booleans()
    if not family.split and family.mixture is None and kind != "phi":  # phi's norms ignore it
        found["head_dim"] = st.sampled_from([8, 16, 24])
    if "num_key_value_heads" in OTHERS.get(kind, SMALL):
        found["num_key_value_heads"] = st.sampled_from([1, 2, 4])
    return found | MORE.get(kind, {})


FALCON = {"multi_query", "parallel_attn", "new_decoder_architecture"}
MORE: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "falcon": {key: st.booleans() for key in FALCON}
    | {"num_kv_heads": st.sampled_from([1, 2, 4]), "ffn_hidden_size": st.sampled_from([80, 256])}
    | {"num_ln_in_parallel_attn": st.sampled_from([1, 2])},
    "gpt_bigcode": {"multi_query": st.booleans(), "n_inner": st.sampled_from([80, None])},
    "gpt2": {"n_inner": st.sampled_from([80, None])},
    "stablelm": {"use_parallel_residual": st.booleans()},
    "opt": {
        "word_embed_proj_dim": st.sampled_from([32, 64]),
        "do_layer_norm_before": st.booleans(),
    },
    "qwen2_moe": {
        "decoder_sparse_step": st.sampled_from([1, 2]),
        "mlp_only_layers": st.lists(st.integers(0, 3), max_size=2),
    },
    "qwen3_moe": {
        "decoder_sparse_step": st.sampled_from([1, 2]),
        "mlp_only_layers": st.lists(st.integers(0, 3), max_size=2),
    },
    "glm4_moe": {"first_k_dense_replace": st.integers(0, 3)},
    "deepseek_v2": {"q_lora_rank": st.sampled_from([None, 20])},
    "deepseek_v3": {"q_lora_rank": st.sampled_from([None, 20])},
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
@given(data=st.data())
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_family_s_switches_count_as_in_transformers(kind: str, data: st.DataObject) -> None:
    changes = data.draw(st.fixed_dictionaries({}, optional=switches(kind)))
    config = small(kind, **changes)
    shape = shape_of(config, "config.json")
    assert shape.parameters == sum(weight.numel() for weight in build(config).parameters())


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_what_a_config_leaves_out_is_what_transformers_takes(kind: str) -> None:
    family, default = ARCHITECTURES[kind], transformers.AutoConfig.for_model(kind)
    assert family.tied is default.tie_word_embeddings
    if "num_key_value_heads" in small(kind):
        stated = default.num_key_value_heads
        assert (family.kv_heads or default.num_attention_heads) == stated or stated is None
    if family.head_dim is not None:
        assert family.head_dim == default.head_dim
    if kind not in ("bloom", "mpt"):  # ALiBi: they know no limit
        assert family.positions == default.max_position_embeddings


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_attention_kernels_are_those_that_transformers_loads(kind: str) -> None:
    config = transformers.AutoConfig.for_model(kind)
    model, family = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)], ARCHITECTURES[kind]
    kernels = (model._supports_sdpa, model._supports_flash_attn, model._supports_flex_attn)
    assert (family.sdpa, family.flash, family.flex) == kernels


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_heads_that_do_not_divide_are_refused_as_in_transformers(kind: str) -> None:
    width = "n_embd" if "n_embd" in small(kind) else "d_model" if kind == "mpt" else "hidden_size"
    changes = {width: 66} | ({"word_embed_proj_dim": 66} if kind == "opt" else {})
    config = small(kind, **changes)
    try:
        shape_of(config, "config.json")
        refused = False
    except ModelUnreadableError as error:
        refused = "does not divide" in str(error)
    if kind == "mpt":  # built all the same, but its heads do not fit together
        assert refused
        return
    try:
        build(config)
        assert not refused
    except Exception:
        assert refused


@pytest.mark.parametrize("kind", NESTED_DEFAULTS)
def test_a_text_config_leaves_out_what_its_class_takes(kind: str) -> None:
    default = transformers.AutoConfig.for_model(kind)
    for key, value in NESTED_DEFAULTS[kind].items():
        assert getattr(default, key) == value, key


def test_experts_are_told_by_number_and_width() -> None:
    shape = shape_of(small("qwen2_moe", mlp_only_layers=[0]), "config.json")
    assert (shape.experts, shape.experts_per_token) == (6, 2)
    assert (shape.expert_ffn, shape.shared_ffn, shape.dense_layers) == (40, 20, 1)
    # One block of two has experts, of which a token passes through 2 of 6.
    assert shape.parameters - shape.active_parameters == 4 * 3 * 64 * 40
    plain = shape_of(small("llama"), "config.json")
    assert plain.active_parameters == plain.parameters


def test_presets_name_what_they_stand_for() -> None:
    assert ARCHITECTURES["llama"].targets("attention-min") == ("q_proj", "v_proj")
    assert ARCHITECTURES["phi3"].targets("attention") == ("qkv_proj", "o_proj")
    assert ARCHITECTURES["starcoder2"].targets("all-linear")[-2:] == ("c_fc", "c_proj")
    assert ARCHITECTURES["gpt2"].targets("attention") == ("c_attn", "attn.c_proj")
    assert ARCHITECTURES["gpt_oss"].targets("all-linear") == (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
    )


# What a forward pass needs beside what building does.
RUNS: dict[str, dict[str, Any]] = {
    "deepseek_v2": {"num_key_value_heads": 4},
    "deepseek_v3": {"num_key_value_heads": 4},
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_packed_rows_are_kept_apart_where_it_is_said(kind: str) -> None:
    torch.manual_seed(0)
    model = build(small(kind, **RUNS.get(kind, {})), "cpu").float().eval()
    first, second = torch.randint(3, 120, (1, 11)), torch.randint(3, 120, (1, 7))
    places = torch.cat([torch.arange(11), torch.arange(7)])[None]

    def logits(ids: Any, **options: Any) -> Any:
        with torch.no_grad():
            return model(input_ids=ids, use_cache=False, **options).logits

    alone = torch.cat([logits(first), logits(second)], dim=1)
    packed = logits(torch.cat([first, second], dim=1), position_ids=places)
    assert torch.allclose(alone, packed, atol=1e-4) is ARCHITECTURES[kind].packs
