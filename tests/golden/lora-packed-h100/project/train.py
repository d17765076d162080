"""Fine-tune Qwen/Qwen2.5-7B-Instruct by LoRA.

    python train.py                 start a run, or go on with the unfinished one
    python train.py --new           start another run
    python train.py --micro-batch 1 --accumulation 8

A run writes runs/<n>/: events.jsonl (a line an event), checkpoints and final/. Ctrl-C and
SIGTERM save a checkpoint first. Exit codes: 0 finished, 75 stopped with a checkpoint,
76 out of memory, 77 loss not finite, 78 data or settings unusable, 79 cannot write.

Compiled by ftspec 0.1.0 from spec.yaml; it needs no ftspec, and is yours to edit.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__":  # until training begins, a stop has nothing to save
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# Segments that grow in place keep reserved memory close to what is allocated.
os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # one card, even where more are

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
from trl.models import enable_selective_activation_checkpointing

from journal import Exit, Journal, newest_checkpoint, only_one, open_run

HERE = Path(__file__).resolve().parent

MODEL = "Qwen/Qwen2.5-7B-Instruct"  # qwen2, 7,615.6 M parameters
DTYPE = torch.bfloat16  # how the base is stored
ATTENTION = "flash_attention_2"

TRAIN = ["../rows-1.jsonl", "../rows-2.jsonl"]  # 80 rows
EVAL_ROWS = 20  # held out of 100 rows
MAX_LENGTH = 2048  # tokens; what a row has beyond them is cut off

RANK = 32
ALPHA = 32  # the update is scaled by alpha / sqrt(rank)
DROPOUT = 0.05
TARGETS = ["q_proj", "v_proj"]

MICRO_BATCH = 2  # rows in memory at once
ACCUMULATION = 4  # 2 rows x 4 = 8 packed rows a step
EPOCHS = 3
LEARNING_RATE = 2e-4
WARMUP = 5  # under 1: a share of all steps; else steps
SEED = 42
CHECKPOINTING = True  # recompute activations, to save memory
LOG_EVERY, SAVE_EVERY = 10, 100  # steps
KEEP = 2  # whole checkpoints; older ones go once a newer one is whole
EVAL_EVERY, EVAL_BATCH = 100, 8  # steps, rows
PLAN = "31056b92c37f27e4"  # what is learnt; a run goes on under the same only


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


def read_rows():
    """Read the rows, and hold some out."""
    # Texts, since a table would guess types: a column of dates would become times.
    rows = Dataset.from_dict({"json": [r for p in TRAIN for r in read_json(p)]})
    split = rows.train_test_split(test_size=EVAL_ROWS, seed=SEED)
    return {"train": split["train"], "eval": split["test"]}


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
        packing=True,
        learning_rate=options.learning_rate,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": 100},
        warmup_steps=WARMUP,
        optim="adamw_torch_fused",
        weight_decay=0,
        max_grad_norm=1,
        seed=SEED,
        bf16=True,
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
    enable_selective_activation_checkpointing(model)
    adapter = LoraConfig(
        task_type="CAUSAL_LM",
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=DROPOUT,
        target_modules=TARGETS,
        use_rslora=True,
    )
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=rows["train"],
        eval_dataset=rows["eval"],
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
