"""The report's tables of other estimators, and of the public T4 rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from t4 import T4Row, load_t4, predict_t4
from tables import ERRORS, Row, accurate, error_cells, table


def peer_table(rows: Sequence[Row], peers: dict[str, Any]) -> str:
    """Return each estimator's errors of what the driver shows, on the cases that it answers.

    Beside them ftspec's own on the same cases. Where the driver hides the context, the reserved
    peak is not compared: a row needs the driver's figure.
    """
    chosen = [row for row in accurate(rows) if row.driver is not None]
    body = []
    for split in ("score", "tune"):
        of_split = [row for row in chosen if row.split == split]
        ours = [row.driver_error for row in of_split if row.driver_error is not None]
        body.append([split, "**ftspec**", _share(len(ours), of_split), *error_cells(ours)[1:], ""])
        for name, entry in peers.items():
            answered = [row for row in of_split if row.case in entry["answers"]]
            errors = [entry["answers"][row.case] / (row.driver or 1) - 1 for row in answered]
            same = [abs(row.driver_error) for row in answered if row.driver_error is not None]
            cells = [*error_cells(errors)[1:], error_cells(same)[1]]
            body.append([split, name, _share(len(errors), of_split), *cells])
    head = ["split", "estimator", "answers", *ERRORS[1:], "ftspec's median on these"]
    sources = "\n".join(f"- {name}: {entry['source']}" for name, entry in peers.items())
    return table(head, body) + "\nSources:\n\n" + sources + "\n"


def _share(count: int, rows: Sequence[Row]) -> str:
    return f"{count} of {len(rows)}"


def t4_table(
    folder: Path,
    theirs: dict[str, float],
    predict: Callable[[T4Row], int | None] = predict_t4,
) -> str:
    """Return the T4 rows' errors: fitcheck-llm's of the process, and ftspec's if it has any.

    theirs: row -> bytes of the process, as peers.py asked fitcheck-llm.
    """
    rows = load_t4(folder)
    body = []
    for role in sorted({row.role for row in rows}):
        of_role = [row for row in rows if row.role == role]
        answers = [theirs[row.id] / row.process - 1 for row in of_role if row.id in theirs]
        body.append([role, "fitcheck-llm, process", *error_cells(answers)])
        ours = _ours(of_role, predict)
        cells = ["-", "not predicted yet", "-", "-", "-"] if ours is None else error_cells(ours)
        body.append([role, "ftspec, allocated", *cells])
    note = (
        f"{len(rows)} rows of fitcheck-llm (MIT), measured on a Tesla T4 under that project's own "
        "script: fp16, LoRA on q, k, v, o, checkpointing, all logits, foreach AdamW. Its "
        "constants were fitted to the `calibration` rows. No row lies in this repository.\n\n"
    )
    return note + table(["role", "estimator, figure", *ERRORS], body)


def _ours(rows: Sequence[T4Row], predict: Callable[[T4Row], int | None]) -> list[float] | None:
    try:
        predicted = [(row, predict(row)) for row in rows]
    except NotImplementedError:
        return None
    return [size / row.allocated - 1 for row, size in predicted if size is not None]
