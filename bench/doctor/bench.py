"""Score `ftspec diagnose` on labelled logs of strangers, every file named.

    python bench/doctor/bench.py                          # both halves, to the terminal
    python bench/doctor/bench.py --half first             # the half that thresholds may see
    python bench/doctor/bench.py --peers rows.json --write bench/doctor/RESULTS.md

`INDEX.tsv` in the folder of logs names each file, its repository and its label. The halves are
split by repository. What counts as found, and what is neither, stands in FOUND_BY and NEITHER.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

LOGS = Path(__file__).parents[3] / "shared" / "logs"
HALVES = ("first", "second")

NOT_LEARNING = {"flat", "plateau", "chance-level", "dead-gradient", "lr-zero"}
LOW = {"suspicious-low", "memorises"}
REWARDS = {"rl-collapse", "reward-flat", "no-reward-variance", "completions-clipped"}
# label of the index -> the findings that name that fault; several where they are one fault
FOUND_BY: dict[str, set[str]] = {
    "diverges": {"diverges", "lr-too-high"},
    "flat": NOT_LEARNING,
    "plateau": NOT_LEARNING | {"early-stop-missed"},
    "nan": {"nan"},
    "grad_nan": {"grad-nan", "nan"},
    "zero_loss": {"zero-loss", "nan"},
    "overfits": {"overfits", "overfits-mild"},
    "overfits_mild": {"overfits", "overfits-mild"},
    "suspicious_low": LOW,
    "memorises": LOW | {"overfits"},
    "oscillates": {"oscillates"},
    "spike_recovers": {"spikes"},
    "oom": {"oom"},
    "multi_run_concat": {"several-runs"},
    "resume_discontinuity": {"resume-discontinuity"},
    "lr_too_high": {"lr-too-high", "diverges"},
    "loss_scale_suspect": {"loss-scale", "scale-mismatch"},
    "rl_loss": {"rl-run"},
    "rl_collapse": REWARDS,
    "rl_unstable": REWARDS | {"grad-explosion", "rl-run"},
    "too_short": {"too-short"},
    "no_loss": {"no-loss"},
    "interrupted": {"interrupted"},
}
NEITHER = ("ambiguous", "data_shift", "non_llm")  # no fault to find, no health to be silent on
GRAVE = (
    "overfits",
    "overfits_mild",
    "nan",
    "diverges",
    "zero_loss",
    "resume_discontinuity",
    "oom",
)
MILD = ("flat", "plateau", "suspicious_low", "spike_recovers")
GROUPS = {"grave (target 90 %)": GRAVE, "mild (target 80 %)": MILD}


@dataclass(frozen=True, slots=True)
class Scored:
    """One log: its label, and what was found at which severity, for one tool."""

    file: str
    half: str
    format: str
    label: str
    also: str
    read: bool
    found: tuple[str, ...]
    loud: tuple[str, ...]

    @property
    def hit(self) -> bool:
        """Say whether the label's fault is among the findings, of whatever severity."""
        return bool(FOUND_BY.get(self.label, set()) & set(self.found))

    @property
    def loud_hit(self) -> bool:
        """Say whether the label's fault is among the warnings and errors."""
        return bool(FOUND_BY.get(self.label, set()) & set(self.loud))


def half_of(repository: str) -> str:
    """Return the half of a repository: by the parity of its name's hash."""
    odd = int(hashlib.sha256(repository.encode()).hexdigest(), 16) % 2
    return "first" if odd else "second"


def index(folder: Path, half: str | None = None) -> list[dict[str, str]]:
    """Return the rows of the index, of one half or of both."""
    with (folder / "INDEX.tsv").open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return [row for row in rows if half in (None, half_of(row["repo"]))]


def score(folder: Path, rows: Sequence[Mapping[str, str]]) -> Iterator[Scored]:
    """Diagnose each file by itself, without a spec."""
    from ftspec.doctor.examine import examine
    from ftspec.spec.finding import Severity

    for row in rows:
        (diagnosed,) = examine([folder / row["file"]]).runs
        losses = bool(diagnosed.run.losses or diagnosed.run.held_out)
        expected = int(row["train_records"] or 0) + int(row["eval_records"] or 0) > 0
        yield Scored(
            file=row["file"],
            half=half_of(row["repo"]),
            format=row["format"],
            label=row["label"],
            also=row["also"],
            read=losses or not expected,
            found=tuple(item.name for item in diagnosed.findings),
            loud=tuple(
                item.name for item in diagnosed.findings if item.severity.at_least(Severity.WARNING)
            ),
        )


def ratio(part: int, whole: int) -> str:
    """Write counts first, the percentage behind: `9 of 10 (90 %)`."""
    return f"{part} of {whole}" + (f" ({100 * part / whole:.0f} %)" if whole >= 10 else "")


