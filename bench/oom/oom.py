"""Runs that really run out of GPU memory, and `ftspec run` left alone with them.

    python bench/oom/oom.py run DIR OUT.jsonl        on a GPU; makes everything it needs in DIR
    python bench/oom/oom.py run DIR OUT.jsonl --pretend     anywhere, tiny models, no real cap
    python bench/oom/oom.py report OUT.jsonl         writes RESULTS.md

Each case is run twice: without a cap, and under one by `ftspec run` alone. README.md says more.
A case that OUT holds is passed over.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "vram")]

from oom_cases import CASES  # noqa: E402
from oom_prepare import Prepared, make_models, place_of, prepare, smaller  # noqa: E402
from schedule import Job, Schedule  # noqa: E402
from schedule import run as run_jobs  # noqa: E402

GIB = 2**30
CONTEXT = GIB  # of a process on the card, beside what its allocator reserves; generous


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="run all cases")
    run.add_argument("folder", type=Path)
    run.add_argument("out", type=Path, help="results are appended here, a line a case")
    run.add_argument("--pretend", action="store_true", help="tiny models on the CPU")
    run.add_argument("--prepare", action="store_true", help="say the caps, and run nothing")
    run.add_argument("--gpu", help="prepare for another card than the one that is here")
    run.add_argument("--only", default="", help="cases whose id holds this")
    run.add_argument("--jobs", type=int, default=8, help="runs at once")
    run.add_argument("--seconds", type=float, default=480, help="then none starts")
    told = verbs.add_parser("report", help="write RESULTS.md")
    told.add_argument("out", type=Path)
    options = parser.parse_args()
    if options.verb == "run":
        return run_all(options)
    from oom_report import report

    (HERE / "RESULTS.md").write_text(report(options.out), encoding="utf-8")
    return 0


def run_all(options: argparse.Namespace) -> int:
    """Prepare and run all cases that OUT does not hold; returns 1 where one was not recovered."""
    began, folder = time.time(), options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("FTSPEC_TRACE", "off")  # tapes are there for these shapes
    held = {json.loads(line)["case"] for line in _lines(options.out)}
    wanted = [case for case in CASES if options.only in case.id and case.id not in held]
    if options.pretend:
        options.gpu = "cpu"
        wanted = [smaller(case) for case in wanted if case.phase != "load"]
    make_models({case.model for case in wanted}, folder, options.pretend)
    python = folder / "capped"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "oom_capped.py"} "$@"\n')
    python.chmod(0o755)
    places = {case.id: place_of(case, folder) for case in wanted}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda case: prepare(case, folder, places[case.id], options), wanted)
        ready = {one.case.id: one for one in made if one is not None}
    print(f"{len(ready)} cases prepared after {time.time() - began:.0f} s", flush=True)
    if options.prepare:
        return 0
    jobs = [job for one in ready.values() for job in jobs_of(one, options.pretend)]
    schedule = Schedule(jobs, _card_bytes(), 100 * GIB, options.jobs)
    left = options.seconds - (time.time() - began)
    begin = partial(start, ready=ready, python=python, pretend=options.pretend)
    ended: set[str] = set()
    failed = 0
    for job, _ in run_jobs(schedule, lambda job: begin(job.name), seconds=left, grace=60):
        ended.add(job.name)
        case, _, kind = job.name.partition(":")
        forget_weights(ready[case].calm if kind == "calm" else ready[case].capped)
        if not {f"{case}:calm", f"{case}:capped"} <= ended:
            continue
        row = result(ready[case]) | {"gpu": _card_name(), "versions": versions()}
        failed += not row["recovered"]
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        said = f"{row['case']:45} {'ok' if row['recovered'] else 'NOT RECOVERED'}"
        print(f"{said}  {row['attempts']} attempts, {time.time() - began:.0f} s", flush=True)
    return int(failed > 0)


def jobs_of(one: Prepared, pretend: bool) -> list[Job]:
    """Return a case's two runs."""
    late = one.case.phase == "late step"
    seconds = 120.0 if late else 40.0
    host = 6 * GIB
    calm = 0 if pretend else round(1.2 * one.needed) + CONTEXT
    capped = 0 if pretend else min(calm, one.cap + CONTEXT)
    return [
        Job(f"{one.case.id}:calm", calm, host, seconds),
        Job(f"{one.case.id}:capped", capped, host, 2 * seconds),
    ]


