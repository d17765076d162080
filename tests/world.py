"""A folder with models and data, as a spec may lie in: configs and tokenizers, no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tiny import CHAT_TEMPLATE, WORDS, rows_of, write_rows

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 400,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
LIES_TWICE = """{
  "model_type": "llama",
  "hidden_size": -64,
  "num_attention_heads": 4,
  "num_key_value_heads": 3,
  "vocab_size": 400,
  "vocab_size": 1000000000000,
  "intermediate_size": 128
}
"""
REFUSES_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + CHAT_TEMPLATE
)


def write_model(folder: Path, config: dict[str, Any], template: str | None = None) -> Path:
    """Write a model's config, and with a template also a small tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if template is not None:
        write_tokenizer(folder, template)
    return folder


def write_tokenizer(folder: Path, template: str | None = CHAT_TEMPLATE) -> None:
    """Write a byte-level tokenizer, without the help of transformers."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(WORDS * 4, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|end|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    settings |= {"chat_template": template} if template is not None else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def make_world(folder: Path) -> Path:
    """Make the folder that the cases of the compiler's rules lie in."""
    write_model(folder / "llama", LLAMA, CHAT_TEMPLATE)
    write_model(folder / "strict", LLAMA, REFUSES_SYSTEM)
    write_model(folder / "untold", LLAMA)
    write_model(folder / "new-kind", {**LLAMA, "model_type": "mamba3"})
    write_model(folder / "gemma2", {**LLAMA, "model_type": "gemma2"})
    write_model(folder / "lies", {**LLAMA, "hidden_size": "wide"})
    (folder / "lies-twice").mkdir()
    (folder / "lies-twice" / "config.json").write_text(LIES_TWICE)
    mixture = {**LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2}
    granite = {**mixture, "model_type": "granitemoe"}
    write_model(folder / "granite-moe", granite)
    write_model(folder / "granite-moe-unbalanced", {**granite, "router_aux_loss_coef": 0})
    mixture |= {"model_type": "mixtral", "router_aux_loss_coef": 0.0}
    write_model(folder / "mixture-unbalanced", mixture)
    (folder / "empty").mkdir()
    write_rows(folder / "train.jsonl", rows_of("alpaca", 120))
    write_rows(folder / "some.jsonl", rows_of("alpaca", 40))
    write_rows(folder / "many.jsonl", rows_of("alpaca", 200))
    write_rows(folder / "few.jsonl", rows_of("alpaca", 1))
    long = [{"prompt": "what is", "completion": " red" * (5 if n % 4 else 60)} for n in range(120)]
    write_rows(folder / "long.jsonl", long)
    write_rows(folder / "chats.jsonl", rows_of("messages", 120))
    (folder / "broken.jsonl").write_text('{"instruction": "a", "output": "b"}\n{"instruction":\n')
    write_rows(folder / "book.jsonl", rows_of("text", 120))
    write_rows(folder / "odd.jsonl", [{"a": 1, "b": 2}])
    return folder
