"""Run the prepared projects on a GPU, many at once, and append what each took to a file.

Needs torch, transformers, trl, peft, bitsandbytes, datasets and nvidia-ml-py; not ftspec.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from card import Card, Sampler
from schedule import Job, Schedule, run
from weights import make

GIB = 2**30
HERE = Path(__file__).resolve().parent
LIBRARIES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets")
OUT_OF_MEMORY = 76
KEPT_FREE = 6 * GIB  # of the card: contexts of processes that end, and what is not foreseen
# Caps that a case which died is given in turn, as shares of its predicted peak, until it lives.
CLIMB = (0.98, 1.0, 1.02, 1.05, 1.1, 1.2, 1.4)
STRIDE = 1.1  # the next cap over the last one, beyond those


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured, and how much at once."""

    work: Path
    out: Path
    only: str = ""
    split: str = ""
    kind: str = ""
    seconds: float = float("inf")
    grace: float = 60.0
    timeout: float = 240.0
    slots: int = 10
    host_bytes: int = 100 * GIB
    context_bytes: int | None = None
    climb: bool = False
    again: bool = False
    repeats: int = 1


def unpack(archive: Path, work: Path) -> list[dict[str, Any]]:
    """Unpack the archive of `prepare` and return its cases; each model gets the tokenizer."""
    work.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as file:
        file.extractall(work, filter="data")
    for folder in (work / "models").iterdir():
        for path in (work / "tokenizer").iterdir():
            shutil.copy(path, folder / path.name)
    cases: list[dict[str, Any]] = json.loads((work / "cases.json").read_text())
    return cases


IGNORED = ("bos_token_id", "eos_token_id", "pad_token_id", "max_position_embeddings")


