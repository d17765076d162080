"""Tiny models and data, made in the tests: real architectures, small widths, no download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = [
    "red green blue tree stone river cloud light dark fast slow big small cat dog bird fish sun",
    "moon star sand wind rain snow fire leaf root seed door road wall roof hand foot eye ear",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>'"
    " + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def make_tokenizer(folder: Path, *, template: str | None = CHAT_TEMPLATE, pad: bool = False) -> int:
    """Train a small byte-level BPE tokenizer and save it; returns the size of its vocabulary.

    The end of a turn is the end of the sequence, and there is no padding token, as with GPT-2.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"] + (["<|pad|>"] if pad else [])
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(WORDS * 4, trainer)
    names: dict[str, Any] = {"eos_token": "<|end|>"} | ({"pad_token": "<|pad|>"} if pad else {})
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    if template is not None:
        fast.chat_template = template
    fast.save_pretrained(str(folder))
    return len(fast)


def make_llama(folder: Path, *, template: str | None = CHAT_TEMPLATE, pad: bool = False) -> Path:
    """Make a llama with two layers of width 64, tokenizer included."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    vocab = make_tokenizer(folder, template=template, pad=pad)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        eos_token_id=0,
        bos_token_id=None,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(str(folder))
    return folder


def make_gpt2(folder: Path) -> Path:
    """Make a gpt2 with two layers of width 64; its tokenizer has no template and no padding."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    vocab = make_tokenizer(folder, template=None)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=vocab, n_embd=64, n_layer=2, n_head=4, n_positions=256, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(str(folder))
    return folder


def sentences(count: int) -> list[tuple[str, str]]:
    """Return pairs of a question and its answer, all different."""
    words = " ".join(WORDS).split()
    pairs = []
    for number in range(count):
        a, b = words[number % len(words)], words[(number * 7 + 3) % len(words)]
        pairs.append((f"what is {a} {number}", f"{a} is {b}"))
    return pairs


def rows_of(format: str, count: int) -> list[dict[str, Any]]:
    """Return rows of a format."""
    rows: list[dict[str, Any]] = []
    for question, answer in sentences(count):
        rows.append(
            {
                "alpaca": {"instruction": question, "input": "", "output": answer},
                "sharegpt": {
                    "conversations": [
                        {"from": "human", "value": question},
                        {"from": "gpt", "value": answer},
                        {"from": "human", "value": "again"},
                        {"from": "gpt", "value": answer},
                    ]
                },
                "messages": {
                    "messages": [
                        {"role": "user", "content": question},
                        {"role": "assistant", "content": answer},
                    ]
                },
                "prompt-completion": {"prompt": question + " ", "completion": answer},
                "text": {"text": f"{question} {answer}"},
            }[format]
        )
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON, JSON lines, CSV or Parquet, by the file's ending."""
    if path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        import csv

        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path