def summary(scored: Sequence[Scored]) -> list[str]:
    """Return a table of both halves: reading, false alarms, recall of the groups and labels."""
    halves = [[s for s in scored if s.half == half] for half in HALVES]
    halves = [*halves, list(scored)]
    lines = ["| | first half | second half | both |", "| --- | --- | --- | --- |"]

    def row(name: str, cells: list[tuple[int, int]]) -> None:
        lines.append(f"| {name} | " + " | ".join(ratio(*cell) for cell in cells) + " |")

    row("read", [(sum(s.read for s in part), len(part)) for part in halves])
    healthy = [[s for s in part if s.label == "healthy"] for part in halves]
    row("false alarms on healthy", [(sum(bool(s.loud) for s in p), len(p)) for p in healthy])
    for name, labels in GROUPS.items():
        of = [[s for s in part if s.label in labels] for part in halves]
        row(f"found, {name}", [(sum(s.hit for s in part), len(part)) for part in of])
    for label in sorted({s.label for s in scored} & set(FOUND_BY)):
        of = [[s for s in part if s.label == label] for part in halves]
        row(f"`{label}`", [(sum(s.hit for s in part), len(part)) for part in of])
    return lines


def named(scored: Sequence[Scored], half: str) -> list[str]:
    """Return false alarms, misses and finds of one half, file by file."""
    part = [s for s in scored if s.half == half]
    lines = []
    groups = {
        "False alarms": [s for s in part if s.label == "healthy" and s.loud],
        "Missed": [s for s in part if s.label in FOUND_BY and not s.hit],
        "Found": [s for s in part if s.label in FOUND_BY and s.hit],
        "Neither (no clear label)": [s for s in part if s.label in NEITHER],
        "Healthy and silent": [s for s in part if s.label == "healthy" and not s.loud],
    }
    for title, items in groups.items():
        lines += ["", f"**{title}: {len(items)}**", ""]
        for item in sorted(items, key=lambda s: (s.label, s.file)):
            quiet = [name for name in item.found if name not in item.loud]
            said = ", ".join(item.loud) or "-"
            said += f" (info: {', '.join(quiet)})" if quiet else ""
            label = "" if item.label == "healthy" else f"{item.label}: "
            lines.append(f"- {label}`{item.file}`: {said}")
    return lines


def peer_table(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the peers' rows, as peers.py wrote them, in one table with ours."""
    labels = ["read", "alarms", "overfits", "nan", "diverges", "flat", "oom", "zero_loss"]
    labels += ["resume_discontinuity", "suspicious_low"]
    heads = ["tool", "reads", "alarms on healthy", *labels[2:]]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for row in rows:
        cells = [str(row.get(label, "-")) for label in labels]
        lines.append(f"| {row['tool']} | " + " | ".join(cells) + " |")
    return lines


def own_row(scored: Sequence[Scored]) -> dict[str, object]:
    """Return our row of the peers' table: recall over the files that were read."""
    readable = [s for s in scored if s.read]
    healthy = [s for s in readable if s.label == "healthy"]
    row: dict[str, object] = {
        "tool": "**ftspec**",
        "read": f"{len(readable)}/{len(scored)}",
        "alarms": f"{sum(bool(s.loud) for s in healthy)}/{len(healthy)}",
    }
    for label in FOUND_BY:
        of = [s for s in readable if s.label == label]
        row[label] = f"{sum(s.hit for s in of)}/{len(of)}"
    return row


def report(scored: Sequence[Scored], peers: Sequence[Mapping[str, object]]) -> str:
    """Return RESULTS.md."""
    lines = [
        "# Scores on real logs of strangers",
        "",
        "Made by `bench.py --peers peers.json --write RESULTS.md`. What the rows mean, and which",
        "half was seen when, stands in README.md.",
        "",
        *summary(scored),
    ]
    if peers:
        lines += ["", "## Beside other tools", "", *peer_table([own_row(scored), *peers])]
        lines += ["", "Both halves; recall over the files that a tool could read."]
    for half in HALVES:
        lines += ["", f"## The {half} half", *named(scored, half)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Score, print, and write where asked."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--logs", type=Path, default=LOGS)
    options.add_argument("--half", choices=HALVES)
    options.add_argument("--peers", type=Path, help="rows that peers.py wrote")
    options.add_argument("--write", type=Path, help="write RESULTS.md there")
    options.add_argument("--json", type=Path, help="write each file's findings there")
    given = options.parse_args()
    scored = list(score(given.logs, index(given.logs, given.half)))
    peers = json.loads(given.peers.read_text()) if given.peers else []
    text = report(scored, peers)
    if given.write:
        given.write.write_text(text)
    if given.json:
        given.json.write_text(json.dumps([asdict(item) for item in scored], indent=1))
    print("\n".join(summary(scored)) if given.write else text)


if __name__ == "__main__":
    main()
