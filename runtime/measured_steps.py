"""Run an emitted train.py for three optimizer steps, and record what they take.

    python measured_steps.py FOLDER [--cuda]

FOLDER/project is the project; its train.py is not changed. Two steps see rows of all lengths, the
third sees the longest alone, and one batch of the longest is evaluated. Nothing is saved.
Written into FOLDER: progress.jsonl (a line an event) and measured.<rank>.json. The exit code is
train.py's own. `--cuda`: without a card it is an error. Otherwise figures of memory are left out.

This runs in the Python that trains: it needs torch, transformers and trl, and no ftspec.
"""

from __future__ import annotations

import ast
import importlib
import json
import math
import os
import random
import runpy
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

STEPS = 3
UNUSABLE = 78  # as train.py ends where it cannot begin
MOST_CONTEXT = 4 * 2**30  # bytes; a difference beyond it is another program's memory


def chosen_rows(lengths: Sequence[int], micro_batch: int, micro_batches: int) -> list[int]:
    """Return which rows the steps see, in order; `micro_batches`: of a step, over all ranks.

    All steps but the last take rows evenly over the lengths, shuffled, so that padding and tokens
    are as the data has them. They take the same rows in the same order: cuDNN's attention plans
    each new shape once (0.2 to 3.3 s on an H200), and the second step is the one that is timed.
    In the last, every micro-batch is the longest rows.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    count = micro_batch * micro_batches
    spread = [order[(2 * place + 1) * len(order) // (2 * count)] for place in range(count)]
    longest = [order[-1 - place % len(order)] for place in range(micro_batch)]
    usual = random.Random(0).sample(spread, count)
    return usual * (STEPS - 1) + longest * micro_batches


class Driver:
    """What the driver says of the card, where it can be asked."""

    def __init__(self, rank: int) -> None:
        self.card: Any = None
        self.nvml: Any = None
        try:
            self.nvml = importlib.import_module("pynvml")
            self.nvml.nvmlInit()
            self.card = self._card(rank)
        except Exception:  # no library, no driver, a card that goes by another name
            self.nvml = None
        self.free_before = self._free()

    def _card(self, rank: int) -> Any:
        shown = [word.strip() for word in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
        word = shown[rank] if shown[0] else str(rank)
        if word.isdecimal():
            return self.nvml.nvmlDeviceGetHandleByIndex(int(word))
        return self.nvml.nvmlDeviceGetHandleByUUID(word)

    def _free(self) -> int | None:
        if self.nvml is None:
            return None
        try:
            return int(self.nvml.nvmlDeviceGetMemoryInfo(self.card).free)
        except Exception:  # unified memory has no such figure
            return None

    def _own(self) -> int | None:
        """What it says this process holds; in a container it may know it by another number."""
        try:
            for process in self.nvml.nvmlDeviceGetComputeRunningProcesses(self.card):
                if process.pid == os.getpid() and process.usedGpuMemory:
                    return int(process.usedGpuMemory)
        except Exception:  # it may refuse
            pass
        return None

    def context(self, reserved: int) -> tuple[int | None, str]:
        """Return what the process holds beside `reserved` bytes, and how that was found out.

        `driver`: the driver's figure of this process. `difference`: what became less free since
        before the process used the card; other programs' changes would be in it.
        """
        if self.nvml is None:
            return None, ""
        if (own := self._own()) is not None and own > reserved:
            return own - reserved, "driver"
        before, now = self.free_before, self._free()
        if before is not None and now is not None and 0 < before - now - reserved < MOST_CONTEXT:
            return before - now - reserved, "difference"
        return None, ""


class Record:
    """What is recorded of a run: peaks by phase, steps, the context, where it failed."""

    def __init__(self, folder: Path, rank: int, driver: Driver) -> None:
        self.folder, self.rank, self.driver = folder, rank, driver
        self.phase = "load"
        self.peaks: dict[str, list[int]] = {}
        self.steps: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {}
        self.tokens: list[int] = []  # of each step
        self.shape = [0]  # of the largest micro-batch of the step that runs
        self.since = time.perf_counter()

    def say(self, event: str, **facts: Any) -> None:
        """Write a line of progress."""
        if self.rank == 0:
            with open(self.folder / "progress.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({"event": event, **facts}) + "\n")

    def enter(self, phase: str) -> None:
        """End the phase that is running and begin another, or the same anew."""
        self.close()
        self.phase = phase

    def close(self) -> None:
        """Keep the peaks of the phase that is running: [allocated, reserved] of the fullest card.

        Peaks are not told apart before the card is first used: there are none.
        """
        if (cuda := _cuda()) is None:
            return
        cards = range(cuda.device_count())
        allocated = max(cuda.max_memory_allocated(card) for card in cards)
        reserved = max(cuda.max_memory_reserved(card) for card in cards)
        before = self.peaks.get(self.phase, [0, 0])
        self.peaks[self.phase] = [max(before[0], allocated), max(before[1], reserved)]
        for card in cards:
            cuda.reset_peak_memory_stats(card)

    def clock(self) -> float:
        """Return the seconds since it was last asked, once the card has done all its work."""
        if (cuda := _cuda()) is not None:
            cuda.synchronize()
        before, self.since = self.since, time.perf_counter()
        return round(self.since - before, 4)

    def end_step(self) -> None:
        """Record the step that has ended."""
        self.enter("between steps")
        step = {"seconds": self.clock(), "tokens": self.tokens[len(self.steps)]}
        reserved = max((peak[1] for peak in self.peaks.values()), default=None)
        self.steps.append({**step, "shape": self.shape, "reserved": reserved})
        self.say("step", number=len(self.steps), shape=self.shape, **step)
        self.shape = [0]

    def finish(self) -> None:
        """Read what the process holds outside of the allocator, and how the allocator fared."""
        self.close()
        if "context" in self.facts or (cuda := _cuda()) is None:
            return
        cuda.synchronize()
        context, source = self.driver.context(cuda.memory_reserved())
        retries = cuda.memory_stats().get("num_alloc_retries", 0)
        self.facts |= {"context": context, "context_from": source, "retries": retries}

    def write(self, code: int) -> None:
        """Write everything down."""
        self.finish()
        known = {name: peak for name, peak in self.peaks.items() if name != "between steps"}
        result = {"exit": code, "phases": known, "steps": self.steps, **self.facts}
        path = self.folder / f"measured.{self.rank}.json"
        path.write_text(json.dumps(result), encoding="utf-8")


def _cuda() -> Any:
    """Return torch.cuda, or None where no card is used (yet)."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def hook(record: Record, needs_card: bool) -> None:
    """Have the trainer that the script makes take three steps on chosen rows, and tell of them."""
    torch: Any = importlib.import_module("torch")
    if needs_card and not torch.cuda.is_available():
        print(f"torch {torch.__version__} of {sys.executable} sees no card", file=sys.stderr)  # noqa: T201
        raise SystemExit(UNUSABLE)
    record.facts |= {"torch": torch.__version__, "cuda": torch.version.cuda}
    made: Any = importlib.import_module("trl").SFTTrainer
    build = made.__init__

    def init(trainer: Any, *arguments: Any, **options: Any) -> None:
        shorten(options["args"])
        build(trainer, *arguments, **options)
        choose(trainer, record)
        watch(trainer, record)

    made.__init__ = init


