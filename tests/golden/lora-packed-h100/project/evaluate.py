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
from pathlib import Path

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from journal import Exit, ends, newest_final

HERE = Path(__file__).resolve().parent

MODEL = "Qwen/Qwen2.5-7B-Instruct"  # qwen2, 7,615.6 M parameters
DTYPE = torch.bfloat16  # how the base is stored
ATTENTION = "flash_attention_2"

TRAIN = ["../rows-1.jsonl", "../rows-2.jsonl"]  # 80 rows
EVAL_ROWS = 20  # held out of 100 rows
MAX_LENGTH = 2048  # tokens; what a row has beyond them is cut off
BATCH = 1  # rows at once: their logits, 1 x 2048 x vocabulary, are built whole
SEED = 42
RESAMPLES = 2000  # of the bootstrap
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def encode(row, tokenizer, limit):
    """Tokenize a prompt and its completion; only the latter is learnt."""
    prompt, completion = (str(row[key] or "") for key in ("prompt", "completion"))
    tokens = tokenizer(prompt + completion, return_offsets_mapping=True)
    ids = list(tokens["input_ids"])
    # What holds some of the completion is learnt; a label of -100 is left out of the loss.
    reach = [max(end, begin + 1) for begin, end in tokens["offset_mapping"]]
    labels = [i if e > len(prompt) else -100 for i, e in zip(ids, reach, strict=True)]
    if ids[-1:] != [tokenizer.eos_token_id]:
        ids.append(tokenizer.eos_token_id)
        labels.append(-100)
    labels[-1] = tokenizer.eos_token_id  # the end is learnt too
    return {"input_ids": ids[:limit], "labels": labels[:limit]}


def read_json(path):
    """Return the rows of a JSON file as texts: an array's entries, or a line each."""
    text = (HERE / path).read_text("utf-8-sig")
    if text.lstrip().startswith("["):
        return [json.dumps(row) for row in json.loads(text)]
    return [line for line in text.split("\n") if line.strip()]


def load_rows(tokenizer, limit):
    """Read the rows, hold some out, tokenize them, and drop those with nothing to learn."""
    # Texts, since a table would guess types: a column of dates would become times.
    rows = Dataset.from_dict({"json": [r for p in TRAIN for r in read_json(p)]})
    split = rows.train_test_split(test_size=EVAL_ROWS, seed=SEED)
    parts = {"train": split["train"], "eval": split["test"]}
    for name, part in parts.items():
        tokenized = part.map(
            lambda row: encode(json.loads(row["json"]), tokenizer, limit),
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
    model = PeftModel.from_pretrained(load_base(), str(final))
    after = losses(model, rows, pad)
    with model.disable_adapter():
        before = losses(model, rows, pad)
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
