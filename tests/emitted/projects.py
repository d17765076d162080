"""Projects on tiny models: how they are built, run and read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiling import build
from filelock import FileLock
from tiny import make_gpt2, make_llama, rows_of, write_rows

METHODS = ("full", "lora", "qlora", "prefix", "prompt")
SPY = Path(__file__).with_name("spy.py")
TRAIN = {
    "batch_size": 2,
    "gradient_accumulation": 2,
    "max_steps": 60,
    "logging_steps": 1,
    "save_steps": 10,
    "eval_steps": 10,
}
# Between them: every format, every kind of file, a share and a file held out.
SPECS: dict[str, dict[str, Any]] = {
    "full": {
        "model": "gpt2",
        "method": "full",
        "data": {"train": "text.csv", "eval": "text-eval.csv"},
        "train": {**TRAIN, "learning_rate": 1e-3, "early_stopping": {"patience": 50}},
    },
    "lora": {
        "model": "llama",
        "method": {"type": "lora", "target_modules": "all-linear"},
        "data": {"train": "alpaca.jsonl", "eval": "alpaca-eval.jsonl"},
        "train": {**TRAIN, "learning_rate": 1e-2},
    },
    "qlora": {
        "model": "llama",
        "method": "qlora",
        "data": {"train": "sharegpt.parquet", "eval": "10%", "system": "Be kind."},
        "train": {**TRAIN, "learning_rate": 1e-2},
    },
    "prefix": {
        "model": "llama",
        "method": {"type": "prefix", "num_virtual_tokens": 4},
        "data": {"train": "messages.json", "eval": "10%"},
        "train": TRAIN,
    },
    "prompt": {
        "model": "llama",
        "method": {"type": "prompt", "num_virtual_tokens": 4, "init_text": "red green blue"},
        "data": {"train": "prompt-completion.jsonl", "eval": "10%"},
        "train": TRAIN,
    },
}


def run(
    project: Path, *arguments: str, check: int | None = 0, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of a project, from another folder, and expect an exit code."""
    script, *rest = arguments
    command = [sys.executable, str(project / script), *rest]
    return _run(command, project.parent, check, env)


def spy(
    project: Path, report: Path, *arguments: str, check: int | None = 0, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of a project under `spy.py`."""
    script, *rest = arguments
    command = [sys.executable, str(SPY), str(report), str(project / script), *rest]
    return _run(command, project.parent, check, env)


def _run(
    command: list[str], folder: Path, check: int | None, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        command,
        cwd=folder,
        env=environment(folder) | env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    if check is not None:
        assert result.returncode == check, f"{result.stdout[-2000:]}\n{result.stderr[-6000:]}"
    return result


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of children: offline, one thread, caches of their own."""
    return os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "home"),
        "HF_DATASETS_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TQDM_DISABLE": "1",
    }


def events(project: Path, number: int = 1) -> list[dict[str, Any]]:
    """Read a run's events."""
    text = (project / "runs" / str(number) / "events.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in found if event["event"] == kind]


def run_until_checkpoint(project: Path, number: signal.Signals = signal.SIGTERM) -> int:
    """Start train.py, send a signal after the first checkpoint, and return its exit code."""
    log = (project.parent / f"{project.name}.log").open("w")
    child = subprocess.Popen(
        [sys.executable, str(project / "train.py")],
        cwd=project.parent,
        env=environment(project.parent),
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    file = project / "runs" / "1" / "events.jsonl"
    deadline = time.monotonic() + 240
    while child.poll() is None and time.monotonic() < deadline:
        if file.exists() and '"checkpoint"' in file.read_text(encoding="utf-8"):
            child.send_signal(number)
            break
        time.sleep(0.005)
    try:
        return child.wait(120)
    finally:
        child.kill()
        log.close()


@dataclass(frozen=True)
class Trained:
    """A project that was stopped once and then finished; `stopped` is how it lay in between."""

    method: str
    project: Path
    stopped: Path
    stop_code: int
    report: dict[str, Any]
    base_digest: str
    base: Path


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Make a folder once, whichever worker comes first."""
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "made").touch()
    return folder


def make_sources(folder: Path) -> None:
    make_llama(folder / "llama")
    make_gpt2(folder / "gpt2")
    write_rows(folder / "text.csv", rows_of("text", 40))
    write_rows(folder / "text-eval.csv", rows_of("text", 7))
    write_rows(folder / "alpaca.jsonl", rows_of("alpaca", 40))
    write_rows(folder / "alpaca-eval.jsonl", rows_of("alpaca", 7))
    write_rows(folder / "sharegpt.parquet", rows_of("sharegpt", 40))
    write_rows(folder / "messages.json", rows_of("messages", 40))
    write_rows(folder / "prompt-completion.jsonl", rows_of("prompt-completion", 40))


def train_once(folder: Path, sources: Path, method: str) -> None:
    shutil.copytree(sources, folder, dirs_exist_ok=True)
    (folder / "made").unlink()
    project = folder / "project"
    build(SPECS[method], project)
    (folder / "base_digest").write_text(tree_digest(folder / str(SPECS[method]["model"])))
    number = signal.SIGINT if method == "prefix" else signal.SIGTERM
    code = run_until_checkpoint(project, number)
    (folder / "stop_code").write_text(str(code))
    shutil.copytree(project, folder / "stopped")
    spy(project, folder / "report.json", "train.py")


def tree_digest(folder: Path) -> str:
    """Return names and hashes of all files of a folder, as text."""
    from ftspec.compiler.project import digest

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return "\n".join(f"{path.name} {digest(path.read_bytes())}" for path in files)
