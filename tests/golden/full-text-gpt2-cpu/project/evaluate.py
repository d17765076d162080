"""Measure the held-out rows before and after training.

    python evaluate.py                           the newest finished run
    python evaluate.py --run 2                   another one
    python evaluate.py --checkpoints             each checkpoint of the run beside it
    python evaluate.py --adapter other=DIR       another trained model

Perplexity is exp(mean negative log-likelihood of a supervised token): the lower, the
better. All models see the same rows; the interval of the change comes from a paired
bootstrap over rows. The result is printed, and written to runs/<n>/evaluation.json.

Compiled by ftspec 0.1.0 from spec.yaml; it needs no ftspec, and is yours to edit.
"""

import argparse
import json
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

import metrics
from base import wrong_base
from journal import Exit, checkpoints, ends, fault, newest_final

HERE = Path(__file__).resolve().parent

MODEL = str(HERE / "../model")  # gpt2, 124.4 M parameters
DTYPE = torch.float32  # how the base is stored
ATTENTION = "sdpa"

TRAIN = ["../train.csv"]  # 48 rows
EVAL_ROWS = 2  # held out of 50 rows
MAX_LENGTH = 128  # tokens; of a window: longer rows are read in several
STRIDE = MAX_LENGTH // 2  # from one window to the next
BATCH = 1  # rows at once: their logits, 1 x 128 x vocabulary, are built whole
SEED = 7
METRICS = ["perplexity"]
ALL_METRICS = ["perplexity"]  # plain text holds no answers to compare with
# Columns that results are also shown by, where a row has one of them.
LABELS = ["category", "label", "task", "topic", "domain", "subset", "language"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def encode(row, tokenizer, limit):
    """Tokenize a text; every token is learnt, and the end-of-sequence token with it."""
    ids = list(tokenizer(str(row["text"] or ""))["input_ids"])
    if ids[-1:] != [tokenizer.eos_token_id]:
        ids.append(tokenizer.eos_token_id)
    return {"input_ids": ids[:limit], "labels": ids[:limit]}


def read_rows():
    """Read the rows, and hold some out."""
    as_text = {  # 007, true and NA stay as they are written
        "text": str,
    }
    csv = {"converters": as_text, "keep_default_na": False}
    files = [str(HERE / path) for path in TRAIN]
    rows = load_dataset("csv", data_files=files, split="train", **csv)
    split = rows.train_test_split(test_size=EVAL_ROWS, seed=SEED)
    return {"train": split["train"], "eval": split["test"]}


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


def load_tuned(folder):
    """Load what training left: the whole model."""
    return AutoModelForCausalLM.from_pretrained(
        str(folder),
        dtype=DTYPE,
        attn_implementation=ATTENTION,
        device_map=DEVICE,
    )


def held_out(tokenizer, count=None):
    """Return the held-out rows, or the first so many, each with all its tokens and labels."""
    found = []
    for row in read_rows()["eval"]:
        if len(found) == count:
            break
        encoded = encode(row, tokenizer, None)
        if set(encoded["labels"][1:]) - {-100}:
            found.append({"row": row, **encoded})
    return found


def labels_of(rows, column):
    """Return each row's category: of that column, or of the first of LABELS that has some."""
    if column and all(column not in row["row"] for row in rows):
        unusable(f"No row has a column {column}.")
    for name in [column] if column else LABELS:
        values = [row["row"].get(name) for row in rows]
        if column or (None not in values and 1 < len({str(v) for v in values}) <= 20):
            return [str(value) for value in values]
    return None


def windows(row):
    """Cut a row into windows of MAX_LENGTH tokens; each token is counted in one of them.

    Later windows overlap the one before: only what that one has not counted is counted.
    """
    ids, labels, end = row["input_ids"], row["labels"], 0
    for start in range(0, len(ids), STRIDE):
        seen = end - start if start else 0
        end = min(start + MAX_LENGTH, len(ids))
        yield ids[start:end], [-100] * seen + labels[start + seen : end]
        if end == len(ids):
            return


@torch.no_grad()
def losses(model, rows, pad):
    """Return each row's summed negative log-likelihood and supervised tokens: (rows, 2)."""
    found = torch.zeros(len(rows), 2, dtype=torch.float64)
    pieces = [(n, *piece) for n, row in enumerate(rows) for piece in windows(row)]
    pieces.sort(key=lambda piece: len(piece[1]))
    for start in range(0, len(pieces), BATCH):
        chosen = pieces[start : start + BATCH]
        width = len(chosen[-1][1])
        ids = torch.full((len(chosen), width), pad)
        labels = torch.full((len(chosen), width), -100)
        mask = torch.zeros((len(chosen), width), dtype=torch.long)
        for place, (_, tokens, wanted) in enumerate(chosen):
            ids[place, : len(tokens)] = torch.tensor(tokens)
            labels[place, : len(tokens)] = torch.tensor(wanted)
            mask[place, : len(tokens)] = 1
        batch = {"input_ids": ids.to(DEVICE), "attention_mask": mask.to(DEVICE)}
        logits = model(**batch, use_cache=False).logits[:, -width:]
        labels = labels.to(logits.device)[:, 1:]
        for place, (row, _, _) in enumerate(chosen):
            loss = torch.nn.functional.cross_entropy(
                logits[place, :-1].float(), labels[place], reduction="none"
            )
            counted = (labels[place] != -100).sum()
            found[row] += torch.stack([loss.double().sum(), counted.double()]).cpu()
    return found


def measure(model, rows, tokenizer, options):
    """Return what one model makes of the rows."""
    model.eval()
    found = {}
    if "perplexity" in options.metrics:
        found["losses"] = losses(model, rows, tokenizer.pad_token_id)
        if not torch.isfinite(found["losses"]).all():
            print("a loss is not finite: there is nothing to compare", file=sys.stderr)
            sys.exit(Exit.NOT_FINITE)
    if options.tasks:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        asked = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=BATCH)
        found["tasks"] = simple_evaluate(model=asked, tasks=options.tasks)["results"]
    return found


