"""A measurement and a prediction, made by hand, and a child that measures nothing."""

from __future__ import annotations

import json
from typing import Any

from ftspec.compiler.plan import MemoryPlan
from ftspec.runtime.measured import Measured, Step

GIB = 2**30
PHASES = {
    "load": (4 * GIB, 4 * GIB),
    "forward": (7 * GIB, 8 * GIB),
    "backward": (9 * GIB, 10 * GIB),
    "optimizer": (6 * GIB, 10 * GIB),
    "evaluate": (5 * GIB, 10 * GIB),
}
STEPS = [
    {"seconds": 4.0, "tokens": 1000, "shape": [2, 40], "reserved": 7 * GIB},
    {"seconds": 2.0, "tokens": 1000, "shape": [2, 50], "reserved": 8 * GIB},
    {"seconds": 3.0, "tokens": 2000, "shape": [2, 100], "reserved": 10 * GIB},
]
RECORD = {
    "exit": 0,
    "phases": PHASES,
    "steps": STEPS,
    "context": GIB // 2,
    "context_from": "driver",
    "retries": 0,
    "eval_seconds": 0.5,
    "eval_tokens": 100,
    "torch": "2.13.0+cu130",
    "cuda": "13.0",
}
# Behaves as measured_steps.py does, seen from outside; it runs no train.py.
CHILD = """\
import json, os, sys, time
from pathlib import Path

folder = Path(sys.argv[1])
assert Path.cwd() == folder / "project" and Path("train.py").is_file()
print("loading, with", *sys.argv[2:])
(folder / "child.pid").write_text(str(os.getpid()))
with open(folder / "progress.jsonl", "a") as file:
    file.write(json.dumps({{"event": "load"}}) + "\\n")
time.sleep({pause})
for rank, record in enumerate(json.loads({records!r})):
    (folder / f"measured.{{rank}}.json").write_text(json.dumps(record))
print("these are my last words")
sys.exit({code})
"""


def child(*records: dict[str, Any], code: int = 0, pause: float = 0.0) -> str:
    """Return a child's script that leaves these records, one a rank."""
    return CHILD.format(records=json.dumps(records), code=code, pause=pause)


def measured(**changed: Any) -> Measured:
    """Return a measurement of ten GiB reserved, nine allocated and half a GiB of context."""
    steps = tuple(Step(s["seconds"], s["tokens"], tuple(s["shape"]), s["reserved"]) for s in STEPS)
    known: dict[str, Any] = {
        "phases": PHASES,
        "steps": steps,
        "evaluation": Step(0.5, 100),
        "context_bytes": GIB // 2,
        "context_from": "driver",
        "torch": "2.13.0+cu130",
        "cuda": "13.0",
    }
    return Measured(**known | changed)


def predicted(**changed: Any) -> MemoryPlan:
    """Return a prediction: 11 GiB at the peak, one of them the context, of 24 that are free."""
    known: dict[str, Any] = {
        "verdict": "fits",
        "phase": "train",
        "peak_bytes": 11 * GIB,
        "low_bytes": 10 * GIB,
        "high_bytes": 12 * GIB,
        "allocated_peak_bytes": 9 * GIB,
        "expected_peak_bytes": 8 * GIB,
        "context_bytes": GIB,
        "free_bytes": 24 * GIB,
        "parts": {"base_weights": 4 * GIB},
        "formulas": {"base_weights": "2 P"},
        "phases": {"load": 4 * GIB, "train": 9 * GIB, "evaluate": 6 * GIB},
        "ranks": 1,
        "host_bytes": None,
        "disk_bytes": None,
        "method": "tape",
        "note": "",
    }
    return MemoryPlan(**dict.fromkeys(MemoryPlan.model_fields) | known | changed)
