"""Keys of the evaluation where nothing is held out.

What it finds
    `train.eval_steps`, `train.eval_batch_size` or `evaluate` where `data.eval` is `none`.

Why it matters
    Every metric is measured on held-out rows. Without them the keys would be dropped in silence,
    and the numbers that were asked for would never come.

Evidence it needs
    `data.eval` and the keys named above.

Example
    ```yaml
    data: {train: train.jsonl, eval: none}
    evaluate: [perplexity]
    ```

What to do
    Hold rows out, `eval: 5%`; or delete the key.

References
    transformers 5.23 `trainer.py`, `_validate_args`: an eval strategy without an `eval_dataset` is
    refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Edit, Finding, Prescription, Route, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding a key."""
    if spec.data.eval != "none":
        return
    written: dict[Route, object] = {
        ("train", "eval_steps"): spec.train.eval_steps,
        ("train", "eval_batch_size"): spec.train.eval_batch_size,
        ("evaluate",): spec.evaluate,
    }
    for route, value in written.items():
        if value:
            yield _finding(route)


def _finding(route: Route) -> Finding:
    return RULE.finding(
        f"`{route[-1]}` has no held-out rows to measure: `eval` is `none`",
        route=route,
        at_key=True,
        found="nothing is held out",
        help=f"write `eval: 5%` under `data:`, or delete `{route[-1]}`",
        evidence={"key": ".".join(str(step) for step in route)},
        prescriptions=(
            Prescription(
                (Edit("data.eval", "none", "5%"),), "metrics are measured on held-out rows"
            ),
        ),
    )


RULE = Rule("FT121", "eval-keys-without-eval", Severity.ERROR, find)