def shorten(settings: Any) -> None:
    """Have a trainer end after three steps, evaluate at the last, and save and report nothing."""
    settings.max_steps = STEPS
    settings.save_strategy = type(settings.save_strategy)("no")
    settings.load_best_model_at_end = False
    settings.report_to = []
    settings.disable_tqdm = True
    if settings.eval_strategy != "no":
        settings.eval_steps = STEPS


def choose(trainer: Any, record: Record) -> None:
    """Put the chosen rows, tokenized and packed as they are, in the place of all rows."""
    settings = trainer.args
    micro_batches = settings.gradient_accumulation_steps * settings.world_size
    lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    rows = chosen_rows(lengths, settings.per_device_train_batch_size, micro_batches)
    trainer.train_dataset = trainer.train_dataset.select(rows)
    a_step = len(rows) // STEPS
    record.tokens = [
        sum(lengths[row] for row in rows[start : start + a_step])
        for start in range(0, len(rows), a_step)
    ]
    sampler: Any = importlib.import_module("torch.utils.data").SequentialSampler
    trainer._get_train_sampler = lambda rows=None: sampler(trainer.train_dataset)
    if settings.eval_strategy != "no":
        lengths = [len(ids) for ids in trainer.eval_dataset["input_ids"]]
        batch = settings.per_device_eval_batch_size * settings.world_size
        longest = sorted(range(len(lengths)), key=lengths.__getitem__)[-batch:]
        trainer.eval_dataset = trainer.eval_dataset.select(longest)
        record.facts["eval_tokens"] = sum(lengths[row] for row in longest)


