"""Kill a run at random moments, on the CPU, and compare the weights that it ends with.

    python bench/faults/bench.py                 50 kills, at least 10 surely inside a save
    python bench/faults/bench.py --kills 10      a shorter one

Each run trains a two-layer llama for 48 steps, saves every fourth, meets up to ten kills one after
the other and is resumed after each; then it is left alone to its end. Beside the kills: other
faults, one run each. Written: results.jsonl (a line a fault) and RESULTS.md. About 20 minutes on
two cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "tests"), str(HERE.parents[1] / "tests" / "emitted")]

from compiling import build  # noqa: E402
from projects import make_sources  # noqa: E402
from survival import (  # noqa: E402
    SAVE_EVERY,
    SPEC,
    STEPS,
    Fate,
    final_weights,
    go_through,
    random_faults,
    reached,
    resumed_at,
    train,
)

A_RUN = 10  # kills
IN_SAVE_OF_A_RUN = 4  # aimed at; a run that ends before its next save meets fewer
SHARE_IN_SAVE = 0.2  # of all kills, at least
OTHERS: dict[str, dict[str, Any]] = {
    "SIGTERM in the middle of a save": {"term_in_save": 2},
    "no space left in the middle of a save": {"full_in_save": 5},
    "no room for a checkpoint, seen before it": {"free_bytes": 1000},
    "a weight becomes NaN between two saves": {"nan_at": SAVE_EVERY + 2},
    "out of memory in a step": {"oom": "train", "at": SAVE_EVERY + 3},
    "out of memory in evaluation": {"oom": "evaluate", "at": SAVE_EVERY + 1},
    "out of memory in a save": {"oom": "save", "at": SAVE_EVERY + 3},
}


def make(folder: Path, sources: Path) -> Path:
    """Build the project in a folder of its own, model and data beside it."""
    folder.mkdir()
    shutil.copytree(sources / "llama", folder / "llama")
    for name in ("alpaca.jsonl", "alpaca-eval.jsonl"):
        shutil.copy(sources / name, folder / name)
    build(SPEC, folder / "project")
    return folder / "project"


def damage(project: Path, how: str) -> None:
    """Truncate a file of the newest checkpoint, or flip a bit of it."""
    newest = max((project / "runs/1").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    file = newest / "optimizer.pt"
    content = bytearray(file.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
    file.write_bytes(content if how == "flipped" else content[: len(content) // 2])


def damaged(project: Path, how: str) -> list[Fate]:
    """Stop in a run, damage its newest checkpoint, and let it go on."""
    stopped = train(project, {"term_in_save": 10})  # in the third checkpoint: another follows
    damage(project, how)
    before = reached(project)
    assert not go_through(project, [])
    return [Fate({"damaged": how}, stopped.returncode, before, resumed_at(project))]


def rows(kills: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a row for each fault that was tried."""
    sources = folder / "sources"
    sources.mkdir()
    make_sources(sources)
    calm = make(folder / "calm", sources)
    assert train(calm).returncode == 0
    weights = final_weights(calm)

    def told(kind: str, fates: list[Fate], project: Path) -> Iterator[dict[str, Any]]:
        equal = final_weights(project) == weights
        for fate in fates:
            row = {"kind": kind, "fault": fate.fault, "exit": fate.code, "step": fate.reached}
            yield row | {"resumed_at": fate.resumed, "lost": fate.lost, "equal": equal}

    done = inside = number = 0
    while done < kills or inside < SHARE_IN_SAVE * kills:
        project = make(folder / f"killed-{number}", sources)
        count = min(A_RUN, kills - done) if done < kills else IN_SAVE_OF_A_RUN
        faults = random_faults(number, count, min(count, IN_SAVE_OF_A_RUN))
        fates = [fate for fate in go_through(project, faults) if fate.code == -9]
        yield from told("SIGKILL", fates, project)
        done, number = done + len(fates), number + 1
        inside += sum("kill_in_save" in fate.fault for fate in fates)
    for number, (name, fault) in enumerate(OTHERS.items()):
        project = make(folder / f"other-{number}", sources)
        yield from told(name, go_through(project, [(fault, None)]), project)
    for how in ("truncated", "flipped"):
        project = make(folder / how, sources)
        yield from told(f"newest checkpoint {how}", damaged(project, how), project)


def table(results: list[dict[str, Any]]) -> str:
    """Return the results as a page."""
    lines = [
        "# Faults, and what became of the runs",
        "",
        f"Two-layer llama, LoRA, {STEPS} steps, a checkpoint every {SAVE_EVERY}, on the CPU.",
        "Made by `python bench/faults/bench.py`. *Lost*: steps that had been logged and were",
        "done again. *Equal*: the final weights are those of an undisturbed run, bit for bit.",
        "A run that is not finished in the end stops the bench.",
        "",
        "| fault | tried | survived | most steps lost | mean lost | final weights equal |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in dict.fromkeys(label(row) for row in results):
        found = [row for row in results if label(row) == kind]
        lost = [row["lost"] for row in found]
        equal = sum(row["equal"] for row in found)
        lines.append(
            f"| {kind} | {len(found)} | {len(found)} | {max(lost)} | "
            f"{sum(lost) / len(lost):.1f} | {equal} of {len(found)} |"
        )
    return "\n".join(lines) + "\n"


def label(row: dict[str, Any]) -> str:
    """Return the row of the table that a result belongs to."""
    if row["kind"] != "SIGKILL":
        return str(row["kind"])
    where = {
        "kill_in_save": "in the middle of a file of a save",
        "kill_at_file": "between two files of a save or the log",
        "kill_after": "at a random moment",
    }
    return f"SIGKILL {where[next(iter(row['fault']))]}"


def main() -> int:
    """Run it all; returns 1 where weights differ or more than a save interval was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--only-table", action="store_true", help="from results.jsonl")
    options = parser.parse_args()
    file = HERE / "results.jsonl"
    if not options.only_table:
        with tempfile.TemporaryDirectory() as folder, file.open("w") as output:
            for row in rows(options.kills, Path(folder)):
                output.write(json.dumps(row) + "\n")
                output.flush()
                print(json.dumps(row))
    results = [json.loads(line) for line in file.read_text().splitlines()]
    (HERE / "RESULTS.md").write_text(table(results))
    print(table(results))
    return int(any(not row["equal"] or row["lost"] > SAVE_EVERY for row in results))


if __name__ == "__main__":
    sys.exit(main())
