"""Time and weigh the reading of large logs: records a second and peak memory of a child.

    python bench/doctor/speed.py                 # 200 MB of each kind, about a minute
    python bench/doctor/speed.py --mb 1000 --limit-mb 1024

Each kind is written to a temporary folder, then read by a Python of its own whose address space
is limited; the child reports its records, its seconds and the greatest resident size that the
kernel saw (ru_maxrss). `--judged` adds what every rule asks first: the judged records' losses.
`of CPU` is records a second of processor time, which other programs on the machine hardly change.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

CHUNK = 4096  # records made once and repeated with new steps


def json_line(step: int, loss: float, norm: float) -> str:
    """Return a line as W&B exports and NeMo write them, about 150 bytes."""
    row = {"step": step, "epoch": round(step / 9e4, 6), "loss": loss, "grad_norm": norm}
    return json.dumps({**row, "learning_rate": 2e-4 * math.exp(-step / 5e6), "tps": 11873.25})


def trainer_log_line(step: int, loss: float, norm: float) -> str:
    """Return a line of LLaMA-Factory's trainer_log.jsonl."""
    row = {"current_steps": step, "total_steps": 9_000_000, "loss": loss, "lr": 1e-4}
    times = {"percentage": 0.15, "elapsed_time": "0:02:12", "remaining_time": "1 day, 0:08:23"}
    return json.dumps({**row, "epoch": step / 9e4, **times})


def nanogpt_line(step: int, loss: float, norm: float) -> str:
    """Return a line that nanoGPT prints."""
    return f"iter {step}: loss {loss:.4f}, time {187.5 + norm:.2f}ms, mfu 31.25%"


def trainer_line(step: int, loss: float, norm: float) -> str:
    """Return a line that the Hugging Face Trainer prints."""
    rate = 2e-4 * math.exp(-step / 5e6)
    row = {"loss": loss, "grad_norm": norm, "learning_rate": rate, "epoch": round(step / 9e4, 4)}
    return str(row)


def bar_line(step: int, loss: float, norm: float) -> str:
    """Return what the Trainer prints with its progress bar."""
    bar = f"{step % 100:3d}%|####      | {step}/9000000 [00:10<04:50,  1.02it/s]"
    return f"{bar}\r{bar}{trainer_line(step, loss, norm)}"


def event_line(step: int, loss: float, norm: float) -> str:
    """Return a line of ftspec's own events.jsonl."""
    row = {"event": "step", "step": step, "epoch": round(step / 9e4, 4), "loss": loss}
    return json.dumps({**row, "learning_rate": 2e-4, "grad_norm": norm, "tokens": 8192 * step})


def generic_line(step: int, loss: float, norm: float) -> str:
    """Return a line of a loop that somebody wrote."""
    return (
        f"2025-01-02 10:11:12,345 - INFO - Epoch: 1 | Step: {step} | Train loss: {loss:.4f} | "
        f"lr: 2.0e-04 | grad norm: {norm:.3f} | tok/s: 11873"
    )


def csv_line(step: int, loss: float, norm: float) -> str:
    """Return a row under `step,loss,grad_norm,learning_rate,epoch`."""
    return f"{step},{loss},{norm},0.0002,{step / 9e4:.6f}"


KINDS: dict[str, tuple[str, Callable[[int, float, float], str]]] = {
    "json-lines": ("", json_line),
    "llama-factory": ("", trainer_log_line),
    "csv": ("step,loss,grad_norm,learning_rate,epoch", csv_line),
    "nanogpt": ("", nanogpt_line),
    "hf-stdout": ("", trainer_line),
    "hf-bars": ("", bar_line),
    "events": ("", event_line),
    "text": ("", generic_line),
}


def write(path: Path, kind: str, size: int) -> int:
    """Write a log of at least so many bytes; return its records."""
    header, line_of = KINDS[kind]
    source = random.Random(7)
    written, step = 0, 0
    with path.open("w") as stream:
        if header:
            written += stream.write(header + "\n")
        while written < size:
            lines = []
            for _ in range(CHUNK):
                step += 1
                loss = round(1.2 + 1.5 * math.exp(-step / 4e5) + source.gauss(0, 0.05), 4)
                lines.append(line_of(step, loss, round(1 + source.random(), 4)))
            written += stream.write("\n".join(lines) + "\n")
    return step


def child(path: str, limit_mb: int, judged: bool) -> None:
    """Read one log within a limit; print what it took as JSON."""
    if limit_mb:
        limit = limit_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    from ftspec.doctor.curves.log import Log
    from ftspec.doctor.curves.readers import read

    start, worked = time.perf_counter(), time.process_time()
    run = read(Log.of_path(Path(path)))
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    losses = len(run.losses) if judged else None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = {"format": run.format, "records": len(run.train), "problems": len(run.problems)}
    print(
        json.dumps(
            {
                **told,
                "seconds": seconds,
                "cpu_seconds": worked,
                "peak_bytes": peak,
                "losses": losses,
            }
        )
    )


def measure(path: Path, limit_mb: int, judged: bool) -> dict[str, float]:
    """Run a child on a log and return what it reports; a failure is shown and ends the bench."""
    command = [sys.executable, __file__, "--child", str(path), "--limit-mb", str(limit_mb)]
    done = subprocess.run(
        [*command, *(["--judged"] if judged else [])], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{path.name}: exit {done.returncode}\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure the kinds asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=200, help="size of each log (default 200)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--limit-mb", type=int, default=1024, help="address space of a child")
    parser.add_argument("--judged", action="store_true", help="ask for the judged losses as well")
    parser.add_argument("--gzip", action="store_true", help="pack the logs")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, asked.limit_mb, asked.judged)
        return
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    print(f"{asked.mb} MB a log, {asked.limit_mb} MiB of address space")
    print(f"{'kind':<14} {'format':<24} {'records':>10} {'records/s':>10} ", end="")
    print(f"{'of CPU':>10} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for kind in asked.kinds:
            path = Path(folder, kind)
            records = write(path, kind, asked.mb * 10**6)
            if asked.gzip:
                packed = path.with_suffix(".gz")
                packed.write_bytes(gzip.compress(path.read_bytes(), 1))
                path.unlink()
                path = packed
            found = measure(path, asked.limit_mb, asked.judged)
            if found["records"] != records:
                sys.exit(f"{kind}: {found['records']} records read of {records}")
            rate, of_cpu = records / found["seconds"], records / found["cpu_seconds"]
            peak = found["peak_bytes"] / 2**20
            print(f"{kind:<14} {found['format']:<24} {records:>10,} {rate:>10,.0f} ", end="")
            print(f"{of_cpu:>10,.0f} {peak:>9.0f}", flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
