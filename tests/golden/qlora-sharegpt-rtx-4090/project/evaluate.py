"""Measure the held-out rows before and after training.

    python evaluate.py                           the newest finished run
    python evaluate.py --run 2                   another one
    python evaluate.py --metrics bleu rouge      scores of generated answers
    python evaluate.py --checkpoints             each checkpoint of the run beside it
    python evaluate.py --adapter other=DIR       another adapter, or a merged model

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
from os.path import commonprefix
from pathlib import Path

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
)

import metrics
from base import trained_otherwise, wrong_base
from journal import Exit, checkpoints, ends, fault, newest_final

HERE = Path(__file__).resolve().parent

MODEL = "meta-llama/Llama-2-7b-hf"  # llama, 6,738.4 M parameters
DTYPE = torch.bfloat16  # how the base is stored
ATTENTION = "sdpa"

TRAIN = ["../train.jsonl"]  # 36 rows
EVAL_ROWS = 4  # held out of 40 rows
SYSTEM = 'You answer questions about our shop, "politely" and in one line.'
MAX_LENGTH = 512  # tokens; of a window: longer rows are read in several
STRIDE = MAX_LENGTH // 2  # from one window to the next
BATCH = 2  # rows at once: their logits, 2 x 512 x vocabulary, are built whole
SEED = 42
METRICS = ["perplexity"]
ALL_METRICS = ["perplexity", "bleu", "chrf", "rouge", "exact-match"]
MAX_NEW_TOKENS = 256  # of an answer
# Columns that results are also shown by, where a row has one of them.
LABELS = ["category", "label", "task", "topic", "domain", "subset", "language"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


# sharegpt's speakers, as chat templates name them.
ROLES = dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "function_call"), "assistant")
ROLES |= {"human": "user", "observation": "tool"}


def as_messages(row):
    """Turn a sharegpt row into messages."""
    turns = row["conversations"] or []
    messages = [(turn["from"], turn["value"]) for turn in turns]
    messages = [(ROLES.get(speaker, speaker), said) for speaker, said in messages]
    if messages and messages[0][0] != "system":
        messages.insert(0, ("system", SYSTEM))
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


def read_rows():
    """Read the rows, and hold some out."""
    # Texts, since a table would guess types: a column of dates would become times.
    rows = Dataset.from_dict({"json": [r for p in TRAIN for r in read_json(p)]})
    split = rows.train_test_split(test_size=EVAL_ROWS, seed=SEED)
    return {"train": split["train"], "eval": split["test"]}


def load_tokenizer():
    """Load the tokenizer, with what it lacks made up for."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = (HERE / "chat_template.jinja").read_text("utf-8")
    if tokenizer.pad_token is None:  # padding is masked by place, not by its id
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base():
    """Load the base model, quantized as it was in training."""
    return AutoModelForCausalLM.from_pretrained(
        MODEL,
        dtype=DTYPE,
        attn_implementation=ATTENTION,
        device_map=DEVICE,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPE,
        ),
    )


def load_tuned(folder):
    """Load what training left: an adapter on its base, or a merged model."""
    if (folder / "adapter_config.json").exists():
        return PeftModel.from_pretrained(load_base(), str(folder))
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
        row = json.loads(row["json"])
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


def question(row, tokenizer):
    """Return what is asked in a row, as token ids, and the answer it expects; None: neither."""
    messages = as_messages(row)
    said = [n for n, turn in enumerate(messages) if turn["role"] == "assistant"]
    last = max(said, default=0)
    if last == 0:  # nobody answers, or nobody has asked
        return None
    text = tokenizer.apply_chat_template(
        messages[:last],
        tokenize=False,
        add_generation_prompt=True,
    )
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids, messages[last]["content"].strip()


def end_ids(model, tokenizer):
    """Return the tokens that end an answer: the model's, the tokenizer's, the chat template's."""
    ids = model.generation_config.eos_token_id
    found = {*(ids if isinstance(ids, list) else [ids]), tokenizer.eos_token_id}
    turns = [("user", "x"), ("assistant", "ANSWER")]
    turns = [{"role": role, "content": content} for role, content in turns]
    text = tokenizer.apply_chat_template(turns, tokenize=False).rpartition("ANSWER")[2]
    after = tokenizer(text, add_special_tokens=False)["input_ids"][:1]
    found |= set(after) & set(tokenizer.added_tokens_decoder)
    return sorted(found - {None})


def batches(sizes):
    """Yield the numbers of prompts that are answered together, by their sizes in tokens."""
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]


@torch.no_grad()
def answers(model, tokenizer, prompts, limit):
    """Return the tokens that a model adds to each prompt, greedily, and whether it ended."""
    found, pad = [None] * len(prompts), tokenizer.pad_token_id
    stops = end_ids(model, tokenizer)
    for chosen in batches([len(prompt) for prompt in prompts]):
        width = max(len(prompts[number]) for number in chosen)
        ids = torch.full((len(chosen), width), pad)
        mask = torch.zeros((len(chosen), width), dtype=torch.long)
        for place, number in enumerate(chosen):
            begin = width - len(prompts[number])  # padded on the left
            ids[place, begin:] = torch.tensor(prompts[number])
            mask[place, begin:] = 1
        output = model.generate(
            input_ids=ids.to(DEVICE),
            attention_mask=mask.to(DEVICE),
            max_new_tokens=limit,
            do_sample=False,
            num_beams=1,
            temperature=1.0,
            top_p=1.0,
            top_k=50,
            repetition_penalty=1.0,
            eos_token_id=stops,
            pad_token_id=pad,
        )
        for place, number in enumerate(chosen):
            new = output[place, width:].tolist()
            end = next((n for n, token in enumerate(new) if token in stops), None)
            found[number] = new[:end], end is not None
    return found