def watch(trainer: Any, record: Record) -> None:
    """Have a trainer tell what it is at."""
    callback: Any = importlib.import_module("transformers").TrainerCallback

    class Watcher(callback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            record.say("train")
            record.clock()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            record.end_step()

    trainer.add_callback(Watcher())
    step, loss = trainer.training_step, trainer.compute_loss
    evaluate, train = trainer.evaluate, trainer.train

    def training_step(model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        record.shape = max(record.shape, list(inputs["input_ids"].shape), key=math.prod)
        record.enter("forward")
        result = step(model, inputs, *arguments, **options)
        record.enter("optimizer")
        return result

    def compute_loss(*arguments: Any, **options: Any) -> Any:
        result = loss(*arguments, **options)
        if record.phase == "forward":
            record.enter("backward")
        return result

    def evaluation(*arguments: Any, **options: Any) -> Any:
        record.clock()
        record.enter("evaluate")
        record.say("evaluate")
        result = evaluate(*arguments, **options)
        record.enter("between steps")
        record.facts["eval_seconds"] = record.clock()
        return result

    def training(*arguments: Any, **options: Any) -> Any:
        try:
            return train(*arguments, **options)
        except BaseException:
            record.facts["failed_in"] = [len(record.steps) + 1, record.phase]
            raise
        finally:
            record.finish()

    def save(folder: str | None = None, *_: Any, **__: Any) -> None:
        # The script renames this folder. Nothing is in it.
        Path(folder or trainer.args.output_dir).mkdir(parents=True, exist_ok=True)

    trainer.training_step, trainer.compute_loss = training_step, compute_loss
    trainer.evaluate, trainer.train, trainer.save_model = evaluation, training, save


def script_environment(script: str) -> dict[str, str]:
    """Return what a script sets in the environment where it is not set: those come first of all.

    They are lines `os.environ.setdefault("NAME", "value")`, read here since torch is imported
    before the script runs.
    """
    found = {}
    for node in ast.parse(script).body:
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "os.environ.setdefault":
            name, value = (ast.literal_eval(argument) for argument in call.args)
            found[name] = value
    return found


def run(record: Record, begin: Callable[[], None]) -> int:
    """Run train.py as if by hand; returns its exit code, 1 for a crash."""
    try:
        begin()
        runpy.run_path("train.py", run_name="__main__")
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)  # noqa: T201
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> int:
    """Run the project of the folder on the command line, and write the record."""
    folder = Path(sys.argv[1]).resolve()
    needs_card, rank = "--cuda" in sys.argv, int(os.environ.get("LOCAL_RANK", "0"))
    project = folder / "project"
    os.chdir(project)
    sys.path[0], sys.argv = str(project), ["train.py"]
    script = (project / "train.py").read_text("utf-8")
    for name, value in script_environment(script).items():
        os.environ.setdefault(name, value)
    record = Record(folder, rank, Driver(rank))
    record.say("load")
    code = run(record, lambda: hook(record, needs_card))
    record.write(code)
    return code


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # the libraries' own clean-up takes seconds and frees nothing that matters
