"""The program whose runs are diagnosed: a small Llama, fine-tuned by the Trainer as a spec says.

The text is made here, so that anyone can run it. Words follow one another by tables of four
successors; a topic has a table of its own, and topics differ in how sure the next word is. A row
is a question (a topic and 7 words) and an answer: a walk through the topic's table that begins
at one of those words and now and then jumps back to another. Bases are pre-trained on eight
topics. A domain to fine-tune on has two topics in which a fifth of the successors are new.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

WORDS, FIRST = 160, 16  # words of the language; the ids under FIRST are marks
PAD, BOS, EOS, USER, ANSWER, OTHER_USER, OTHER_ANSWER = range(7)
TOPICS, QUESTION = 8, 7  # topics of the bases; words in a question beside its topic
SUCCESSORS = 4
SHORTEST, LONGEST = 4, 20  # words of an answer
JUMP = 0.12  # share of words that begin anew at a word of the question
SHARED, NEW = 0.5, 0.2  # of the successors: shared by all topics; new in a domain
HELD_OUT = 160
BASES = {"base-a": (96, 4, 11), "base-b": (128, 3, 12)}  # width, layers, seed
PRETRAINING = (1500, 32, 3e-3)  # steps, rows a step, learning rate
Row = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Topic:
    """Successors of each word, and how probable each of them is."""

    mark: int
    table: np.ndarray
    chances: np.ndarray


def topics(rng: np.random.Generator, marks: Sequence[int]) -> list[Topic]:
    """Draw topics: half of all successors are shared, the sharpness is a topic's own."""
    common = rng.integers(0, WORDS, (WORDS, SUCCESSORS))
    found = []
    for mark in marks:
        own = rng.integers(0, WORDS, (WORDS, SUCCESSORS))
        table = np.where(rng.random((WORDS, SUCCESSORS)) < SHARED, common, own)
        found.append(Topic(mark, table, _chances(rng)))
    return found


def _chances(rng: np.random.Generator) -> np.ndarray:
    sharp = rng.uniform(0.2, 2.2)
    weights = np.exp(-sharp * np.arange(SUCCESSORS))
    return np.asarray(weights / weights.sum())


def language() -> list[Topic]:
    """Return the topics that the bases are trained on."""
    return topics(np.random.default_rng(1), range(TOPICS))


def domain(seed: int) -> list[Topic]:
    """Return two topics of the language with a fifth of their successors replaced."""
    rng = np.random.default_rng(1000 + seed)
    chosen = rng.choice(TOPICS, 2, replace=False)
    found = []
    for topic in (language()[place] for place in chosen):
        new = rng.integers(0, WORDS, topic.table.shape)
        table = np.where(rng.random(topic.table.shape) < NEW, new, topic.table)
        found.append(Topic(topic.mark, table, topic.chances))
    return found


def rows_of(known: Sequence[Topic], count: int, rng: np.random.Generator) -> list[Row]:
    """Draw rows: the words of a question and those of its answer."""
    found: list[Row] = []
    for _ in range(count):
        topic = known[rng.integers(len(known))]
        asked = rng.integers(0, WORDS, QUESTION)
        word, answer = int(asked[rng.integers(QUESTION)]), []
        for _ in range(int(rng.integers(SHORTEST, LONGEST + 1))):
            answer.append(word + FIRST)
            jumps = rng.random() < JUMP
            place = rng.integers(QUESTION) if jumps else rng.choice(SUCCESSORS, p=topic.chances)
            word = int(asked[place] if jumps else topic.table[word, place])
        found.append(([topic.mark + FIRST, *(int(w) + FIRST for w in asked)], answer))
    return found


def encode(row: Row, longest: int | None = None, other_template: bool = False) -> dict[str, Any]:
    """Render a row and mask all up to the mark of the answer, as completion-only collators do."""
    user, mark = (OTHER_USER, OTHER_ANSWER) if other_template else (USER, ANSWER)
    ids = [BOS, user, *row[0], mark, *row[1], EOS][:longest]
    begin = ids.index(ANSWER) + 1 if ANSWER in ids else len(ids)
    return {"input_ids": ids, "labels": [-100] * begin + ids[begin:]}


