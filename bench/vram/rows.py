"""Rows of exact length in tokens, by a tokenizer that has one token a character.

A row of n tokens is n - 1 characters and the end-of-sequence token that the emitted script adds.
All tokens of a `text` row are learnt, so the loss has its largest size.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from cases import Case

END = "<|end|>"
_RNG = Random("rows")
BLOCK = "".join(chr(_RNG.randrange(33, 127)) for _ in range(997))  # repeated: it packs well


def train_lengths(case: Case) -> tuple[int, ...]:
    """Return the rows' lengths for one optimizer step; each step sees all of them.

    Ragged: one row fewer than a micro-batch is short, so every micro-batch has a longest row.
    """
    if case.rows == "packed":
        return packed_lengths(case.length, case.trained_rows)
    short = case.batch - 1 if case.rows == "ragged" else 0
    rng = Random(f"{case.length}x{case.batch}")
    few = [rng.randrange(max(8, case.length // 8), case.length) for _ in range(short)]
    return (*[case.length] * (case.trained_rows - short), *few)


def eval_lengths(case: Case) -> tuple[int, ...]:
    """Return the held-out rows' lengths: two batches of full ones."""
    count = 2 * case.eval_batch
    return packed_lengths(case.length, count) if case.rows == "packed" else (case.length,) * count


def packed_lengths(length: int, sequences: int) -> tuple[int, ...]:
    """Return rows that pack into so many full sequences: halves, and quarters in every second."""
    quarters = sequences // 2
    halves = sequences - quarters
    return (length // 2,) * (2 * halves) + (length // 4,) * (4 * quarters)


def write_rows(folder: Path, part: str, lengths: tuple[int, ...]) -> str:
    """Write a data file of `text` rows, if it is not there, and return its name; cases share it."""
    mixed = f"-{sum(lengths)}" if len(set(lengths)) > 1 else ""
    name = f"{part}-{len(lengths)}x{max(lengths)}{mixed}.jsonl"
    if not (folder / name).exists():
        lines = (json.dumps({"text": text(length)}) for length in lengths)
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def text(length: int) -> str:
    """Return a text of `length` tokens, the end of the sequence counted."""
    size = length - 1
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


def write_tokenizer(folder: Path) -> None:
    """Write a byte-level tokenizer without merges: 257 tokens, below any model's vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {END: 0, **{character: number for number, character in enumerate(alphabet, 1)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "model_max_length": 10**6,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
