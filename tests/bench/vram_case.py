"""A small case and a tiny model's shape, for the tests of bench/vram."""

from __future__ import annotations

import cases

GIB = 2**30
STAMP = {"gpu": "NVIDIA H200", "driver": "580", "versions": {"torch": "2.11"}}
TINY = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
}
CASE = cases.Case(
    model="HuggingFaceTB/SmolLM2-135M",
    method="lora",
    r=4,
    targets="attention",
    batch=2,
    length=32,
    dtype="float32",
    optimizer="adamw_torch",
    rows="ragged",
    accumulation=2,
    eval_batch=1,
)
