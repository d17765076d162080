"""Checkpoints that do not fall on evaluations.

What it finds
    Early stopping with a `save_steps` that is no multiple of `eval_steps`.

Why it matters
    The best model is restored at the end, so the weights of an evaluation have to be on disk.
    Where checkpoints fall between evaluations they are not, and transformers refuses to start.

Evidence it needs
    `train.early_stopping`, `train.save_steps` and `train.eval_steps`, all written.

Example
    ```yaml
    train: {early_stopping: true, eval_steps: 40, save_steps: 100}
    ```

What to do
    Write a `save_steps` that is a multiple of `eval_steps`, or leave one of them out.

References
    transformers 5.23 `training_args.py`: "--load_best_model_at_end requires the saving steps to be
    a round multiple of the evaluation steps".
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Severity
from ftspec.spec.model import EarlyStopping, Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield the finding."""
    train = spec.train
    if not isinstance(train.early_stopping, EarlyStopping):
        return
    if train.save_steps is None or train.eval_steps is None:
        return
    if train.save_steps % train.eval_steps == 0:
        return
    better = train.eval_steps * -(-train.save_steps // train.eval_steps)
    yield RULE.finding(
        f"`save_steps: {train.save_steps}` is no multiple of `eval_steps: {train.eval_steps}`",
        route=("train", "save_steps"),
        found="early stopping restores the best evaluation",
        help=f"write `save_steps: {better}`, or leave `eval_steps` out",
        evidence={"save_steps": train.save_steps, "eval_steps": train.eval_steps},
        prescriptions=(
            Prescription(
                (Edit("train.save_steps", train.save_steps, better),),
                f"{better} is the next multiple of {train.eval_steps}",
            ),
        ),
    )


RULE = Rule("FT126", "save-steps-not-multiple", Severity.ERROR, find)
