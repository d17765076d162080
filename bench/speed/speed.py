"""Time what a planner may choose, and hold its choice against the best of them.

    python bench/speed/speed.py prepare DIR [--set judge]    needs ftspec, no GPU: one archive
    python bench/speed/speed.py measure DIR OUT              on the GPU: appends JSON lines
    python bench/speed/speed.py report OUT DIR               PLANNER.md (ftspec)

settings.py says what is timed. A point that OUT holds for the same card and versions is not timed
again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "vram"))

GIB = 2**30
TIMEOUT = 150  # seconds of a point and of the one before it


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    prepares = verbs.add_parser("prepare", help="compile the points into one archive")
    prepares.add_argument("folder", type=Path)
    prepares.add_argument("--set", default="judge", choices=("calibrate", "judge"))
    measures = verbs.add_parser("measure", help="time them on this machine's GPUs")
    measures.add_argument("folder", type=Path)
    measures.add_argument("out", type=Path)
    measures.add_argument("--work", type=Path, default=Path("/tmp/speed"))
    measures.add_argument("--gpus", default="0", help="their numbers, by commas")
    measures.add_argument("--seconds", type=float, default=float("inf"), help="then none starts")
    reports = verbs.add_parser("report", help="write PLANNER.md")
    reports.add_argument("out", type=Path)
    reports.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.verb == "measure":
        return measure(options)
    if options.verb == "prepare":
        from planned import prepare

        archive = prepare(options.folder, options.set)
        print(f"{archive}: {archive.stat().st_size / 2**20:.2f} MiB")
        return 0
    from judged import report

    report(options.out, options.folder)
    return 0


def measure(options: argparse.Namespace) -> int:
    """Time the points, one at a time on each GPU, in the order of their settings."""
    from card import Card
    from measure import read_results, unpack, versions
    from weights import make

    items = unpack(options.folder / "vram.tar.gz", options.work)
    card = Card.first()
    stamp = {"gpu": card.name, "driver": card.driver, "versions": versions()}
    done = {
        row["case"]
        for row in read_results(options.out)
        if (row["gpu"], row["versions"]) == (stamp["gpu"], stamp["versions"])
    }
    queue: Queue[dict[str, Any]] = Queue()
    for item in items:
        if item["id"] not in done:
            queue.put(item)
    print(f"{queue.qsize()} points on {card.name}", flush=True)
    end, guard = time.monotonic() + options.seconds, threading.Lock()

    def work(gpu: str) -> None:
        while time.monotonic() < end:
            try:
                item = queue.get_nowait()
            except Empty:
                return
            with guard:  # one writes a model's weights, all others of it wait
                make(options.work / "models" / item["folder"])
            result = timed(item, options.work, gpu)
            row = {"case": item["id"], **stamp, **result}
            with guard, options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            told = (row.get(name) for name in ("exit", "tokens_per_second", "seconds"))
            print(item["id"], *told, row["said"][-200:], flush=True)

    # Two for each card: one imports its libraries while the other is timed.
    workers = [threading.Thread(target=work, args=(gpu,)) for gpu in options.gpus.split(",") * 2]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return 0


def timed(item: dict[str, Any], root: Path, gpu: str) -> dict[str, Any]:
    """Run one point in a fresh process; returns its record, or what it said."""
    project = root / "projects" / item["id"]
    out, log = project / "result.json", project / "log"
    out.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "timed.py"), str(project), str(out)]
    command += [str(root / f"lock-{gpu}"), "--cap-bytes", str(item["cap_bytes"])]
    command += ["--tweak", *item["tweak"]]
    environment = {"OMP_NUM_THREADS": "4", **os.environ, "CUDA_VISIBLE_DEVICES": gpu}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        try:
            code = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    result: dict[str, Any] = {"exit": code}
    if out.exists():
        result |= json.loads(out.read_text())
    shutil.rmtree(project / "runs", ignore_errors=True)
    said = "" if result["exit"] == 0 else log.read_text(errors="replace")[-1500:]
    return {**result, "said": said}


if __name__ == "__main__":
    sys.exit(main())