def trained(options):
    """Return the run's folder, and the folders of the trained models by their names."""
    runs = HERE / "runs"
    final = runs / str(options.run) / "final" if options.run else newest_final(runs)
    if final is None or not final.is_dir():
        which = f"run {options.run}" if options.run else "run"
        unusable(f"There is no finished {which} to evaluate.")
    found = {"tuned": final}
    if options.checkpoints:
        for folder in reversed(checkpoints(final.parent)):
            if fault(folder) is None:
                found[folder.name] = folder
    for text in options.adapter:
        name, _, path = text.rpartition("=")
        found[name or Path(path).name] = Path(path).resolve()
    for name, folder in found.items():
        if not [*folder.glob("config.json"), *folder.glob("adapter_config.json")]:
            unusable(f"{name}: {folder} holds no model and no adapter")
        if why := wrong_base(folder, MODEL):
            unusable(f"{name}: {why}")
    return final.parent, found


def unusable(why):
    """End, and say why."""
    print(why, file=sys.stderr)
    sys.exit(Exit.UNUSABLE)


def tables(found, rows, scorers):
    """Return what each metric counted in each row, of each model."""
    made = {}
    if all("losses" in one for one in found.values()):
        summed = {name: one["losses"] for name, one in found.items()}
        made["perplexity"] = metrics.Table(metrics.perplexity, summed, range(len(rows)))
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--run", type=int, help="which run (default: the newest)")
    add("--checkpoints", action="store_true", help="the run's checkpoints too")
    add("--adapter", action="append", default=[], metavar="NAME=DIR", help="one more")
    add("--metrics", nargs="+", default=METRICS, choices=ALL_METRICS)
    add("--rows", type=int, help="the first so many held-out rows alone")
    add("--by", metavar="COLUMN", help="the column that results are also shown by")
    add("--tasks", nargs="+", default=[], help="tasks of lm-eval, of its own names")
    options = parser.parse_args()
    run, folders = trained(options)
    tokenizer = load_tokenizer()
    rows = held_out(tokenizer, options.rows)
    if not rows:
        unusable("No held-out row has anything to learn.")
    scorers, missing = metrics.scorers(options.metrics)
    if options.tasks and find_spec("lm_eval") is None:
        missing["tasks"] = "lm-eval is not installed: pip install lm-eval"
        options.tasks = []
    for name, why in missing.items():
        print(f"{name} is left out: {why}", file=sys.stderr)
    found = {}
    loads = {name: partial(load_tuned, folder) for name, folder in folders.items()}
    for name, load in {"base": load_base, **loads}.items():  # one in memory at a time
        print(f"{name}: {len(rows)} rows", file=sys.stderr, flush=True)
        found[name] = measure(load(), rows, tokenizer, options)

    made = tables(found, rows, scorers)
    tokens = sum(label != -100 for row in rows for label in row["labels"][1:])
    signature = {"max_length": MAX_LENGTH, "stride": STRIDE, "seed": SEED}
    used = {name: scorer for name, scorer in scorers.items() if name in made}
    signature |= {name: scorer.signature() for name, scorer in used.items()}
    result = {
        "schema_version": 1,
        "rows": len(rows),
        "supervised_tokens": tokens,
        **metrics.collect(made, SEED, labels_of(rows, options.by)),
        "tasks": metrics.of_tasks(found),
        "signature": signature | {"resamples": metrics.RESAMPLES},
        "missing": missing,
    }
    print(f"{len(rows)} rows held out, {tokens} supervised tokens")
    print("\n".join(metrics.lines(result)))
    (run / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(ends(main))