def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Pad rows to the longest."""
    import torch

    width = max(len(row["input_ids"]) for row in rows)

    def padded(key: str, fill: int) -> Any:
        return torch.tensor([row[key] + [fill] * (width - len(row[key])) for row in rows])

    mask = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
    return {
        "input_ids": padded("input_ids", PAD),
        "labels": padded("labels", -100),
        "attention_mask": torch.tensor(mask),
    }


def pretrain(name: str, folder: Path, device: str) -> None:
    """Train a base on the eight topics, questions too, and save it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    width, layers, seed = BASES[name]
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=FIRST + WORDS,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=128,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    model = LlamaForCausalLM(config).to(device)
    steps, batch, rate = PRETRAINING
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    rng, known = np.random.default_rng(seed), language()
    for step in range(steps):
        shape = min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.param_groups[0]["lr"] = rate * shape
        inputs = collate([encode(row) for row in rows_of(known, batch, rng)])
        loss = model(**{key: value.to(device) for key, value in inputs.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.to("cpu").save_pretrained(folder / name)


@dataclass(frozen=True)
class Job:
    """A run: its spec, what the data are, and the bug of the program, if it has one."""

    spec: str
    domain: int
    rows: int
    bug: str = ""
    place: float = 0.0  # where in the run, or how much, as the bug takes it


def train(job: Job, bases: Path, folder: Path) -> dict[str, Any]:
    """Run a job; leave train.log, trainer_state.json and ftspec.yaml in a folder.

    Returns the loss on rows that were held out, of the model as the run leaves it, and the median
    of the last training losses. Both are None where they are not finite.
    """
    import torch
    import transformers

    from ftspec.spec.parse import parse

    spec = parse(job.spec, "ftspec.yaml").spec
    if spec is None:
        raise ValueError("the spec has errors")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ftspec.yaml").write_text(job.spec, encoding="utf-8")
    rng = np.random.default_rng(7000 + job.domain)
    known = domain(job.domain)
    rows, held_out = rows_of(known, job.rows, rng), rows_of(known, HELD_OUT, rng)
    with _into(folder / "train.log"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.utils.logging.set_verbosity_error()
        transformers.set_seed(spec.train.seed or 42)
        model = _model(spec, bases)
        trainer = _trainer(model, spec, job, folder, rows, held_out)
        if job.bug == "resume-lost":
            _stopped(trainer, job.place)
            model = _model(spec, bases)
            trainer = _trainer(model, spec, job, folder, rows, held_out)
            trainer.train(resume_from_checkpoint=str(_weights_alone(folder)))
        else:
            trainer.train()
    trainer.state.save_to_json(str(folder / "trainer_state.json"))
    model.float().eval()
    with torch.no_grad():
        inputs = collate([encode(row) for row in held_out])
        loss = float(model(**inputs).loss)
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    last = float(np.median(losses[-5:])) if losses else math.nan
    return {"held_out": _finite(loss), "trained": _finite(last), "steps": trainer.state.global_step}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@contextlib.contextmanager
def _into(log: Path) -> Iterator[None]:
    """Send what is printed into a file, bars and records together, as `&>` does."""
    with log.open("a", encoding="utf-8") as stream, quiet(stream):
        yield


@contextlib.contextmanager
def quiet(stream: IO[str]) -> Iterator[None]:
    """Send what is printed into a stream."""
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield


def _model(spec: Any, bases: Path) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(bases / spec.model.name)
    if spec.method.type == "lora":
        rank = spec.method.r or 16
        config = LoraConfig(
            r=rank,
            lora_alpha=spec.method.alpha or 2 * rank,
            lora_dropout=spec.method.dropout or 0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(model, config)
    return model.to(getattr(torch, spec.model.dtype or "float32"))


def _trainer(
    model: Any, spec: Any, job: Job, folder: Path, rows: list[Row], held_out: list[Row]
) -> Any:
    from transformers import EarlyStoppingCallback, Trainer, TrainingArguments

    given = spec.train
    stops = given.early_stopping or None
    batch, accumulation = given.batch_size, given.gradient_accumulation or 1
    settings = TrainingArguments(
        output_dir=str(folder / "out"),
        use_cpu=True,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        per_device_eval_batch_size=HELD_OUT,
        num_train_epochs=given.epochs or 3,
        max_steps=given.max_steps or -1,
        learning_rate=given.learning_rate,
        lr_scheduler_type=given.scheduler or "linear",
        warmup_steps=given.warmup or 0,
        weight_decay=given.weight_decay or 0.0,
        max_grad_norm=1.0 if given.max_grad_norm is None else given.max_grad_norm,
        label_smoothing_factor=given.label_smoothing or 0.0,
        optim="adamw_torch",
        logging_steps=given.logging_steps,
        eval_strategy="steps",
        eval_steps=given.eval_steps,
        save_strategy="steps" if stops else "no",
        save_steps=given.eval_steps,
        save_total_limit=2,
        load_best_model_at_end=bool(stops),
        metric_for_best_model="eval_loss",
        seed=given.seed,
        report_to=[],
    )

    class OwnTrainer(Trainer):
        """The Trainer; of one bug, with a loss that nobody divides by the accumulation steps."""

        def compute_loss(self, model: Any, *args: Any, **kwargs: Any) -> Any:
            found = super().compute_loss(model, *args, **kwargs)
            counted = accumulation if job.bug == "loss-summed" and model.training else 1
            return (found[0] * counted, *found[1:]) if isinstance(found, tuple) else found * counted

    other = spec.model.chat_template is not None

    def encoded(part: list[Row]) -> list[dict[str, Any]]:
        return [encode(row, spec.data.max_length, other) for row in part]

    return OwnTrainer(
        model=model,
        args=settings,
        data_collator=collate,
        train_dataset=encoded(rows),
        eval_dataset=encoded(held_out),
        optimizers=_optimizers(model, spec, job, len(rows)),
        callbacks=[EarlyStoppingCallback(stops.patience, stops.min_delta)] if stops else None,
    )


def _optimizers(model: Any, spec: Any, job: Job, rows: int) -> tuple[Any, Any]:
    """Make what the bug makes wrong: which weights the optimizer holds, or the rate's course."""
    import torch
    from transformers import get_scheduler

    rate = spec.train.learning_rate
    if job.bug == "optimizer-before-adapter":
        frozen = [each for each in model.parameters() if not each.requires_grad]
        return torch.optim.AdamW(frozen, lr=rate, weight_decay=0.0), None
    if job.bug == "optimizer-of-a-copy":
        return torch.optim.AdamW(copy.deepcopy(model).parameters(), lr=rate), None
    if job.bug not in ("scheduler-short", "scheduler-still"):
        return None, None
    step = (spec.train.batch_size or 1) * (spec.train.gradient_accumulation or 1)
    total = math.ceil(rows / step) * (spec.train.epochs or 3)
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0)
    if job.bug == "scheduler-still":
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    made_for = int(total * job.place)
    return optimizer, get_scheduler(
        spec.train.scheduler or "linear",
        optimizer,
        num_warmup_steps=max(1, made_for // 20),
        num_training_steps=made_for,
    )


def _stopped(trainer: Any, place: float) -> None:
    """Train up to a place, save the checkpoint, and stop, as a job that runs out of time does."""
    from transformers import TrainerCallback

    class Stop(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step >= place * state.max_steps:
                control.should_save = control.should_training_stop = True

    trainer.add_callback(Stop())
    trainer.train()


def _weights_alone(folder: Path) -> Path:
    """Return the checkpoint without its optimizer's, scheduler's and random states."""
    (checkpoint,) = (folder / "out").glob("checkpoint-*")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        os.remove(checkpoint / name)
    return checkpoint


def bases_made(folder: Path) -> bool:
    """Say whether the bases lie in a folder."""
    return all((folder / name / "config.json").is_file() for name in BASES)


def dump(result: Mapping[str, Any]) -> str:
    """Write a result as one line."""
    return json.dumps(result, allow_nan=False) + "\n"
