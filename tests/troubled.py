"""Projects made by hand whose attempts end as a test wants: out of memory, hanging, not finite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Goes through ATTEMPTS, one a start: {"fails": exit code, "event": {...}, "at": step, "hangs":
# bool, "signal": number}. It takes the options of an emitted train.py, and resumes as one does.
TRAIN = """\
import argparse, json, os, signal, sys, time
from pathlib import Path

STEPS, PAUSE, ATTEMPTS = {steps}, {pause}, json.loads({attempts!r})
HERE = Path(__file__).resolve().parent
while not (HERE / "runs").is_dir():
    HERE = HERE.parent
run = max((HERE / "runs").iterdir(), key=lambda path: int(path.name))
parser = argparse.ArgumentParser()
parser.add_argument("--resume", action="store_true")
parser.add_argument("--micro-batch", type=int, default=4)
parser.add_argument("--accumulation", type=int, default=2)
parser.add_argument("--eval-batch", type=int, default=8)
parser.add_argument("--max-length", type=int, default=512)
parser.add_argument("--learning-rate", type=float, default=1e-3)
parser.add_argument("--activation-checkpointing", action=argparse.BooleanOptionalAction,
                    default=False)
options = parser.parse_args()
with open(run / "starts", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
number = len((run / "starts").read_text().splitlines()) - 1
now = ATTEMPTS[number] if number < len(ATTEMPTS) else {{}}
done = [int(path.name.split("-")[1]) for path in run.glob("checkpoint-*")]
stop = False


def write(event, **facts):
    with open(run / "events.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({{"event": event, "time": time.time(), **facts}}) + "\\n")


def request_stop(*_):
    global stop
    stop = True


def fail():
    if now.get("event"):
        write(**now["event"])
    print(now.get("says", "failing"), flush=True)
    while now.get("hangs"):
        time.sleep(0.1)
    if now.get("signal"):
        os.kill(os.getpid(), now["signal"])
    os._exit(now["fails"])


signal.signal(signal.SIGUSR1, lambda *_: print("where it stands", flush=True))
if not now.get("hangs"):
    signal.signal(signal.SIGTERM, request_stop)
first = max(done, default=0)
if now and now.get("at") is None:
    fail()
write("start", schema_version=1, step=first, total_steps=STEPS, train_rows=40,
      resumed_from=f"checkpoint-{{first}}" if first else None, plan_hash="abc",
      micro_batch=options.micro_batch, accumulation=options.accumulation,
      eval_batch=options.eval_batch, max_length=options.max_length,
      learning_rate=options.learning_rate,
      activation_checkpointing=options.activation_checkpointing)
for step in range(first + 1, STEPS + 1):
    time.sleep(PAUSE)
    write("step", step=step, loss=3.0 / step, grad_norm=1.0, tokens_per_second=1234.5,
          learning_rate=options.learning_rate, memory_bytes=step * 2**20)
    if now.get("at") == step:
        fail()
    if stop or step % 2 == 0:
        folder = run / f"checkpoint-{{step}}"
        folder.mkdir(exist_ok=True)
        (folder / "manifest.json").write_text("{{}}")
        write("checkpoint", step=step, path=folder.name)
    if stop:
        write("stop", step=step, code=75)
        sys.exit(75)
(run / "final").mkdir()
write("end", step=STEPS, final="final")
"""


def troubled(
    folder: Path,
    *attempts: dict[str, Any],
    steps: int = 6,
    pause: float = 0.0,
    plan: dict[str, Any] | None = None,
    run: dict[str, Any] | None = None,
) -> Path:
    """Write a project whose attempts fail as they are told, and whose last one does not."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {
        "schema_version": 1,
        "method": {"type": "lora", "quantization": "none"},
        "hardware": {"device": "cuda", "count": 1},
        "memory": {"allocated_peak_bytes": 8 * 2**20, "phases": {"train": 9 * 2**20}},
        "run": run or {},
        **(plan or {}),
    }
    (folder / "plan.json").write_text(json.dumps(whole), encoding="utf-8")
    script = TRAIN.format(steps=steps, pause=pause, attempts=json.dumps(attempts))
    (folder / "train.py").write_text(script, encoding="utf-8")
    return folder


def out_of_memory(phase: str, at: int | None, where: str = "gpu") -> dict[str, Any]:
    """Return an attempt that runs out of memory in a phase, after a step."""
    event = {"event": "out-of-memory", "phase": phase, "where": where, "message": "out of memory"}
    return {"fails": 76, "at": at, "event": event}


def starts(project: Path, number: int = 1) -> list[list[str]]:
    """Return the options that each attempt of a run was started with."""
    lines = (project / f"runs/{number}/starts").read_text().splitlines()
    return [json.loads(line) for line in lines]
