"""Label smoothing with prompt tuning.

What it finds
    `label_smoothing` above 0 where the method is `prompt`.

Why it matters
    The soft prompt makes the logits longer than the labels by `num_virtual_tokens`. The smoothed
    loss compares the two position by position and stops at the first step.

Evidence it needs
    `method.type` and `train.label_smoothing`.

Example
    ```yaml
    method: prompt
    train: {label_smoothing: 0.1}
    ```

What to do
    Delete `label_smoothing`, or write `method: prefix`, whose virtual tokens are not among the
    logits.

References
    transformers 5.23 `trainer_pt_utils.py`, `LabelSmoother`, after peft 0.21 `peft_model.py`,
    `forward`: "The size of tensor a must match the size of tensor b". Seen with prompt tuning; a
    prefix trains.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    smoothing = spec.train.label_smoothing
    if spec.method.type != "prompt" or not smoothing:
        return
    yield RULE.finding(
        "`label_smoothing` cannot be used with `prompt`",
        route=("train", "label_smoothing"),
        found="logits and labels would differ in length",
        help="delete `label_smoothing`, or write `label_smoothing: 0`",
        evidence={"label_smoothing": smoothing},
        prescriptions=(
            Prescription(
                (Edit("train.label_smoothing", smoothing, 0),),
                "the smoothed loss cannot leave out the virtual tokens",
            ),
        ),
    )


RULE = Rule("FT125", "label-smoothing-with-prompt", Severity.ERROR, find)
