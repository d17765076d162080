"""The closed loop: inject a fault, diagnose its log, apply what is prescribed, run again.

    python bench/doctor/loop.py run OUT.jsonl --jobs 14 --seconds 480
    python bench/doctor/loop.py anew OUT.tar.gz ANEW.jsonl --doctor after
    python bench/doctor/loop.py report OUT.jsonl --anew ANEW.jsonl       # writes LOOP.md

`run` appends one line a run and passes over what is there. `anew` diagnoses the logs that it
packed with the doctor that is imported, and trains nothing. loop_faults.py says what is injected
and how it is judged, loop_train.py what is trained. README.md beside this file says more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import loop_faults as faults
import loop_train as program

Key = tuple[str, int, str]
Row = dict[str, Any]
ORDER = ("fault", "twin", "repaired", "again", "random", "tenth")  # what is run first


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    run_verb = verbs.add_parser("run")
    run_verb.add_argument("out", type=Path)
    run_verb.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    run_verb.add_argument("--seconds", type=float, default=1e9, help="start nothing after that")
    run_verb.add_argument("--kinds", nargs="+", default=list(faults.FOUND), choices=faults.FOUND)
    run_verb.add_argument("--variations", nargs="+", type=int, default=range(faults.VARIATIONS))
    run_verb.add_argument("--arms", nargs="+", default=["random", "tenth"], help="baselines")
    run_verb.add_argument("--work", type=Path, default=Path("/tmp/ftspec-loop"))
    report_verb = verbs.add_parser("report")
    report_verb.add_argument("out", type=Path)
    report_verb.add_argument("--anew", type=Path, help="what `anew` wrote")
    anew_verb = verbs.add_parser("anew", help="diagnose the packed logs with another doctor")
    anew_verb.add_argument("logs", type=Path)
    anew_verb.add_argument("out", type=Path)
    anew_verb.add_argument("--doctor", required=True, help="what the report calls it")
    base_verb = verbs.add_parser("base", help="pre-train one base")
    base_verb.add_argument("name", choices=program.BASES)
    base_verb.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.verb == "base":
        import torch

        torch.set_num_threads(1)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        program.pretrain(options.name, options.folder, device)
    elif options.verb == "run":
        Loop(options).run()
    elif options.verb == "anew":
        diagnose_anew(options.logs, options.out, options.doctor)
    else:
        from loop_report import report

        here = Path(__file__).parent
        anew = rows_of(options.anew) if options.anew else []
        (here / "LOOP.md").write_text(report(rows_of(options.out), anew), encoding="utf-8")
    return 0


def rows_of(out: Path) -> list[Row]:
    """Return the results that a file holds."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return [json.loads(line) for line in lines]


