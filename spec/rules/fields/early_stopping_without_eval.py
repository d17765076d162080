"""Early stopping without held-out rows.

What it finds
    `early_stopping` switched on where `data.eval` is `none`.

Why it matters
    Early stopping watches the loss on held-out rows. Without them there is nothing to watch.

Evidence it needs
    `train.early_stopping` and `data.eval`.

Example
    ```yaml
    data: {train: train.jsonl, eval: none}
    train: {early_stopping: true}
    ```

What to do
    Hold rows out, `eval: 5%`; or write `early_stopping: false`.

References
    transformers 5.23 `trainer_callback.py`, `EarlyStoppingCallback`: "EarlyStoppingCallback
    requires IntervalStrategy of steps or epoch".
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import EarlyStopping, Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    if spec.data.eval != "none" or not isinstance(spec.train.early_stopping, EarlyStopping):
        return
    yield RULE.finding(
        "`early_stopping` has no held-out rows to watch: `eval` is `none`",
        route=("train", "early_stopping"),
        at_key=True,
        found="needs a held-out loss",
        help="write `eval: 5%` under `data:`, or `early_stopping: false`",
        prescriptions=(
            Prescription(
                (Edit("data.eval", "none", "5%"),),
                "early stopping watches the loss on held-out rows",
            ),
        ),
    )


RULE = Rule("FT120", "early-stopping-without-eval", Severity.ERROR, find)