def measure(model, rows, prompts, tokenizer, options):
    """Return what one model makes of the rows."""
    model.eval()
    found = {}
    if "perplexity" in options.metrics:
        found["losses"] = losses(model, rows, tokenizer.pad_token_id)
        if not torch.isfinite(found["losses"]).all():
            print("a loss is not finite: there is nothing to compare", file=sys.stderr)
            sys.exit(Exit.NOT_FINITE)
    if prompts:
        given = answers(model, tokenizer, prompts, options.max_new_tokens)
        new, found["ended"] = zip(*given, strict=True)
        found["sizes"] = [len(tokens) for tokens in new]
        texts = [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in new]
        found["texts"] = [text.strip() for text in texts]
    if options.tasks:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        asked = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=BATCH)
        found["tasks"] = simple_evaluate(model=asked, tasks=options.tasks)["results"]
    return found


def questions(rows, tokenizer, limit):
    """Return the rows that ask something, as (number, token ids, answer expected)."""
    said = [(n, question(row["row"], tokenizer)) for n, row in enumerate(rows)]
    asked = [(number, *both) for number, both in said if both is not None]
    config = AutoConfig.from_pretrained(MODEL)
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    longest = longest or 10**9
    room = longest - limit
    fitting = [one for one in asked if len(one[1]) <= room]
    if mute := len(said) - len(asked):
        print(f"{mute} rows hold no answer to compare with", file=sys.stderr)
    if long := len(asked) - len(fitting):
        print(f"{long} prompts have over {room} tokens: not answered", file=sys.stderr)
    return fitting


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
        if kind := trained_otherwise(folder, "nf4"):
            print(f"{name} was trained on {kind}, and meets another", file=sys.stderr)
    return final.parent, found


def unusable(why):
    """End, and say why."""
    print(why, file=sys.stderr)
    sys.exit(Exit.UNUSABLE)


def tables(found, rows, scorers, asked):
    """Return what each metric counted in each row, of each model."""
    made = {}
    if all("losses" in one for one in found.values()):
        summed = {name: one["losses"] for name, one in found.items()}
        made["perplexity"] = metrics.Table(metrics.perplexity, summed, range(len(rows)))
    numbers, expected = [n for n, _, _ in asked], [text for _, _, text in asked]
    for metric, scorer in scorers.items() if asked else ():
        said = {name: one["texts"] for name, one in found.items()}
        counts = {name: scorer.rows(texts, expected) for name, texts in said.items()}
        made[metric] = metrics.Table(scorer.score, counts, numbers)
    return made


def keep_answers(path, found, asked, tokenizer):
    """Write a line for each prompt: what was expected, and what each model answered."""
    with open(path, "w", encoding="utf-8") as file:
        for place, (number, ids, wanted) in enumerate(asked):
            said = {name: one["texts"][place] for name, one in found.items()}
            line = {"row": number + 1, "prompt": tokenizer.decode(ids)}
            line |= {"expected": wanted, "answers": said}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--run", type=int, help="which run (default: the newest)")
    add("--checkpoints", action="store_true", help="the run's checkpoints too")
    add("--adapter", action="append", default=[], metavar="NAME=DIR", help="one more")
    add("--metrics", nargs="+", default=METRICS, choices=ALL_METRICS)
    add("--rows", type=int, help="the first so many held-out rows alone")
    add("--by", metavar="COLUMN", help="the column that results are also shown by")
    add("--max-new-tokens", type=int, default=MAX_NEW_TOKENS)
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
    asked = questions(rows, tokenizer, options.max_new_tokens) if scorers else []
    prompts = [ids for _, ids, _ in asked]
    found = {}
    loads = {name: partial(load_tuned, folder) for name, folder in folders.items()}
    for name, load in {"base": load_base, **loads}.items():  # one in memory at a time
        print(f"{name}: {len(rows)} rows", file=sys.stderr, flush=True)
        found[name] = measure(load(), rows, prompts, tokenizer, options)

    made = tables(found, rows, scorers, asked)
    tokens = sum(label != -100 for row in rows for label in row["labels"][1:])
    signature = {"max_length": MAX_LENGTH, "stride": STRIDE, "seed": SEED}
    used = {name: scorer for name, scorer in scorers.items() if name in made}
    signature |= {name: scorer.signature() for name, scorer in used.items()}
    result = {
        "schema_version": 1,
        "rows": len(rows),
        "supervised_tokens": tokens,
        **metrics.collect(made, SEED, labels_of(rows, options.by)),
        "answers": metrics.of_answers(found, [text for _, _, text in asked]),
        "tasks": metrics.of_tasks(found),
        "signature": signature | {"resamples": metrics.RESAMPLES},
        "missing": missing,
    }
    print(f"{len(rows)} rows held out, {tokens} supervised tokens")
    print("\n".join(metrics.lines(result)))
    (run / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    if asked:
        keep_answers(run / "answers.jsonl", found, asked, tokenizer)
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(ends(main))
