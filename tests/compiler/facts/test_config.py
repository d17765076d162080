"""Reading a config.json: widths by any of their names, lies by name, nothing by traceback."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from world import LLAMA

from ftspec.compiler.facts import config_keys as reading
from ftspec.compiler.facts.architectures import ARCHITECTURES
from ftspec.compiler.facts.config import MissingKeyError, ModelUnreadableError, shape_of

MIXTRAL = LLAMA | {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
QWEN_MOE = LLAMA | {
    "model_type": "qwen3_moe",
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}
DEEPSEEK = LLAMA | {
    "model_type": "deepseek_v2",
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}


@pytest.mark.parametrize(
    ("base", "change", "words"),
    [
        (LLAMA, {"model_type": None}, "no `model_type`"),
        (LLAMA, {"model_type": 3}, "`model_type` is 3, not a name"),
        (LLAMA, {"model_type": ["llama"]}, r"`model_type` is \['llama'\], not a name"),
        (LLAMA, {"model_type": "x\nimport os"}, "is no name"),
        (LLAMA, {"model_type": "x" * 65}, "is no name"),
        (LLAMA, {"hidden_size": None}, "has no `hidden_size`"),
        (LLAMA, {"intermediate_size": None}, "has no `intermediate_size`"),
        (LLAMA, {"hidden_size": "64"}, "`hidden_size` is '64', not a whole number"),
        (LLAMA, {"hidden_size": 64.0}, r"`hidden_size` is 64\.0, not a whole number"),
        (LLAMA, {"hidden_size": float("nan")}, "`hidden_size` is nan, not a whole number"),
        (LLAMA, {"hidden_size": float("inf")}, "`hidden_size` is inf"),
        (LLAMA, {"hidden_size": {"a": 1}}, "`hidden_size` is {'a': 1}"),
        (LLAMA, {"hidden_size": [64] * 99}, "`hidden_size` is .{,80}, not a whole number"),
        (LLAMA, {"num_hidden_layers": True}, "`num_hidden_layers` is True"),
        (LLAMA, {"num_hidden_layers": 0}, "`num_hidden_layers` is 0, not between 1 and 1,000"),
        (LLAMA, {"num_hidden_layers": 1001}, "is 1,001, not between 1 and 1,000"),
        (LLAMA, {"hidden_size": 2**20 + 4}, "`hidden_size` is 1,048,580, not between 1 and"),
        (LLAMA, {"vocab_size": -5}, "`vocab_size` is -5"),
        (LLAMA, {"vocab_size": 2**24 + 1}, "`vocab_size` is 16,777,217"),
        (LLAMA, {"vocab_size": 10**300}, r"`vocab_size` is 10{17}\.{3}0+, not between"),
        (LLAMA, {"head_dim": -8}, "`head_dim` is -8"),
        (LLAMA, {"num_key_value_heads": 3}, "4 heads do not divide by 3 key heads"),
        (LLAMA, {"hidden_size": 66}, "66 does not divide by 4 heads"),
        (LLAMA, {"model_type": "x", "hidden_size": 2}, "2 does not divide by 4 heads"),
        (LLAMA, {"tie_word_embeddings": "false"}, "is 'false', not true or false"),
        (LLAMA, {"attention_bias": 1}, "`attention_bias` is 1, not true or false"),
        (
            LLAMA,
            {"vocab_size": 2**24, "hidden_size": 2**20, "num_attention_heads": 2**10},
            r"its widths make \d\d,\d+ billion parameters, more than 10,000",
        ),
        (MIXTRAL, {"num_local_experts": 4097}, "`num_local_experts` is 4,097"),
        (MIXTRAL, {"num_local_experts": None}, "has no `num_local_experts`"),
        (MIXTRAL, {"num_experts_per_tok": 9}, "is 9, but there are 8 experts"),
        (QWEN_MOE, {"mlp_only_layers": "all"}, "`mlp_only_layers` is 'all'"),
        (QWEN_MOE, {"mlp_only_layers": [1.5]}, "`mlp_only_layers` is"),
        (QWEN_MOE, {"decoder_sparse_step": 0}, "`decoder_sparse_step` is 0"),
        (DEEPSEEK, {"kv_lora_rank": 0}, "`kv_lora_rank` is 0"),
        (DEEPSEEK, {"first_k_dense_replace": -1}, "`first_k_dense_replace` is -1"),
    ],
)
def test_a_config_that_lies_is_refused(
    base: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelUnreadableError, match=words) as caught:
        shape_of(base | change, "m/config.json")
    assert "`m/config.json`" in str(caught.value) and len(str(caught.value)) < 200


def test_all_faults_are_told_at_once() -> None:
    change = {"hidden_size": -64, "num_key_value_heads": 3, "vocab_size": None}
    with pytest.raises(ModelUnreadableError) as caught:
        shape_of(LLAMA | change | {"tie_word_embeddings": 1}, "m/config.json")
    assert str(caught.value) == (
        "`m/config.json` has no `vocab_size`; `hidden_size` is -64, not between 1 and 1,048,576; "
        "4 heads do not divide by 3 key heads; `tie_word_embeddings` is 1, not true or false"
    )
    assert caught.value.lines.splitlines()[:2] == [
        "`m/config.json` has 4 faults",
        "  4 heads do not divide by 3 key heads",
    ]
    assert [fault.route for fault in caught.value.faults] == [
        ("hidden_size",),
        ("num_key_value_heads",),
        ("vocab_size",),
        ("tie_word_embeddings",),
    ]


def test_a_faulty_key_contradicts_nothing() -> None:
    for change in ({"num_key_value_heads": -3}, {"num_attention_heads": 0}, {"hidden_size": "66"}):
        with pytest.raises(ModelUnreadableError) as caught:
            shape_of(LLAMA | change, "m/config.json")
        assert len(caught.value.faults) == 1


def test_missing_keys_alone_are_an_error_of_their_own() -> None:
    bare = {"model_type": "llama"}
    with pytest.raises(MissingKeyError, match="has no `num_hidden_layers`, `hidden_size`, `num_at"):
        shape_of(bare, "m/config.json")
    with pytest.raises(ModelUnreadableError) as caught:
        shape_of(bare | {"hidden_size": 0}, "m/config.json")
    assert not isinstance(caught.value, MissingKeyError)


def test_an_unknown_family_may_write_widths_another_way() -> None:
    with pytest.raises(MissingKeyError, match="has no `intermediate_size`"):
        shape_of(LLAMA | {"model_type": "novel", "intermediate_size": [64, 128]}, "config.json")


def test_widths_go_by_several_names() -> None:
    gpt2 = {"model_type": "gpt2", "n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 9}
    shape = shape_of(gpt2 | {"n_inner": None, "n_ctx": 77}, "config.json")
    assert (shape.hidden, shape.layers, shape.heads, shape.ffn) == (64, 3, 4, 256)
    assert shape.positions == 77
    bloom = {"model_type": "bloom", "n_embed": 64, "n_layer": 1, "n_head": 2, "vocab_size": 9}
    assert shape_of(bloom, "config.json").hidden == 64


def test_an_unknown_family_has_widths_and_no_count() -> None:
    shape = shape_of(LLAMA | {"model_type": "novel", "num_experts": 4}, "config.json")
    assert (shape.architecture, shape.hidden, shape.experts) == ("novel", 64, 4)
    assert (shape.family, shape.parameters, list(shape.linears())) == (None, 0, [])
    with pytest.raises(MissingKeyError, match="no `hidden_size`"):
        shape_of({"model_type": "novel", "num_hidden_layers": 3}, "config.json")


def test_a_language_model_inside_another_is_found() -> None:
    shape = shape_of({"model_type": "llava", "text_config": LLAMA}, "config.json")
    assert shape.hidden == 64 and shape.architecture == "llama"


def test_what_a_text_config_leaves_out_is_its_class_s_own() -> None:
    text = {"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34}
    shape = shape_of({"model_type": "gemma3", "text_config": text}, "config.json")
    assert (shape.hidden, shape.layers) == (2560, 34)
    assert (shape.heads, shape.kv_heads, shape.head_dim, shape.vocab) == (8, 4, 256, 262208)


@pytest.mark.parametrize("text", [None, 3, [], {}, "llama"])
def test_a_text_config_that_is_none_is_passed_over(text: Any) -> None:
    assert shape_of(LLAMA | {"text_config": text}, "config.json").hidden == 64


def test_a_family_that_reads_no_text_config_is_not_led_astray() -> None:
    assert shape_of(LLAMA | {"text_config": {"hidden_size": 8}}, "config.json").hidden == 64


def test_latent_attention_has_its_own_widths() -> None:
    shape = shape_of(DEEPSEEK | {"q_lora_rank": 48}, "config.json")
    widths = {name: (inputs, outputs) for name, inputs, outputs in shape.linears()}
    assert widths == {
        "q_a_proj": (64, 48),
        "q_b_proj": (48, 4 * 192),
        "kv_a_proj_with_mqa": (64, 512 + 64),
        "kv_b_proj": (512, 4 * 256),
        "o_proj": (4 * 128, 64),
    }
    direct = shape_of(DEEPSEEK | {"q_lora_rank": None}, "config.json")
    assert next(iter(direct.linears())) == ("q_proj", 64, 4 * 192)
    assert direct.family is not None
    assert direct.family.targets("attention-min")[0] == "q_proj"


KEYS = sorted(
    {*LLAMA, *QWEN_MOE, *DEEPSEEK, *MIXTRAL, "n_embd", "head_dim", "text_config"}
    | {key for family in ARCHITECTURES.values() for key, _ in family.bias_keys}
    | {"mlp_only_layers", "decoder_sparse_step", "first_k_dense_replace", "q_lora_rank"}
    | {"n_shared_experts", "num_ln_in_parallel_attn", "multi_query", "word_embed_proj_dim"}
)
numbers = st.integers(-3, 130) | st.integers() | st.integers(2**19, 2**21) | st.just(10**400)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=12,
)
bases = st.sampled_from([LLAMA, MIXTRAL, QWEN_MOE, DEEPSEEK, {}])
kinds = st.sampled_from([*ARCHITECTURES, "novel", "llava"]) | anything


@given(bases, kinds, st.dictionaries(st.sampled_from(KEYS), anything, max_size=5))
@example(LLAMA, "falcon", {"num_ln_in_parallel_attn": 2, "new_decoder_architecture": True})
@settings(max_examples=500, deadline=None)
def test_any_config_gives_a_shape_or_a_reason(
    base: dict[str, Any], kind: Any, change: dict[str, Any]
) -> None:
    try:
        shape = shape_of(base | {"model_type": kind} | change, "m/config.json")
    except ModelUnreadableError as error:
        words = str(error)
        assert words.startswith("`m/config.json`") and "\n" not in words
        assert error.faults and all(len(fault.words) < 180 for fault in error.faults)
    else:
        assert 0 <= shape.active_parameters <= shape.parameters <= reading.MOST_PARAMETERS
        assert shape.head_dim >= 1 and 0 <= shape.dense_layers <= shape.layers
        assert all(inputs > 0 and outputs > 0 for _, inputs, outputs in shape.linears())