class Loop:
    """All runs that are asked for, each in a process of its own core."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.end = time.monotonic() + options.seconds
        self.done: dict[Key, Row] = {}
        for row in rows_of(options.out):
            self.done[(row["kind"], row["variation"], row["arm"])] = row
        self.bases, self.logs = options.work / "bases", options.work / "logs"

    def run(self) -> None:
        """Make the bases where they are not there, then run what is missing."""
        self._make_bases()
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        started = {key for key, row in self.done.items() if not row["broken"]}
        pool = ProcessPoolExecutor(self.options.jobs, get_context("spawn"), _one_thread)
        running: dict[Future[Row], Key] = {}
        first = list(self._first())
        while True:
            waiting = [item for item in (*first, *self._following()) if item[0] not in started]
            waiting.sort(key=lambda item: ORDER.index(item[0][2]))
            for key, job in waiting[: self.options.jobs - len(running)]:
                if time.monotonic() < self.end:
                    started.add(key)
                    running[pool.submit(one, key, job, self.bases, self.logs)] = key
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                self._keep(running.pop(future), future.result())
        pool.shutdown()
        self._pack()

    def _make_bases(self) -> None:
        if program.bases_made(self.bases):
            return
        begun = time.monotonic()
        command = [sys.executable, __file__, "base"]
        made = [subprocess.Popen([*command, name, self.bases]) for name in program.BASES]
        if any(process.wait() for process in made):
            raise SystemExit("a base could not be trained")
        print(f"bases made in {time.monotonic() - begun:.0f} s", flush=True)

    def _first(self) -> Iterator[tuple[Key, program.Job]]:
        """Yield what depends on no other run: faults, twins, and the baselines."""
        pairs = [(kind, v) for v in self.options.variations for kind in self.options.kinds]
        twins: dict[program.Job, Key] = {}
        for kind, variation in pairs:
            yield (kind, variation, "fault"), faults.injected(kind, variation)[1].job()
        for kind, variation in pairs:
            job = faults.injected(kind, variation)[0].job()
            key = twins.setdefault(job, (kind, variation, "twin"))
            if key == (kind, variation, "twin"):
                yield key, job
        for kind, variation in pairs:
            if kind in faults.NAMED:
                continue
            broken = faults.injected(kind, variation)[1]
            for arm, name in (("random", faults.drawn(kind, variation)), ("tenth", "rate /10")):
                recipe = faults.changed(name, broken)
                if arm in self.options.arms and recipe is not None:
                    yield (kind, variation, arm), recipe.job()

    def _following(self) -> Iterator[tuple[Key, program.Job]]:
        """Yield the runs that a diagnosis asks for."""
        for (kind, variation, arm), row in list(self.done.items()):
            after = {"fault": "repaired", "repaired": "again"}.get(arm)
            wanted = kind in self.options.kinds and variation in self.options.variations
            if not after or not wanted or kind in faults.NAMED or not row.get("patched"):
                continue
            job = replace(faults.injected(kind, variation)[1].job(), spec=row["patched"])
            yield (kind, variation, after), job

    def _keep(self, key: Key, row: Row) -> None:
        self.done[key] = row
        with self.options.out.open("a", encoding="utf-8") as stream:
            stream.write(program.dump(row))
        said = ", ".join(each["name"] for each in row["findings"] if is_loud(each))
        value = "not finite" if row["held_out"] is None else f"{row['held_out']:.3f}"
        print(
            f"{'/'.join(map(str, key)):38} {value:>10} {row['seconds']:5.0f} s  {said}"
            f"{'  BROKEN ' + row['broken'] if row['broken'] else ''}",
            flush=True,
        )

    def _pack(self) -> None:
        """Keep the logs of faults and twins beside the results, to be diagnosed again."""
        archive = self.options.out.with_suffix(".tar.gz")
        with tarfile.open(archive, "w:gz") as packed:
            for folder in sorted(self.logs.glob("*")):
                packed.add(folder, folder.name)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def one(key: Key, job: program.Job, bases: Path, logs: Path) -> Row:
    """Run a job and diagnose its log; a program that breaks is a result as well."""
    kind, variation, arm = key
    folder = logs / f"{kind}-{variation}-{arm}"
    shutil.rmtree(folder, ignore_errors=True)
    begun = time.monotonic()
    row: Row = {"kind": kind, "variation": variation, "arm": arm, "spec": job.spec, "broken": ""}
    row |= {"held_out": None, "trained": None, "steps": None, "findings": [], "patched": None}
    try:
        row |= program.train(job, bases, folder)
    except Exception as error:  # what a user would see as a traceback
        row["broken"] = f"{type(error).__name__}: {error}"[:300]
    shutil.rmtree(folder / "out", ignore_errors=True)
    if arm not in ("random", "tenth") and not row["broken"]:
        row |= diagnosed(folder, variation)
    if arm not in ("fault", "twin"):
        shutil.rmtree(folder)
    return row | {"seconds": round(time.monotonic() - begun, 1)}


def diagnosed(folder: Path, variation: int) -> Row:
    """Diagnose a run as a user does, apply what is prescribed, and return the spec after it."""
    from ftspec.cli.apply import apply_prescriptions
    from ftspec.cli.failure import Failure
    from ftspec.doctor.examine import examine

    log = folder / "train.log" if variation % 2 else folder
    diagnosis = examine([log])
    found: Row = {"findings": [_told(finding) for finding in diagnosis.findings], "refused": ""}
    spec = folder / "ftspec.yaml"
    before = spec.read_text(encoding="utf-8")
    try:
        with (folder / "apply.txt").open("w", encoding="utf-8") as stream:
            with program.quiet(stream):
                apply_prescriptions(diagnosis, "all")
    except Failure as error:
        found["refused"] = str(error)
    after = spec.read_text(encoding="utf-8")
    spec.write_text(before, encoding="utf-8")
    return found | {"patched": after if after != before else None}


def diagnose_anew(logs: Path, out: Path, doctor: str) -> None:
    """Write what the doctor that is imported says of each packed log, and the spec it asks for."""
    kept = [row for row in rows_of(out) if row["doctor"] != doctor]
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(logs) as packed:
            packed.extractall(place, filter="data")
        for folder in sorted(Path(place).iterdir()):
            kind, variation, arm = folder.name.rsplit("-", 2)
            row = diagnosed(folder, int(variation))
            key: Row = {"doctor": doctor, "kind": kind, "variation": int(variation), "arm": arm}
            loud = [each for each in row["findings"] if is_loud(each)]
            kept.append(key | {"findings": loud, "patched": row["patched"]})
    out.write_text("".join(map(program.dump, kept)), encoding="utf-8")


def is_loud(finding: Row) -> bool:
    """Say whether a finding is a warning or an error."""
    return bool(finding["severity"] != "info")


def _told(finding: Any) -> Row:
    return {
        "name": finding.name,
        "severity": str(finding.severity.value),
        "title": finding.title,
        "prescriptions": [
            {"patch": {edit.path: edit.after for edit in remedy.patch}, "reason": remedy.reason}
            for remedy in finding.prescriptions
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
