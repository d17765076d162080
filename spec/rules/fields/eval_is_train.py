"""Held-out rows that are trained on.

What it finds
    A `data.eval` that is one of the files of `data.train`.

Why it matters
    A loss on rows that were trained on falls for as long as the run lasts. Overfitting becomes
    invisible, and every metric flatters.

Evidence it needs
    `data.train` and `data.eval`.

Example
    ```yaml
    data: {train: train.jsonl, eval: train.jsonl}
    ```

What to do
    Hold a share out, `eval: 5%`, or name another file.

References
    CONTRACT: `data.eval`; a share is taken out of the training rows.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    held_out, train = spec.data.eval, spec.data.train or ()
    if held_out is None or _same(held_out) not in map(_same, train):
        return
    yield RULE.finding(
        f"`eval` is a file that is trained on: `{held_out}`",
        route=("data", "eval"),
        found="also in `train`",
        help="write `eval: 5%` to hold out a share, or name another file",
        evidence={"eval": held_out},
        prescriptions=(
            Prescription(
                (Edit("data.eval", held_out, "5%"),),
                "a share is taken out of the training rows",
            ),
        ),
    )


def _same(path: str) -> str:
    return posixpath.normpath(path.strip().replace("\\", "/"))


RULE = Rule("FT134", "eval-is-train", Severity.ERROR, find)
