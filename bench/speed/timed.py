"""Run one emitted project for some seconds, and record how many tokens a second it trains on.

    python bench/speed/timed.py PROJECT OUT LOCK [--cap-bytes N] [--tweak NAME ...]

The script is not changed; it is stopped from outside once enough steps have been timed. LOCK: a
file that one process at a time holds while it uses the card; libraries are imported before.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import runpy
import sys
import time
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "vram"))

from worker import Record, cap, hook  # noqa: E402

WARM = {False: 2, True: 4}  # steps before the first timed one; more where torch.compile works
LEAST_STEPS, SECONDS, LONGEST = 3, 7.0, 60.0  # timed steps at least, and for how long; seconds


class Clock:
    """Counts tokens and time from the end of the last warm step on."""

    def __init__(self, compiled: bool) -> None:
        self.warm = WARM[compiled]
        self.tokens: list[Any] = []  # of micro-batches, on the card: nothing waits for them
        self.padded = 0
        self.began = self.ended = 0.0
        self.ends: list[float] = []
        self.steps = 0

    def batch(self, inputs: dict[str, Any]) -> None:
        """Count a micro-batch: every token of a row is learnt but its first."""
        if self.began:
            self.tokens.append((inputs["labels"] != -100).sum())
            self.padded += inputs["input_ids"].numel()

    def step(self) -> bool:
        """Note a step's end; returns whether to stop."""
        import torch

        self.ends.append(time.time())
        done = len(self.ends)
        if done < self.warm:
            return done > 1 and self.ends[-1] - self.ends[0] > 2 * LONGEST
        if done == self.warm:
            torch.cuda.synchronize()
            self.began = time.time()
            return False
        self.steps = done - self.warm
        spent = time.time() - self.began
        if self.steps >= LEAST_STEPS and spent >= SECONDS or spent >= LONGEST:
            torch.cuda.synchronize()
            self.ended = time.time()
            return True
        return False

    def result(self) -> dict[str, Any]:
        """Return the figures; None where no step was timed."""
        seconds = self.ended - self.began
        tokens = int(sum(int(one) for one in self.tokens))
        timed = self.ended > 0
        ends = self.ends
        return {
            "tokens_per_second": round(tokens / seconds, 1) if timed else None,
            "step_seconds": round(seconds / self.steps, 4) if timed else None,
            "steps": self.steps,
            "tokens": tokens,
            "padded_tokens": self.padded,
            "all_steps": [round(b - a, 3) for a, b in zip(ends, ends[1:], strict=False)],
        }


def watch(clock: Clock) -> None:
    """Count batches and steps, and stop the run in time."""
    import trl
    from transformers import trainer_callback

    trainer: Any = trl.SFTTrainer
    handler: Any = trainer_callback.CallbackHandler
    step, event = trainer.training_step, handler.call_event

    def training_step(self: Any, model: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
        clock.batch(inputs)
        return step(self, model, inputs, *rest, **options)

    def call_event(
        self: Any, name: str, args: Any, state: Any, control: Any, *rest: Any, **options: Any
    ) -> Any:
        control = event(self, name, args, state, control, *rest, **options)
        if name == "on_step_end" and clock.step():
            control.should_training_stop = True
        return control

    trainer.training_step, handler.call_event = training_step, call_event


def tweak(names: list[str]) -> None:
    """Change how the libraries run, to learn what the change would bring."""
    import torch
    import trl

    if "nocudnn" in names:
        torch.backends.cuda.enable_cudnn_sdp(False)
    if "pad64" in names:
        config: Any = trl.SFTConfig
        inner = config.__init__

        def init(self: Any, *arguments: Any, **options: Any) -> None:
            inner(self, *arguments, **{**options, "pad_to_multiple_of": 64})

        config.__init__ = init


def main() -> int:
    """Parse the command line, run the project, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--cap-bytes", type=int)
    parser.add_argument("--tweak", nargs="*", default=[])
    options = parser.parse_args()
    project, out = options.project.resolve(), options.out.resolve()
    lock = options.lock.resolve().open("w")
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.chdir(project)
    sys.path.insert(0, str(project))
    sys.argv = ["train.py", "--new"]
    record = Record(saves=False)
    clock = Clock("torch_compile=True" in (project / "train.py").read_text())
    code = 1
    try:
        hook(record)
        watch(clock)
        tweak(options.tweak)
        fcntl.flock(lock, fcntl.LOCK_EX)
        began = time.time()
        if options.cap_bytes:
            record.facts |= cap(options.cap_bytes, None)
        record.phases.enter("load")
        runpy.run_path("train.py", run_name="__main__")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
    result = record.result(int(code), project)
    kept = ("exit", "oom", "allocated", "reserved", "context", "cap_bytes", "phase")
    facts = {name: result.get(name) for name in kept}
    out.write_text(
        json.dumps({**facts, **clock.result(), "seconds": round(time.time() - began, 1)}) + "\n"
    )
    return int(code)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
