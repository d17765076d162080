"""The report's tables of other estimators, and of the public T4 rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t4 import T4Row, load_t4
from tables import Row, accurate, error_cells, table

COLUMNS = ("median", "mean", "95th", "worst under", "worst over")
SPLITS = ("all", "score", "fresh")
DIED = ("died", "over")

CASES = """\
Each estimator is held against the figure that it claims: *driver* (reserved + context), or
*allocated* (the allocator's peak) where it leaves the context or more out. `answers`: of the
uncapped runs that ended; what an estimator does not cover, or refuses, counts as not answered.
*false fits*: of the capped runs that died or went over their cap, and about which it answered,
those that it said would fit. *false no*: of those that ran, those that it said would not fit. An
estimator that gives no verdict says `fits` where its answer is not larger than the cap. `tight`,
and fitcheck-llm's *uncertain*, are neither. The last column is ftspec's median error on the cases
that the estimator answers. ftspec was written for these projects and this stack; the others were
not, and some describe other software or batch sizes of one.
"""

T4_NOTE = """\
{count} rows of fitcheck-llm (MIT), measured by its authors on one Tesla T4 with their own script,
not ftspec's: fp16, LoRA on q, k, v, o, checkpointing, a loss that builds all logits, foreach
AdamW, peft's k-bit preparation, segments that do not expand. *allocated* is
max_memory_allocated of the second step, *reserved* max_memory_reserved, *process* reserved plus
what the driver shows beyond it (mem_get_info). No row lies in this repository.

- `holdout`: never fitted by fitcheck-llm. `calibration, repeat`: its constants were fitted to the
  49 calibration rows; 8 rows repeat some of them. `excluded`: left out by its authors (transcribed
  from a notebook, in whole MiB).
- ftspec fits nothing to them but one constant: a T4's context, 141 MiB, was read from these rows,
  and is part of *process* alone. Two rules of eager attention (what softmax casts, and what its
  backward allocates) were found by comparing with rows of this archive, and the order in which
  the script's weights are loaded was written after one row had been compared. So this is no blind
  test; `t4_script.py` was not changed after that.
- *their script* traces the rows' own step with the libraries installed here, not the rows' (torch
  2.10 and 2.14, transformers 5.0 and 5.17, peft 0.19 and 0.20). Of their versions one thing is
  followed: peft's preparation empties the cache since 0.20.
- *closest set-up* is what ftspec says of its own project with the options nearest to the script's.
  It shows that a prediction holds for the script that it was made for.
- fitcheck-llm's README (0.3.1) says of its 57 calibration and repeat rows: tensors mean 0.7 %,
  worst 4.6 %; process mean 2.4 %, worst 13.9 %; of its 12 hold-out rows: tensors within 1.4 %,
  process mean 5.4 %, worst -15.3 %.
"""


@dataclass(frozen=True, slots=True)
class Estimator:
    """What an estimator says of a row: bytes or None, and a verdict, "" where it has none."""

    name: str
    figure: str
    answer: Callable[[Row], float | None]
    verdict: Callable[[Row], str]


def peer_table(rows: Sequence[Row], peers: Mapping[str, Any]) -> str:
    """Return each estimator's errors and false verdicts; peers: as peers.py writes "cases"."""
    ours = [_ours("driver"), _ours("allocated")]
    others = [_peer(name, entry) for name, entry in peers.items()]
    body = []
    for split in SPLITS:
        chosen = [row for row in rows if split in ("all", row.split)]
        for one in ours:
            body.append([split, one.name, *_cells(chosen, one), ""])
        for one in others:
            body.append([split, one.name, *_cells(chosen, one), _ours_on(chosen, one)])
    head = ["split", "estimator", "figure", "answers", *COLUMNS, "false fits", "false no"]
    text = table([*head, "ftspec's median on these"], body)
    return f"{CASES}\n{text}\n{_sources(peers)}"


def _ours(figure: str) -> Estimator:
    def answer(row: Row) -> float | None:
        return row.predicted_driver if figure == "driver" else row.predicted_allocated

    def verdict(row: Row) -> str:
        return row.verdict if figure == "driver" and row.verdict != "unknown" else ""

    return Estimator("**ftspec**", figure, answer, verdict)


def _peer(name: str, entry: Mapping[str, Any]) -> Estimator:
    answers: Mapping[str, float] = entry["answers"]
    verdicts: Mapping[str, str] | None = entry.get("verdicts")

    def verdict(row: Row) -> str:
        answer = answers.get(row.case)
        if verdicts is not None:
            return verdicts.get(row.case, "")
        return "" if answer is None or row.cap is None else "fits" if answer <= row.cap else "no"

    return Estimator(name, entry["figure"], lambda row: answers.get(row.case), verdict)


def _cells(rows: Sequence[Row], one: Estimator) -> list[str]:
    chosen = _measured(rows, one.figure)
    errors = _off(chosen, one.answer)
    return [one.figure, f"{len(errors)} of {len(chosen)}", *_errors(errors), *_false(rows, one)]


def _measured(rows: Sequence[Row], figure: str) -> list[tuple[Row, int]]:
    """Return the rows that errors are taken from, with what was measured."""
    sizes = [(row, row.driver if figure == "driver" else row.allocated) for row in accurate(rows)]
    return [(row, size) for row, size in sizes if size]


def _off(rows: Sequence[tuple[Row, int]], answer: Callable[[Row], float | None]) -> list[float]:
    return [said / size - 1 for row, size in rows if (said := answer(row)) is not None]


def _ours_on(rows: Sequence[Row], one: Estimator) -> str:
    """Return ftspec's median error of the same figure, on the rows that an estimator answers."""
    chosen = [pair for pair in _measured(rows, one.figure) if one.answer(pair[0]) is not None]
    return error_cells(_off(chosen, _ours(one.figure).answer))[1]


def _errors(errors: Sequence[float]) -> list[str]:
    """Return the cells of `COLUMNS`."""
    _, median, *rest = error_cells(errors)
    mean = f"{sum(map(abs, errors)) / len(errors):.2%}" if errors else "-"
    return [median, mean, *rest]


def _false(rows: Sequence[Row], one: Estimator) -> list[str]:
    """Return `k of n` false fits, and false noes; `-` where it judged no such run."""
    judged = [(row.outcome, one.verdict(row)) for row in rows if row.cap is not None]
    died = [said for outcome, said in judged if said and outcome in DIED]
    ran = [said for outcome, said in judged if said and outcome == "ran"]
    return [
        f"{each.count(false)} of {len(each)}" if each else "-"
        for each, false in ((died, "fits"), (ran, "no"))
    ]


def _sources(peers: Mapping[str, Any]) -> str:
    lines = []
    for name, entry in peers.items():
        where = entry["source"]
        linked = f"[source]({where})" if where.startswith("http") else f"source: {where}"
        lines.append(f"- **{name}** claims {entry['claims']}. Asked: {entry['asked']}. {linked}")
    return "What each claims, and how it was asked:\n\n" + "\n".join(lines) + "\n"


FIGURES = ("allocated", "reserved", "process")
GROUPS = (("holdout",), ("calibration", "repeat"), ("excluded",))


def t4_table(folder: Path, peers: Mapping[str, Any]) -> str:
    """Return the errors on the T4 rows; peers: as peers.py writes "t4"."""
    rows = load_t4(folder)
    if not peers:
        return "No estimator was asked about them: `peers.py --t4` does it.\n"
    every = tuple(role for group in GROUPS for role in group)
    body = []
    for group in (*GROUPS, every):
        chosen = [row for row in rows if row.role in group]
        name = "all" if group == every else ", ".join(group)
        for estimator, entry in peers.items():
            for figure in FIGURES:
                errors = _t4_errors(chosen, entry["answers"], figure)
                if errors:
                    share = f"{len(errors)} of {len(chosen)}"
                    body.append([name, estimator, figure, share, *_errors(errors)])
    text = table(["role", "estimator", "figure", "answers", *COLUMNS], body)
    return f"{T4_NOTE.format(count=len(rows))}\n{text}\n{_sources(peers)}"


def _t4_errors(
    rows: Sequence[T4Row], answers: Mapping[str, Mapping[str, float]], figure: str
) -> list[float]:
    measured = {row.id: getattr(row, figure) for row in rows}
    return [
        answers[name][figure] / size - 1
        for name, size in measured.items()
        if figure in answers.get(name, {})
    ]
