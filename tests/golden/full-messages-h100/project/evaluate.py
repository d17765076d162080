"""Measure perplexity on the held-out rows, before and after training.

    python evaluate.py              the newest finished run
    python evaluate.py --run 2      another one

Perplexity is exp(mean negative log-likelihood of a supervised token): the lower, the
better. Base and tuned model see the same rows; the interval of the change comes from a
paired bootstrap over rows. The result is printed, and written to runs/<n>/evaluation.json.

Compiled by ftspec 0.1.0 from spec.yaml; it needs no ftspec, and is yours to edit.
"""

import argparse
import json
import math
import sys
from functools import partial
from os.path import commonprefix
from pathlib import Path

import torch
from datasets import Dataset, load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from journal import Exit, ends, newest_final

HERE = Path(__file__).resolve().parent

MODEL = "Qwen/Qwen2.5-0.5B"  # qwen2, 494.0 M parameters
DTYPE = torch.float32  # how the base is stored
ATTENTION = "sdpa"

TRAIN = ["../train-a.parquet", "../train-b.parquet"]  # 50 rows
EVAL = ["../eval.jsonl"]
MAX_LENGTH = 512  # tokens; what a row has beyond them is cut off
BATCH = 2  # rows at once: their logits, 2 x 512 x vocabulary, are built whole
SEED = 42
RESAMPLES = 2000  # of the bootstrap
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def as_messages(row):
    """Take the role and the content of a row's messages."""
    turns = row["messages"] or []
    messages = [(turn["role"], turn["content"]) for turn in turns]
    said = [(role, "" if text is None else str(text)) for role, text in messages]
    return [{"role": role, "content": text} for role, text in said]


def encode(row, tokenizer, limit):
    """Tokenize a conversation; only what the assistant says is learnt."""
    messages = as_messages(row)
    render = partial(tokenizer.apply_chat_template, tokenize=False)
    text = render(messages) if messages else ""
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = tokens["input_ids"]
    # An answer is what the template renders after the generation prompt, up to and with
    # its end-of-turn text. Every other label is -100, which the loss leaves out.
    labels = [-100] * len(ids)
    for number in [n for n, turn in enumerate(messages) if turn["role"] == "assistant"]:
        before = render(messages[: number or 1], add_generation_prompt=True)
        if number == 0:  # nobody spoke before: what was added is the prompt alone
            before = before[len(render(messages[:1])) :]
        start = len(commonprefix([text, before]))
        end = len(commonprefix([text, render(messages[: number + 1])]))
        for position, (begin, stop) in enumerate(tokens["offset_mapping"]):
            if begin < end and max(stop, begin + 1) > start:
                labels[position] = ids[position]
    return {"input_ids": ids[:limit], "labels": labels[:limit]}


def read_json(path):
    """Return the rows of a JSON file as texts: an array's entries, or a line each."""
    text = (HERE / path).read_text("utf-8-sig")
    if text.lstrip().startswith("["):
        return [json.dumps(row) for row in json.loads(text)]
    return [line for line in text.split("\n") if line.strip()]


def load_rows(tokenizer, limit):
    """Read the rows, hold some out, tokenize them, and drop those with nothing to learn."""
    files = [str(HERE / path) for path in TRAIN]
    rows = load_dataset("parquet", data_files=files, split="train")
    held_out = Dataset.from_dict({"json": [r for p in EVAL for r in read_json(p)]})
    parts = {"train": rows, "eval": held_out}

    def unpack(row):
        return json.loads(row["json"]) if "json" in row else row

    for name, part in parts.items():
        tokenized = part.map(
            lambda row: encode(unpack(row), tokenizer, limit),
            remove_columns=part.column_names,
        )
        kept = tokenized.filter(lambda row: set(row["labels"]) - {-100})
        if dropped := len(part) - len(kept):
            print(f"{name}: {dropped} rows have nothing to learn, and are dropped")
        if len(kept) == 0:
            raise ValueError(f"no row of the {name} data has anything to learn")
        parts[name] = kept
    return parts


