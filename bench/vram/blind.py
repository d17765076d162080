"""Hold predictions that were frozen before their results were looked at against these.

    python bench/vram/blind.py blind.jsonl results.jsonl     the `score` cases
    python bench/vram/blind.py fresh.jsonl results.jsonl     the `fresh` ones

The driver's figure is reserved + the context. Where a frozen line has no driver's figure of its
own, its context is the one that ftspec takes for the card, and verdicts are those of today's
interval around the frozen peaks. A case that ran several times counts with its first result.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from measure import OUT_OF_MEMORY

from ftspec.compiler.memory.predict import SLACK_BYTES, SLACK_SHARE

HERE = Path(__file__).parent
GIB, MIB = 2**30, 2**20
CONTEXT, SPREAD = (742 + 16) * MIB, 8 * MIB  # H200, cuDNN's attention (compiler/memory/ledger.py)
CARD = 139.7 * GIB


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the first line of each case of a file."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["case"], row)
    return found


def driver_bytes(frozen: dict[str, Any]) -> int:
    """Return what was predicted of the driver's peak."""
    return int(frozen.get("driver") or frozen["reserved"] + CONTEXT)


def verdict(frozen: dict[str, Any], free: float) -> str:
    """Return what would have been said of a frozen prediction."""
    if "low" in frozen:
        return "fits" if frozen["high"] <= free else "no" if frozen["low"] > free else "tight"
    low = frozen["allocated"] + CONTEXT - SPREAD
    high = frozen["reserved"] * (1 + SLACK_SHARE) + SLACK_BYTES + CONTEXT + SPREAD
    return "fits" if high <= free else "no" if low > free else "tight"


def summary(errors: list[float]) -> str:
    """Return the median, the 95th percentile and the worst of signed errors."""
    sizes = sorted(map(abs, errors))
    rank = min(len(sizes) - 1, int(0.95 * len(sizes)))
    return (
        f"median {median(sizes):.2%}, 95th {sizes[rank]:.2%}, worst {min(errors):+.2%} to "
        f"{max(errors):+.2%}, more than 1 % under: {sum(error < -0.01 for error in errors)}"
    )


def main() -> None:
    """Print the errors of runs that ended, and all verdicts."""
    names = sys.argv[1:] or [str(HERE / "blind.jsonl"), str(HERE / "results.jsonl")]
    frozen, measured = (read(Path(name)) for name in names)
    made = {case: row for case, row in frozen.items() if "error" not in row and case in measured}
    ran = {case: row for case, row in made.items() if measured[case]["exit"] == 0}
    allocated = [row["allocated"] / measured[case]["allocated"] - 1 for case, row in ran.items()]
    driver = [
        driver_bytes(row) / (measured[case]["reserved"] + measured[case]["context"]) - 1
        for case, row in ran.items()
    ]
    print(f"{len(frozen)} frozen, {len(frozen) - len(made)} without a prediction, {len(ran)} ran")
    print("allocated:", summary(allocated))
    print("driver:   ", summary(driver))
    said = Counter(
        (
            verdict(row, measured[case].get("cap_bytes") or CARD),
            "died" if measured[case]["exit"] == OUT_OF_MEMORY else "ran",
        )
        for case, row in made.items()
    )
    for (word, what), count in sorted(said.items()):
        print(f"{word}, {what}: {count}")


if __name__ == "__main__":
    main()
