"""Two lengths for one run.

What it finds
    `epochs` and `max_steps` in one spec.

Why it matters
    transformers lets `max_steps` win in silence, and whoever reads `epochs` is misled.

Evidence it needs
    `train.epochs` and `train.max_steps`.

Example
    ```yaml
    train: {epochs: 3, max_steps: 100}
    ```

What to do
    Delete one of the two.

References
    transformers 5.23 `training_args.py`: `max_steps` "overrides `num_train_epochs`".
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding at `max_steps`."""
    train = spec.train
    if train.epochs is None or train.max_steps is None:
        return
    yield RULE.finding(
        f"the run has two lengths: `epochs: {train.epochs:g}` and `max_steps: {train.max_steps}`",
        route=("train", "max_steps"),
        at_key=True,
        found="`epochs` says it too",
        help="delete `epochs` or `max_steps`",
        evidence={"epochs": train.epochs, "max_steps": train.max_steps},
    )


RULE = Rule("FT122", "epochs-and-max-steps", Severity.ERROR, find)
