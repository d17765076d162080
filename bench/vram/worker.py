"""Run one emitted project as it is, and record what it took, phase by phase.

    python bench/vram/worker.py PROJECT OUT [--cap-bytes N] [--context-bytes N] [--save]

The project's train.py is not changed: what is recorded is hooked in from outside. PROJECT needs
its model and data where its constants say. OUT gets one JSON object. The exit code is the
script's own. Without a GPU the memory figures are null.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIB = 2**20


class Phases:
    """The allocator's peaks, phase by phase; `close` ends one, and the next begins."""

    def __init__(self) -> None:
        self.peaks: dict[str, list[int]] = {}
        self.name = "start"

    def enter(self, name: str) -> None:
        """End the phase that is running and begin another, or the same anew."""
        self.close()
        self.name = name

    def close(self) -> None:
        """Keep the peaks of the phase that is running: [allocated, reserved] bytes."""
        if (cuda := _cuda()) is None:
            return
        now = [cuda.max_memory_allocated(), cuda.max_memory_reserved()]
        before = self.peaks.get(self.name, [0, 0])
        self.peaks[self.name] = [max(pair) for pair in zip(now, before, strict=True)]
        cuda.reset_peak_memory_stats()


class Record:
    """What is recorded of the run."""

    def __init__(self, saves: bool) -> None:
        self.phases = Phases()
        self.facts: dict[str, Any] = {}
        self.step_ends: list[float] = []
        self.saves = saves

    def at_end_of_training(self) -> None:
        """Read what the process holds outside of the allocator, and how the allocator fared."""
        self.phases.close()
        if (cuda := _cuda()) is None or "reserved_end" in self.facts:
            return
        cuda.synchronize()
        reserved, used = cuda.memory_reserved(), process_bytes()
        stats = cuda.memory_stats()
        self.facts |= {
            "reserved_end": reserved,
            "process_end": used,
            "context": None if used is None else used - reserved,
            "retries": stats.get("num_alloc_retries", 0),
            "ooms": stats.get("num_ooms", 0),
            "card_free_end": cuda.mem_get_info()[0],
        }

    def result(self, code: int, project: Path) -> dict[str, Any]:
        """Return everything, with the losses that the script wrote."""
        self.at_end_of_training()
        peaks = self.phases.peaks
        ends = self.step_ends
        events = _events(project)
        return {
            "exit": code,
            "oom": code == 76,
            "allocated": max((pair[0] for pair in peaks.values()), default=None),
            "reserved": max((pair[1] for pair in peaks.values()), default=None),
            "phase": max(peaks, key=lambda name: peaks[name][0], default=None),
            "phases": peaks,
            **self.facts,
            "step_seconds": [round(b - a, 3) for a, b in zip(ends, ends[1:], strict=False)],
            "losses": [event["loss"] for event in events if event["event"] == "step"],
            "eval_losses": [event["loss"] for event in events if event["event"] == "eval"],
        }