def load_tokenizer():
    """Load the tokenizer, with what it lacks made up for."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = (HERE / "chat_template.jinja").read_text("utf-8")
    if tokenizer.pad_token is None:  # padding is masked by place, not by its id
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base():
    """Load the base model."""
    return AutoModelForCausalLM.from_pretrained(
        MODEL,
        dtype=DTYPE,
        attn_implementation=ATTENTION,
        device_map=DEVICE,
    )


@torch.no_grad()
def losses(model, rows, pad):
    """Return a row's summed negative log-likelihood and supervised tokens, for each row."""
    model.eval()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
    found = [None] * len(rows)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        width = max(len(rows[i]["input_ids"]) for i in chosen)
        ids = torch.full((len(chosen), width), pad)
        labels = torch.full((len(chosen), width), -100)
        mask = torch.zeros((len(chosen), width), dtype=torch.long)
        for place, i in enumerate(chosen):
            size = len(rows[i]["input_ids"])
            ids[place, :size] = torch.tensor(rows[i]["input_ids"])
            labels[place, :size] = torch.tensor(rows[i]["labels"])
            mask[place, :size] = 1
        batch = {"input_ids": ids.to(DEVICE), "attention_mask": mask.to(DEVICE)}
        logits = model(**batch, use_cache=False).logits[:, -width:]
        labels = labels.to(logits.device)[:, 1:]
        for place, i in enumerate(chosen):
            loss = torch.nn.functional.cross_entropy(
                logits[place, :-1].float(), labels[place], reduction="sum"
            )
            found[i] = (loss.item(), int((labels[place] != -100).sum()))
    return found


def perplexity(rows):
    """Return exp(summed loss / tokens) of (loss, tokens) pairs."""
    return math.exp(min(sum(row[0] for row in rows) / sum(row[1] for row in rows), 700))


def interval(before, after):
    """Return the 95 % interval of the change in perplexity, by a paired bootstrap."""
    generator = torch.Generator().manual_seed(SEED)
    changes = []
    for _ in range(RESAMPLES):
        count = len(before)
        picked = torch.randint(count, (count,), generator=generator).tolist()
        base = perplexity([before[i] for i in picked])
        changes.append(perplexity([after[i] for i in picked]) / base - 1)
    changes.sort()
    return changes[int(0.025 * RESAMPLES)], changes[int(0.975 * RESAMPLES) - 1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=int, help="which run (default: the newest)")
    options = parser.parse_args()
    runs = HERE / "runs"
    final = runs / str(options.run) / "final" if options.run else newest_final(runs)
    if final is None or not final.is_dir():
        which = f"run {options.run}" if options.run else "run"
        print(f"There is no finished {which} to evaluate.", file=sys.stderr)
        return Exit.UNUSABLE
    tokenizer = load_tokenizer()
    rows = list(load_rows(tokenizer, MAX_LENGTH)["eval"])
    pad = tokenizer.pad_token_id
    before = losses(load_base(), rows, pad)
    tuned = AutoModelForCausalLM.from_pretrained(
        str(final),
        dtype=DTYPE,
        attn_implementation=ATTENTION,
        device_map=DEVICE,
    )
    after = losses(tuned, rows, pad)
    low, high = interval(before, after)
    base, tuned = perplexity(before), perplexity(after)
    change = tuned / base - 1
    tokens = sum(row[1] for row in before)
    print(f"{len(rows)} rows held out, {tokens} supervised tokens")
    print(f"perplexity before {base:.3f}, after {tuned:.3f}: {change:+.1%}")
    print(f"95 % interval of the change: {low:+.1%} to {high:+.1%}")
    result = {
        "schema_version": 1,
        "rows": len(rows),
        "supervised_tokens": tokens,
        "metrics": {
            "perplexity": {
                "base": base,
                "tuned": tuned,
                "change": change,
                "low": low,
                "high": high,
            }
        },
        "signature": {"max_length": MAX_LENGTH, "seed": SEED, "resamples": RESAMPLES},
    }
    (final.parent / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(ends(main))