def versions() -> dict[str, str]:
    """Return the versions of the libraries that decide what a run takes."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def digest(config: Path) -> str:
    """Return a short hash of a model's config.json: a result holds for that config alone.

    Token ids and the longest sequence, which no block's memory depends on, are left out.
    """
    keys = json.loads(config.read_text(encoding="utf-8"))
    kept = {name: value for name, value in keys.items() if name not in IGNORED}
    return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def read_results(out: Path) -> list[dict[str, Any]]:
    """Return all result lines so far; a line that was cut off is passed over."""
    rows = []
    for line in out.read_text(encoding="utf-8").splitlines() if out.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def measure(archive: Path, options: Options) -> int:
    """Measure what is not measured yet; returns the number of cases that failed."""
    cases = unpack(archive, options.work)
    card = Card.first()
    stamp = {"gpu": card.name, "driver": card.driver, "versions": versions()}
    known = read_results(options.out)
    alike = [row for row in known if (row["gpu"], row["versions"]) == (card.name, versions())]
    jobs = list(_jobs(cases, alike, options, card))
    print(f"{len(jobs)} to measure on {card.name}, {card.total_bytes / GIB:.1f} GiB", flush=True)
    context = options.context_bytes or _usual_context(alike)
    schedule = Schedule(jobs, card.total_bytes - KEPT_FREE, options.host_bytes, options.slots)
    left = Counter(job.facts["folder"] for job in jobs)
    failed = []
    live: list[Process] = []
    with Sampler(card) as sampler:

        def start(job: Job) -> Process:
            make(options.work / "models" / job.facts["folder"])
            process = Process(job, options, context, sampler)
            live[:] = [other for other in live if other.process.returncode is None] + [process]
            for other in live if len(live) > 1 else ():
                other.crowded = True
            return process

        ends = run(schedule, start, seconds=options.seconds, grace=options.grace)
        for job, result in ends:
            if _again_alone(job, result):
                schedule.add(replace(job, alone=True))
                continue
            config = digest(options.work / "models" / job.facts["folder"] / "config.json")
            _append(options.out, {"case": job.facts["id"], "config": config, **stamp, **result})
            _say(job, result)
            if result["exit"] not in (0, OUT_OF_MEMORY):
                failed.append((job.name, result))
            for more in _climb(job, result, options, card):
                left[more.facts["folder"]] += 1
                schedule.add(more)
            left[job.facts["folder"]] -= 1
            if not left[job.facts["folder"]]:
                (options.work / "models" / job.facts["folder"] / "model.safetensors").unlink(
                    missing_ok=True
                )
    for name, result in failed:
        print(f"failed: {name}: exit {result['exit']}: {result['said'][-400:]}")
    print(f"{len(schedule.waiting)} left", flush=True)
    return len(failed)


def _jobs(
    cases: list[dict[str, Any]], alike: list[dict[str, Any]], options: Options, card: Card
) -> Iterator[Job]:
    done = Counter(
        (row["case"], row.get("cap_bytes") or 0)
        for row in alike
        if not options.again or row["exit"] in (0, OUT_OF_MEMORY)
    )
    for item in cases:
        cap = (item["case"]["cap_gib"] or 0) * GIB
        wanted = options.only in item["id"] and options.split in item["split"]
        if not wanted or options.kind not in item["kind"]:
            continue
        if done[item["id"], cap] >= options.repeats:
            yield from _higher(item, alike, options, card)
            continue
        if (item["peak_bytes"] or 0) > card.total_bytes:
            print(f"{item['id']}: needs a larger card, passed over", flush=True)
            continue
        yield _job(item, cap)


def _job(item: dict[str, Any], cap: int) -> Job:
    facts = {**item, "cap_bytes": cap}
    name = f"{item['id']}@{cap}" if cap else item["id"]
    reserved = max(item["reserve_bytes"], cap if cap != (item["case"]["cap_gib"] or 0) * GIB else 0)
    return Job(name, reserved, item["reserve_host_bytes"], item["seconds"], facts=facts)


def _usual_context(rows: list[dict[str, Any]]) -> int | None:
    """Return the median of what processes held outside of the allocator at their ends."""
    found = sorted(row["context"] for row in rows if row.get("context") and row["exit"] == 0)
    return found[len(found) // 2] if len(found) >= 5 else None


def _again_alone(job: Job, result: dict[str, Any]) -> bool:
    """Whether memory ran out because of others on the card, so that nothing was learnt."""
    free = result.get("card_free_end")
    by_others = not job.facts["cap_bytes"] or (free is not None and free < 4 * GIB)
    return result["exit"] == OUT_OF_MEMORY and result["crowded"] and by_others


def _climb(job: Job, result: dict[str, Any], options: Options, card: Card) -> Iterator[Job]:
    """Yield a capped case that died again, under the next cap, until one is large enough."""
    tried = {"case": job.facts["id"], "cap_bytes": job.facts["cap_bytes"], "exit": result["exit"]}
    yield from _higher(job.facts, [tried], options, card)


def _higher(
    item: dict[str, Any], results: list[dict[str, Any]], options: Options, card: Card
) -> Iterator[Job]:
    """Yield a case under the next cap above those it died under; nothing where it ran once."""
    mine = [row for row in results if row["case"] == item["id"] and row.get("cap_bytes")]
    peak, own = item["peak_bytes"], (item["case"]["cap_gib"] or 0) * GIB
    lives = any(row["exit"] == 0 for row in mine)
    if not options.climb or not mine or not peak or lives:
        return
    highest = max(own, *(row["cap_bytes"] for row in mine))
    caps = [round(share * peak) for share in CLIMB if round(share * peak) > highest]
    cap = caps[0] if caps else round(STRIDE * highest)
    if cap < card.total_bytes - KEPT_FREE:
        yield _job(item, cap)


def _append(out: Path, row: dict[str, Any]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _say(job: Job, result: dict[str, Any]) -> None:
    def gib(value: int | None) -> str:
        return "-" if value is None else f"{value / GIB:.2f}"

    sizes = " ".join(gib(result.get(key)) for key in ("allocated", "reserved", "context"))
    predicted = gib(job.facts["peak_bytes"])
    print(
        f"{job.name:62} exit {result['exit']:3} {result['seconds']:5.0f} s  "
        f"GiB {sizes}  predicted {predicted}  {result.get('phase')}",
        flush=True,
    )


class Process:
    """One case in a fresh process."""

    def __init__(self, job: Job, options: Options, context: int | None, sampler: Sampler) -> None:
        self.project = options.work / "projects" / job.facts["id"]
        self.result_file = self.project / "result.json"
        self.result_file.unlink(missing_ok=True)
        self.job, self.sampler, self.timeout = job, sampler, options.timeout + job.seconds
        self.crowded, self.began = False, time.monotonic()  # crowded: another ran beside it
        command = [sys.executable, str(HERE / "worker.py"), str(self.project)]
        command += [str(self.result_file)]
        if job.facts["cap_bytes"]:
            command += ["--cap-bytes", str(job.facts["cap_bytes"])]
            command += ["--context-bytes", str(context)] if context else []
        if job.facts["case"]["save"]:
            command.append("--save")
        environment = {"OMP_NUM_THREADS": "2", **os.environ}
        if options.slots == 1:  # then what the card shows more than before is this process's
            environment["VRAM_BENCH_BASELINE"] = str(sampler.card.used_bytes())
        self.log = (self.project / "log").open("wb")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env=environment, start_new_session=True
        )

    def poll(self) -> dict[str, Any] | None:
        """Return the record once the process has ended; a slow one is killed."""
        code = self.process.poll()
        spent = time.monotonic() - self.began
        if code is None and spent < self.timeout:
            return None
        if code is None:
            self.kill()
            code = 124
        self.log.close()
        result: dict[str, Any] = {"exit": code, "seconds": round(spent, 1), "oom": code == 76}
        if self.result_file.exists():
            result |= json.loads(self.result_file.read_text())
        text = (self.project / "log").read_text(errors="replace")
        said = "" if code == 0 else text[-1500:]
        sampled = self.sampler.take(self.process.pid)
        shutil.rmtree(self.project / "runs", ignore_errors=True)
        return {**result, "sampled": sampled, "crowded": self.crowded, "said": said}

    def kill(self) -> None:
        """End the process and whatever it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()
