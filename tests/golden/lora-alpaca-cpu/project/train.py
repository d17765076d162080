"""Fine-tune ../model by LoRA.

    python train.py                 start a run, or go on with the unfinished one
    python train.py --new           start another run
    python train.py --micro-batch 1 --accumulation 1

A run writes runs/<n>/: events.jsonl (a line an event), checkpoints and final/. Ctrl-C and
SIGTERM save a checkpoint first. Exit codes: 0 finished, 75 stopped with a checkpoint,
76 out of memory, 77 loss not finite, 78 data or settings unusable, 79 cannot write.

Compiled by ftspec 0.1.0 from spec.yaml; it needs no ftspec, and is yours to edit.
"""

import argparse
import json
import signal
import sys
from functools import partial
from os.path import commonprefix
from pathlib import Path

if __name__ == "__main__":  # until training begins, a stop has nothing to save
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from journal import Exit, Journal, newest_checkpoint, only_one, open_run

HERE = Path(__file__).resolve().parent

MODEL = str(HERE / "../model")  # llama, 134.5 M parameters
DTYPE = torch.float32  # how the base is stored
ATTENTION = "sdpa"

TRAIN = ["../train.json"]  # 12 rows
MAX_LENGTH = 512  # tokens; what a row has beyond them is cut off

RANK = 16
ALPHA = 32  # the update is scaled by 32 / 16 = 2
DROPOUT = 0.05
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]

MICRO_BATCH = 1  # rows in memory at once
ACCUMULATION = 1  # 1 rows x 1 = 1 rows a step
EPOCHS = 3  # 12 rows / 1 = 12 steps an epoch, 36 in all
LEARNING_RATE = 2e-4
WARMUP = 0.03  # under 1: a share of all steps; else steps
SEED = 42
CHECKPOINTING = False  # recompute activations, to save memory
LOG_EVERY, SAVE_EVERY = 10, 36  # steps
KEEP = 2  # whole checkpoints; older ones go once a newer one is whole
PLAN = "dc2ead50614d3f93"  # what is learnt; a run goes on under the same only


def as_messages(row):
    """Turn an alpaca row into a user turn and an assistant turn."""
    parts = [row["instruction"], row.get("input")]
    question = "\n\n".join(str(part) for part in parts if part)
    messages = [("user", question), ("assistant", row["output"])]
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
    """Read the rows."""
    # Texts, since a table would guess types: a column of dates would become times.
    rows = Dataset.from_dict({"json": [r for p in TRAIN for r in read_json(p)]})
    return {"train": rows}


def load_rows(tokenizer, limit):
    """Tokenize the rows, and drop those with nothing to learn."""
    parts = read_rows()
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


def train(options, run, journal):
    """Load everything, train to the end or to a stop, and write final/."""
    tokenizer = load_tokenizer()
    rows = load_rows(tokenizer, options.max_length)
    settings = SFTConfig(
        output_dir=str(run),
        per_device_train_batch_size=options.micro_batch,
        gradient_accumulation_steps=options.accumulation,
        num_train_epochs=EPOCHS,
        max_length=options.max_length,
        learning_rate=options.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=WARMUP,
        optim="adamw_torch_fused",
        weight_decay=0,
        max_grad_norm=1,
        seed=SEED,
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=options.activation_checkpointing,
        logging_steps=LOG_EVERY,
        logging_nan_inf_filter=False,  # a NaN must be seen, not averaged away
        save_steps=SAVE_EVERY,
        save_total_limit=None,  # the journal removes old ones, once the newer is whole
        report_to="none",
    )
    model = AutoModelForCausalLM.from_pretrained(
        MODEL,
        dtype=DTYPE,
        attn_implementation=ATTENTION,
    )
    adapter = LoraConfig(
        task_type="CAUSAL_LM",
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=DROPOUT,
        target_modules=TARGETS,
    )
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=rows["train"],
        processing_class=tokenizer,
        peft_config=adapter,
        callbacks=[journal],
    )
    checkpoint = newest_checkpoint(run, journal)
    journal.facts |= {f"{name}_rows": len(part) for name, part in rows.items()}
    journal.facts["resumed_from"] = checkpoint.name if checkpoint else None
    journal.listen()  # from here on, a stop is a checkpoint
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    done = trainer.state.global_step >= trainer.state.max_steps
    if journal.exit_code == Exit.NOT_FINITE or (journal.exit_code and not done):
        journal.write("stop", step=trainer.state.global_step, code=journal.exit_code)
        return journal.exit_code
    journal.save_final(trainer)
    return Exit.FINISHED


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--new", action="store_true", help="start another run")
    parser.add_argument("--resume", action="store_true", help="go on (the default)")
    parser.add_argument("--micro-batch", type=int, default=MICRO_BATCH)
    parser.add_argument("--accumulation", type=int, default=ACCUMULATION)
    parser.add_argument("--max-length", type=int, default=MAX_LENGTH)
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    on_nan = "stop"  # a loss that is not finite
    parser.add_argument("--on-nan", choices=["stop", "continue"], default=on_nan)
    parser.add_argument(
        "--activation-checkpointing",
        action=argparse.BooleanOptionalAction,
        default=CHECKPOINTING,
    )
    options = parser.parse_args()
    run = open_run(HERE / "runs", PLAN, options.new)
    if run is None:
        print("The newest run is finished; --new starts another.")
        return Exit.FINISHED
    held = only_one(run)  # while this process lives
    journal = Journal(run, KEEP, options.on_nan == "continue", held, plan_hash=PLAN)
    try:
        return train(options, run, journal)
    except Exception as error:
        code = journal.failed(error)
        if code is None:
            raise
        return code


if __name__ == "__main__":
    sys.exit(main())