@dataclass
class Run:
    """A run that was started, as a user would start it, and is left alone."""

    child: subprocess.Popen[bytes]

    def poll(self) -> dict[str, Any] | None:
        """Return its exit code, or None while it runs."""
        code = self.child.poll()
        return None if code is None else {"exit": code}

    def kill(self) -> None:
        """Have it stop; the script that it supervises saves and ends."""
        self.child.terminate()


def start(name: str, ready: dict[str, Prepared], python: Path, pretend: bool) -> Run:
    """Start a case's run by `ftspec run`."""
    case, _, kind = name.partition(":")
    one = ready[case]
    project = one.calm if kind == "calm" else one.capped
    added = {} if kind == "calm" else one.environment(pretend)
    words = [sys.executable, "-m", "ftspec", "run", str(project), "--python", str(python)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    with (project / "supervisor.txt").open("wb") as log:
        return Run(subprocess.Popen(words, env=environment | added, stdout=log, stderr=log))


def result(one: Prepared) -> dict[str, Any]:
    """Return what became of a case: its attempts, and its losses beside the undisturbed run's."""
    run = json.loads((one.capped / "runs/1/run.json").read_text(encoding="utf-8"))
    events, calm = events_of(one.capped), events_of(one.calm)
    begun = [event for event in events if event["event"] == "start"]
    attempts = run["attempts"]
    failed = [item for item in attempts if item["exit"] == 76]
    return {
        "case": one.case.id,
        "phase": one.case.phase,
        "model": one.case.model,
        "method": one.case.method,
        "cap_bytes": one.cap if one.case.phase != "save" else None,
        "predicted_bytes": one.needed,
        "recovered": run["state"] == "finished" and bool(failed),
        "attempts": len(attempts),
        "out_of_memory": [[item["phase"], item.get("step")] for item in failed],
        "resumed_from": [item["resumed_from"] for item in attempts[1:]],
        "changes": [
            [change["path"], change["asked"], change["planned"]]
            for item in attempts
            for change in item["changes"]
        ],
        "effective_batches": sorted({event["effective_batch"] for event in begun}),
        "steps": one.case.steps,
        "losses": losses(events),
        "calm_losses": losses(calm),
        "restarts": [event["step"] for event in begun[1:]],
        "said": (one.capped / "supervisor.txt").read_text("utf-8", "replace")[-3000:],
    }


def forget_weights(project: Path) -> None:
    """Remove what a run saved: of all runs together it is more than a disk holds."""
    for folder in (*project.glob("runs/*/checkpoint-*"), *project.glob("runs/*/final")):
        shutil.rmtree(folder, ignore_errors=True)


def losses(events: list[dict[str, Any]]) -> list[list[float]]:
    """Return [step, loss] of each step, as it was the last time it was gone through."""
    found = {event["step"]: event["loss"] for event in events if event["event"] == "step"}
    return [[step, found[step]] for step in sorted(found)]


def events_of(project: Path) -> list[dict[str, Any]]:
    """Read the events of a project's run."""
    return [json.loads(line) for line in _lines(project / "runs/1/events.jsonl")]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def versions() -> dict[str, str]:
    """Return the versions of the libraries."""
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate")}


def _card_bytes() -> int:
    """Return what the card has free, less a reserve for what is not predicted."""
    import torch

    return int(torch.cuda.mem_get_info()[0] * 0.9) if torch.cuda.is_available() else 0


def _card_name() -> str:
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else "no card: pretended"


if __name__ == "__main__":
    sys.exit(main())