def _cuda() -> Any:
    """Return torch.cuda, or None where there is no GPU or torch is not loaded yet."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None


def process_bytes() -> int | None:
    """Return what the driver says this process holds on the card, or None where it hides it."""
    try:
        import pynvml

        pynvml.nvmlInit()
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        card = pynvml.nvmlDeviceGetHandleByIndex(int(first) if first.isdigit() else 0)
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(card)
        alone = os.environ.get("VRAM_BENCH_BASELINE")
        for process in processes:
            if process.pid == os.getpid() and process.usedGpuMemory:
                return int(process.usedGpuMemory)
        if alone is not None:  # no other process is on the card: what it shows more is ours
            return int(pynvml.nvmlDeviceGetMemoryInfo(card).used) - int(alone)
    except Exception as error:  # no library, no driver, or a driver that refuses
        print(f"the driver's figure is not to be had: {error}", file=sys.stderr)
    return None


def cap(limit: int, given: int | None) -> dict[str, int]:
    """Hold the allocator to `limit` bytes less the context, which a small product brings in.

    `given`: what other runs' contexts took at their ends; the larger of the two counts.
    """
    import torch

    a = torch.ones(256, 256, device="cuda", dtype=torch.bfloat16)
    (a @ a).sum().item()
    del a
    clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
    if clear is not None:
        clear()
    torch.cuda.empty_cache()
    used = process_bytes()
    measured = None if used is None else used - torch.cuda.memory_reserved()
    if measured is None and given is None:
        raise SystemExit("the context is not known here: pass --context-bytes")
    context = max(measured or 0, given or 0)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, (limit - context) / total))
    torch.cuda.reset_peak_memory_stats()
    before = {"context_before": measured} if measured is not None else {}
    return {"cap_bytes": limit, "limit_bytes": limit - context, **before}


def hook(record: Record) -> None:
    """Have transformers and trl tell where the run is."""
    import transformers
    import trl
    from transformers import trainer_callback

    base: Any = transformers.Trainer
    trainer: Any = trl.SFTTrainer  # type: ignore[attr-defined]
    handler: Any = trainer_callback.CallbackHandler
    enter = record.phases.enter

    def around(owner: Any, name: str, before: str | None, after: str | None) -> None:
        inner = getattr(owner, name)

        def outer(self: Any, *arguments: Any, **options: Any) -> Any:
            if before:
                enter(before)
            result = inner(self, *arguments, **options)
            if after:
                enter(after)
            return result

        setattr(owner, name, outer)

    around(trainer, "__init__", "setup", None)
    around(trainer, "training_step", "forward", "clip")
    around(trainer, "evaluate", "evaluate", "log")
    loss = trainer.compute_loss

    def compute_loss(self: Any, *arguments: Any, **options: Any) -> Any:
        result = loss(self, *arguments, **options)
        if self.model.training:
            enter("backward")
        return result

    trainer.compute_loss = compute_loss
    event = handler.call_event

    def call_event(self: Any, name: str, *arguments: Any, **options: Any) -> Any:
        if name == "on_pre_optimizer_step":
            enter("optimizer")
        elif name == "on_step_end":
            record.step_ends.append(time.time())
            enter("log")
        return event(self, name, *arguments, **options)

    handler.call_event = call_event
    base.train = _training(base.train, record)
    if record.saves:
        around(trainer, "_save_checkpoint", "save", "log")
        around(trainer, "save_model", "save", "log")
    else:
        _save_nothing(trainer)


def _training(inner: Callable[..., Any], record: Record) -> Callable[..., Any]:
    def train(self: Any, *arguments: Any, **options: Any) -> Any:
        record.phases.enter("begin")
        try:
            return inner(self, *arguments, **options)
        finally:
            record.at_end_of_training()

    return train


def _save_nothing(trainer: Any) -> None:
    """Large weights are not written: the folders that the script seals and renames are."""

    def checkpoint(self: Any, *_: Any, **__: Any) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        folder.mkdir(parents=True, exist_ok=True)

    def model(self: Any, output_dir: str | None = None, *_: Any, **__: Any) -> None:
        Path(output_dir or self.args.output_dir).mkdir(parents=True, exist_ok=True)

    trainer._save_checkpoint, trainer.save_model = checkpoint, model


def _events(project: Path) -> list[dict[str, Any]]:
    runs = sorted(project.glob("runs/*/events.jsonl"), key=lambda path: path.stat().st_mtime)
    return [json.loads(line) for line in runs[-1].read_text().splitlines()] if runs else []


def main() -> int:
    """Parse the command line, run the project, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cap-bytes", type=int)
    parser.add_argument("--context-bytes", type=int)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    project, out = options.project.resolve(), options.out.resolve()
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.chdir(project)
    sys.path.insert(0, str(project))
    sys.argv = ["train.py", "--new"]
    record = Record(options.save)
    began = time.time()
    code = 1
    try:
        hook(record)
        if options.cap_bytes and _cuda() is not None:
            record.facts |= cap(options.cap_bytes, options.context_bytes)
        record.phases.enter("load")
        record.facts["import_seconds"] = round(time.time() - began, 1)
        runpy.run_path("train.py", run_name="__main__")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    result = record.result(int(code), project)
    result["seconds"] = round(time.time() - began, 1)
    out.write_text(json.dumps(result) + "\n")
    return int(code)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # the libraries' own clean-up takes seconds and frees nothing that matters
