"""Label smoothing brings the full logits back.

What it finds
    `label_smoothing` above 0.

Why it matters
    trl computes its loss without the full logits. Label smoothing needs them, so each step runs a
    second forward pass and holds batch x length x vocabulary values: often more than the
    activations.

Evidence it needs
    `train.label_smoothing`.

Example
    ```yaml
    train: {label_smoothing: 0.1}
    ```

What to do
    Nothing, if it is meant: the prediction counts it. Otherwise delete the key.

References
    trl 1.16 `trainer/sft_trainer.py`: "Label smoothing needs the full logits […] each step runs an
    extra forward pass", deprecated there. With prompt tuning it is an error, FT125.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding; `prompt` is left to the rule label-smoothing-with-prompt."""
    smoothing = spec.train.label_smoothing
    if not smoothing or spec.method.type == "prompt":
        return
    yield RULE.finding(
        "`label_smoothing` makes each step slower and larger",
        route=("train", "label_smoothing"),
        found="builds the full logits, in a second forward pass",
        help="keep it if it is meant: the prediction counts it; otherwise delete it",
        evidence={"label_smoothing": smoothing},
    )


RULE = Rule("FT140", "label-smoothing-builds-logits", Severity.INFO, find)
