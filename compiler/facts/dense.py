"""The families of decoders whose blocks are made of linear layers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from ftspec.compiler.facts.architecture import Architecture, modules

_QKVO = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "o"}
_ALL = "qkvogud"
_MLP = "gud"
_GATED = modules(**_QKVO, gate_proj="g", up_proj="u", down_proj="d")
_UNGATED = modules(**_QKVO, up_proj="u", down_proj="d")
_FUSED_GATE = modules(**_QKVO, gate_up_proj="gu", down_proj="d")
_NEOX = modules(query_key_value="qkv", dense="o", dense_h_to_4h="u", dense_4h_to_h="d")
_GPT2 = modules(c_attn="qkv", attn__c_proj="o", c_fc="u", mlp__c_proj="d")
_GPTJ = modules(q_proj="q", k_proj="k", v_proj="v", out_proj="o", fc_in="u", fc_out="d")
_OPT = modules(q_proj="q", k_proj="k", v_proj="v", out_proj="o", fc1="u", fc2="d")

_ATTENTION_BIAS = (("attention_bias", "qkvo"),)
_LLAMA_BIASES = (*_ATTENTION_BIAS, ("mlp_bias", _MLP))
_QKV_BIAS = (("attention_bias", "qkv"),)

_LLAMA = Architecture(_GATED, bias_keys=_LLAMA_BIASES, divides=True)
_GEMMA = Architecture(
    _GATED, bias_keys=_ATTENTION_BIAS, tied=True, head_dim=256, kv_heads=16, positions=8192
)
_GPT = Architecture(
    _GPT2,
    gated=False,
    learned_positions=0,
    norm_weights=4,
    final_norm=2,
    biases=_ALL,
    tied=True,
    positions=1024,
    split=True,
    four_hidden=True,
    flex=False,
)
_GPTJ_LIKE = Architecture(
    _GPTJ,
    gated=False,
    final_norm=2,
    biases=_MLP,
    head_bias=True,
    split=True,
    four_hidden=True,
    sdpa=False,
    flex=False,
)

DENSE: Mapping[str, Architecture] = MappingProxyType(
    {
        "llama": _LLAMA,
        "mistral": Architecture(_GATED, kv_heads=8, positions=131072),
        "ministral3": Architecture(_GATED, head_dim=128, kv_heads=8, positions=262144),
        "qwen2": Architecture(_GATED, biases="qkv", kv_heads=32, positions=32768),
        "qwen3": Architecture(
            _GATED,
            qk_norm="head",
            bias_keys=_ATTENTION_BIAS,
            head_dim=128,
            kv_heads=32,
            positions=32768,
        ),
        "gemma": _GEMMA,
        "gemma2": replace(_GEMMA, norm_weights=4, kv_heads=4, divides=True, sdpa=False),
        "gemma3_text": replace(
            _GEMMA, norm_weights=4, qk_norm="head", kv_heads=4, positions=131072, divides=True
        ),
        "olmo": Architecture(_GATED, norm_weights=0, final_norm=0, bias_keys=_ATTENTION_BIAS),
        "olmo2": Architecture(_GATED, qk_norm="width", bias_keys=_ATTENTION_BIAS),
        "olmo3": Architecture(_GATED, qk_norm="width", bias_keys=_ATTENTION_BIAS),
        "granite": Architecture(_GATED, bias_keys=_LLAMA_BIASES),
        "smollm3": Architecture(
            _GATED, bias_keys=_LLAMA_BIASES, tied=True, kv_heads=4, positions=32768
        ),
        "arcee": replace(_LLAMA, modules=_UNGATED, gated=False, positions=4096),
        "seed_oss": Architecture(
            _GATED,
            biases="qkv",
            bias_keys=(*_QKV_BIAS, ("attention_out_bias", "o"), ("mlp_bias", _MLP)),
            head_dim=128,
            kv_heads=8,
            positions=524288,
        ),
        "ernie4_5": Architecture(
            _GATED,
            bias_keys=(("use_bias", _ALL),),
            tied=True,
            head_dim=128,
            kv_heads=2,
            positions=131072,
        ),
        "exaone4": Architecture(_GATED, qk_norm="head", kv_heads=32),
        "apertus": Architecture(
            _UNGATED, gated=False, qk_norm="head", bias_keys=_ATTENTION_BIAS, positions=65536
        ),
        "nemotron": Architecture(
            _UNGATED,
            gated=False,
            norm_weights=4,
            final_norm=2,
            bias_keys=_LLAMA_BIASES,
            positions=4096,
        ),
        "cohere": Architecture(
            _GATED,
            norm_weights=1,  # attention and MLP share one norm
            qk_norm_key=("use_qk_norm", "width", False),
            bias_keys=_ATTENTION_BIAS,
            tied=True,
            positions=8192,
        ),
        "cohere2": Architecture(
            _GATED, norm_weights=1, bias_keys=_ATTENTION_BIAS, tied=True, positions=8192
        ),
        "glm": Architecture(
            _FUSED_GATE,
            biases="qkv",
            bias_keys=_QKV_BIAS,
            head_dim=128,
            kv_heads=2,
            positions=131072,
        ),
        "glm4": Architecture(
            _FUSED_GATE,
            norm_weights=4,
            biases="qkv",
            bias_keys=_QKV_BIAS,
            head_dim=128,
            kv_heads=2,
            positions=131072,
        ),
        "stablelm": Architecture(
            _GATED,
            norm_weights=4,
            final_norm=2,
            qk_norm_key=("qk_layernorm", "width", False),
            bias_keys=(("use_qkv_bias", "qkv"),),
            kv_heads=32,
            positions=4096,
            split=True,
            flex=False,
        ),
        "phi3": Architecture(
            modules(qkv_proj="qkv", o_proj="o", gate_up_proj="gu", down_proj="d"), positions=4096
        ),
        "phi": Architecture(
            modules(q_proj="q", k_proj="k", v_proj="v", dense="o", fc1="u", fc2="d"),
            gated=False,
            final_norm=2,
            qk_norm_key=("qk_layernorm", "head-bias", False),
            biases=_ALL,
            head_bias=True,
        ),
        "starcoder2": Architecture(
            modules(**_QKVO, c_fc="u", c_proj="d"),
            gated=False,
            norm_weights=4,
            final_norm=2,
            biases=_ALL,
            bias_keys=(("use_bias", _ALL),),
            tied=True,
            kv_heads=2,
            positions=4096,
        ),
        "gpt2": replace(_GPT, conv1d=True),
        "gpt_bigcode": _GPT,
        "gpt_neo": replace(
            _GPT,
            modules=modules(q_proj="q", k_proj="k", v_proj="v", out_proj="o", c_fc="u", c_proj="d"),
            biases="oud",
            positions=2048,
            sdpa=False,
        ),
        "gptj": _GPTJ_LIKE,
        "codegen": replace(
            _GPTJ_LIKE,
            modules=modules(qkv_proj="qkv", out_proj="o", fc_in="u", fc_out="d"),
            flash=False,
        ),
        "mpt": Architecture(
            modules(Wqkv="qkv", out_proj="o", up_proj="u", down_proj="d"),
            gated=False,
            tied=True,
            split=True,
            four_hidden=True,
            sdpa=False,
            flash=False,
            flex=False,
            packs=False,
        ),
        "opt": replace(
            _GPT,
            modules=_OPT,
            learned_positions=2,
            bias_keys=(("enable_bias", _ALL),),
            positions=2048,
            four_hidden=False,
            flex=True,
            packs=False,
        ),
        "gpt_neox": Architecture(
            _NEOX,
            gated=False,
            norm_weights=4,
            final_norm=2,
            biases=_ALL,
            bias_keys=_ATTENTION_BIAS,
            split=True,
        ),
        "persimmon": Architecture(
            _NEOX,
            gated=False,
            norm_weights=4,
            final_norm=2,
            qk_norm_key=("qk_layernorm", "head-bias", True),
            biases=_ALL,
            positions=16384,
            split=True,
            flex=False,
        ),
        "falcon": Architecture(
            _NEOX,
            gated=False,
            final_norm=2,
            bias_keys=(("bias", _ALL),),
            tied=True,
            split=True,
            four_hidden=True,
            flex=False,
            packs=False,
        ),
        "bloom": Architecture(
            _NEOX,
            gated=False,
            norm_weights=4,
            final_norm=4,  # the embeddings are normed too
            biases=_ALL,
            tied=True,
            split=True,
            four_hidden=True,
            sdpa=False,
            flash=False,
            flex=False,
            packs=False,
        ),
    }
)
