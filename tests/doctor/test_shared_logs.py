"""The labelled logs of strangers in ../shared/logs: no traceback, hardly a false alarm.

Thresholds come from research on a larger set of which these are the development part, so no
half of them is unseen; the halves, split by repository, are reported apart nonetheless.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ftspec.doctor.diagnose import Diagnosed, Diagnosis, diagnose
from ftspec.doctor.report import as_json, as_text
from ftspec.spec.finding import Severity

FORMATS = ("hf_trainer_state",)
FOUND_BY = {
    "diverges": {"diverges"},
    "flat": {"flat"},
    "nan": {"nan"},
    "oscillates": {"oscillates"},
    "overfits": {"overfits"},
    "spike_recovers": {"spikes"},
    "too_short": {"too-short"},
    "rl_loss": {"rl-run"},
}


def labelled(folder: Path) -> Iterator[tuple[dict[str, str], Diagnosed]]:
    with (folder / "INDEX.tsv").open(newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            if row["format"] in FORMATS:
                (found,) = diagnose([folder / row["file"]]).runs
                yield row, found


def half_of(repository: str) -> str:
    even = int(hashlib.sha256(repository.encode()).hexdigest(), 16) % 2
    return "first half" if even else "second half"


def test_every_log_is_read_whole(shared_logs: Path) -> None:
    for row, found in labelled(shared_logs):
        counts = (str(len(found.run.train)), str(len(found.run.evals)))
        assert counts == (row["train_records"], row["eval_records"]), row["file"]
        assert as_text(Diagnosis((found,)))
        json.dumps(as_json(Diagnosis((found,))), allow_nan=False)


def test_false_alarms_and_recall(shared_logs: Path) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    alarms = []
    for row, found in labelled(shared_logs):
        half, label = half_of(row["repo"]), row["label"]
        loud = [f.name for f in found.findings if f.severity.at_least(Severity.WARNING)]
        if label == "healthy":
            counts[half, "healthy"] += 1
            counts[half, "false alarms"] += bool(loud)
            alarms += [f"{row['file']}: {loud}"] if loud else []
        elif label in FOUND_BY:
            hit = bool({f.name for f in found.findings} & FOUND_BY[label])
            counts[half, f"{label} found"] += hit
            counts[half, f"{label} missed"] += not hit
    said = "\n".join(
        [f"{half}: {what} {number}" for (half, what), number in sorted(counts.items())] + alarms
    )
    for half in ("first half", "second half"):
        assert counts[half, "false alarms"] <= 0.05 * counts[half, "healthy"], said
    total: Counter[str] = Counter()
    for (_, what), number in counts.items():
        total[what] += number
    for label in ("diverges", "overfits"):
        assert total[f"{label} missed"] == 0, said
