"""Fine-tune ../model by training all of its weights.

    python train.py                 start a run, or go on with the unfinished one
    python train.py --new           start another run
    python train.py --micro-batch 1 --accumulation 16

A run writes runs/<n>/: events.jsonl (a line an event), checkpoints and final/. Ctrl-C and
SIGTERM save a checkpoint first. Exit codes: 0 finished, 75 stopped with a checkpoint,
76 out of memory, 77 loss not finite, 78 data or settings unusable, 79 cannot write.

Compiled by ftspec 0.1.0 from spec.yaml; it needs no ftspec, and is yours to edit.
"""

import argparse
import signal
import sys
from pathlib import Path

if __name__ == "__main__":  # until training begins, a stop has nothing to save
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from journal import Exit, Journal, newest_checkpoint, only_one, open_run

HERE = Path(__file__).resolve().parent

MODEL = str(HERE / "../model")  # gpt2, 124.4 M parameters
DTYPE = torch.float32  # how the base is stored
ATTENTION = "sdpa"

TRAIN = ["../train.csv"]  # 48 rows
EVAL_ROWS = 2  # held out of 50 rows
MAX_LENGTH = 128  # tokens; what a row has beyond them is cut off

MICRO_BATCH = 1  # rows in memory at once
ACCUMULATION = 16  # 1 rows x 16 = 16 rows a step
EPOCHS = 0.5  # 48 rows / 16 = 3 steps an epoch, 2 in all
LEARNING_RATE = 2e-5
WARMUP = 0  # under 1: a share of all steps; else steps
SEED = 7
CHECKPOINTING = False  # recompute activations, to save memory
LOG_EVERY, SAVE_EVERY = 10, 2  # steps
KEEP = 2  # whole checkpoints; older ones go once a newer one is whole
EVAL_EVERY, EVAL_BATCH = 1, 1  # steps, rows
PLAN = "4482d82d0cc2bdc4"  # what is learnt; a run goes on under the same only


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


def load_rows(tokenizer, limit):
    """Tokenize the rows, and drop those with nothing to learn."""
    parts = read_rows()
    for name, part in parts.items():
        tokenized = part.map(
            lambda row: encode(row, tokenizer, limit),
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
        lr_scheduler_type="constant",
        warmup_steps=WARMUP,
        optim="adamw_torch_fused",
        weight_decay=0.01,
        max_grad_norm=1,
        seed=SEED,
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=options.activation_checkpointing,
        logging_steps=LOG_EVERY,
        logging_nan_inf_filter=False,  # a NaN must be seen, not averaged away
        eval_strategy="steps",
        eval_steps=EVAL_EVERY,
        per_device_eval_batch_size=options.eval_batch,
        save_steps=SAVE_EVERY,
        save_total_limit=None,  # the journal removes old ones, once the newer is whole
        report_to="none",
    )
    model = AutoModelForCausalLM.from_pretrained(
        MODEL,
        dtype=DTYPE,
        attn_implementation=ATTENTION,
    )
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=rows["train"],
        eval_dataset=rows["eval"],
        processing_class=tokenizer,
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
    parser.add_argument("--eval-batch", type=int, default=EVAL_BATCH)
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
