"""Which candidates run under which cap: chosen once by their predicted peaks, then kept in a file.

The caps are those of common cards. At least a third of the runs lies where a verdict is hard: the
predicted peak is 85 to 110 % of the cap.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cases import Case
from grid import pool
from rough import GIB

CAPS = (8, 12, 16, 24, 40, 80)
NEAR_LOW, NEAR_HIGH = 0.85, 1.10
LOW, HIGH = 0.40, 2.0
NEAR, OTHERS = 45, 45
FILE = Path(__file__).with_name("capped.json")


def choose(peaks: Mapping[str, int]) -> tuple[Case, ...]:
    """Give candidates their caps; peaks: id -> predicted peak in the driver's bytes.

    A candidate without a peak is passed over. Of the caps that would do, the one with the fewest
    cases so far is taken; beside the near ones, as many lie over their cap as under it.
    """
    near: list[Case] = []
    others: list[Case] = []
    used: Counter[int] = Counter()
    for number, case in enumerate(pool()):
        peak = peaks.get(case.id)
        if peak is None:
            continue
        shares = {cap: peak / (cap * GIB) for cap in CAPS}
        close = [cap for cap, share in shares.items() if NEAR_LOW <= share <= NEAR_HIGH]
        over = [cap for cap, share in shares.items() if NEAR_HIGH < share <= HIGH]
        under = [cap for cap, share in shares.items() if LOW <= share < NEAR_LOW]
        wide = over if len(others) % 2 else under
        if close and len(near) < NEAR and (number % 2 == 0 or len(others) == OTHERS):
            chosen, caps = near, close
        elif wide and len(others) < OTHERS:
            chosen, caps = others, wide
        else:
            continue
        cap = min(caps, key=lambda size: (used[size], size))
        used[cap] += 1
        chosen.append(replace(case, cap_gib=cap))
    return (*near, *others)


def write(cases: tuple[Case, ...], file: Path | None = None) -> None:
    """Keep the choice: a line for each case, its candidate's id and its cap in GiB."""
    lines = (json.dumps([replace(case, cap_gib=None).id, case.cap_gib]) for case in cases)
    (file or FILE).write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def read(file: Path | None = None) -> tuple[Case, ...]:
    """Return the capped cases that were chosen; none before the first choice."""
    file = file or FILE
    if not file.exists():
        return ()
    candidates = {case.id: case for case in pool()}
    chosen = json.loads(file.read_text(encoding="utf-8"))
    return tuple(replace(candidates[name], cap_gib=cap) for name, cap in chosen)
