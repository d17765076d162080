"""What a run writes beside its weights: events.jsonl, sealed checkpoints, its own folder.

A checkpoint is whole once manifest.json is in it: the size and SHA-256 of each other file,
written last of all. Whatever stopped a run, it goes on from the newest whole checkpoint.
"""

import hashlib
import json
import math
import time
from enum import IntEnum
from pathlib import Path

import torch
from transformers import TrainerCallback

# How CUDA, cuBLAS and the CPU's allocator say that memory ran out, in lower case.
OUT_OF_MEMORY = ("out of memory", "cublas_status_alloc_failed", "can't allocate memory")


class Exit(IntEnum):
    """How a script ended; whoever started it reads its exit code."""

    FINISHED = 0
    STOPPED = 75
    OUT_OF_MEMORY = 76
    NOT_FINITE = 77
    UNUSABLE = 78
    CANNOT_WRITE = 79


class Journal(TrainerCallback):
    """Writes events.jsonl, seals checkpoints, and stops the run where it has to stop."""

    def __init__(self, run, **facts):
        self.path = run / "events.jsonl"
        self.facts, self.phase, self.exit_code = facts, "load", Exit.FINISHED
        self.tokens, self.earlier = 0, 0
        self.since = self.mark = time.time()  # a clock that stands in pauses

    def write(self, event, **facts):
        line = json.dumps({"event": event, "time": time.time(), **facts})
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def tokens_until(self, step):
        """Return the tokens that earlier attempts saw up to a step."""
        found = 0
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        for line in text.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a line that was cut off when its writer was killed
            if event["event"] == "step" and event["step"] <= step:
                found = max(found, event["tokens"])
        return found

    def request_stop(self, *_):
        """Stop after the step that is running, with a checkpoint: the handler of signals."""
        self.exit_code = Exit.STOPPED

    def on_train_begin(self, args, state, control, **kwargs):
        self.earlier = self.tokens_until(state.global_step)
        if state.is_world_process_zero:
            self.write(
                "start",
                schema_version=1,
                total_steps=state.max_steps,
                epochs=state.num_train_epochs,
                micro_batch=args.per_device_train_batch_size,
                accumulation=args.gradient_accumulation_steps,
                effective_batch=args.train_batch_size
                * args.gradient_accumulation_steps
                * args.world_size,
                learning_rate=args.learning_rate,
                commit=getattr(kwargs["model"].config, "_commit_hash", None),
                **self.facts,
            )
        self.since = time.time()

    def on_step_begin(self, args, state, control, **kwargs):
        self.phase = "train"

    def on_step_end(self, args, state, control, **kwargs):
        stop = self.exit_code == Exit.STOPPED
        if args.world_size > 1:  # all ranks stop after the same step, or none can save
            asked = [None] * args.world_size
            torch.distributed.all_gather_object(asked, stop)
            stop = any(asked)
        if stop:
            self.exit_code = Exit.STOPPED
            control.should_save = control.should_training_stop = True
        self.phase = "save" if control.should_save else "train"
        self.phase = "evaluate" if control.should_evaluate else self.phase
        self.mark = time.time()

    def on_log(self, args, state, control, logs, **kwargs):
        if "loss" not in logs:
            return
        facts = {key: logs.get(key) for key in ("loss", "grad_norm", "learning_rate")}
        tokens, seconds = int(logs.get("num_tokens", 0)), time.time() - self.since
        rate = (tokens - self.tokens) / max(seconds, 1e-6)
        facts |= {"tokens": self.earlier + tokens, "tokens_per_second": round(rate, 1)}
        self.tokens, self.since = tokens, time.time()
        self.mark = self.since
        if torch.cuda.is_available():
            facts["memory_bytes"] = torch.cuda.max_memory_allocated()
        if state.is_world_process_zero:
            self.write("step", step=state.global_step, epoch=state.epoch, **facts)
        if not math.isfinite(facts["loss"]):  # what such weights give is not to be kept
            self.exit_code, control.should_training_stop = Exit.NOT_FINITE, True
            control.should_evaluate = control.should_save = False

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        self.phase = "save" if control.should_save else "train"
        if state.is_world_process_zero:
            loss = metrics.get("eval_loss")
            self.write("eval", step=state.global_step, epoch=state.epoch, loss=loss)
        self.pause()

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            seal(folder)
            self.write("checkpoint", step=state.global_step, path=folder.name)
        self.pause()

    def pause(self):
        """Leave what passed since the last step, log or pause out of tokens a second."""
        now = time.time()
        self.since, self.mark = self.since + now - self.mark, now


def digests(folder):
    """Return the size and SHA-256 of each file of a checkpoint but its manifest."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(folder).as_posix()] = [path.stat().st_size, digest]
    return found


def seal(folder):
    """Write a checkpoint's manifest; with it the checkpoint is whole."""
    partial = folder.with_name(f"{folder.name}.manifest")
    partial.write_text(json.dumps(digests(folder), indent=1), encoding="utf-8")
    partial.replace(folder / "manifest.json")


def whole(folder):
    """Say whether a checkpoint has its manifest, and every file that it names is as it says."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    found = digests(folder)
    return bool(manifest) and all(found.get(n) == was for n, was in manifest.items())


def newest_checkpoint(run):
    """Return the newest whole checkpoint of a run, or None."""
    folders = [path for path in run.glob("checkpoint-*") if path.is_dir()]
    for folder in sorted(folders, key=lambda path: -int(path.name.split("-")[1])):
        if whole(folder):
            return folder
        print(f"{folder.name} is not whole, and is passed over", flush=True)
    return None


def open_run(runs, plan, new=False):
    """Return the folder of the newest unfinished run, or of the next; None: all is done.

    A run of another plan is not gone on with: the next one is opened.
    """
    numbers = [int(path.name) for path in runs.glob("*") if path.name.isdigit()]
    last = max(numbers, default=0)
    if last and not new and plan_of(runs / str(last)) in (plan, None):
        finished = (runs / str(last) / "final").exists()
        return None if finished else runs / str(last)
    folder = runs / str(last + 1)
    folder.mkdir(parents=True, exist_ok=True)  # the ranks of one run meet here
    return folder


def plan_of(run):
    """Return the plan that a run was started under, or None where it has not started."""
    try:
        with open(run / "events.jsonl", encoding="utf-8") as file:
            return json.loads(file.readline()).get("plan_hash")
    except (OSError, ValueError):
        return None


def newest_final(runs):
    """Return final/ of the newest finished run, or None."""
    found = [path for path in runs.glob("*/final") if path.parent.name.isdigit()]
    return max(found, key=lambda path: int(path.parent.name), default=None)
