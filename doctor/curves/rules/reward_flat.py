"""A reward that does not rise.

What it finds
    In runs of reinforcement learning: a reward whose last third is not above its first by more
    than two standard errors nor by 2 % of its range, in 50 records or more.

Why it matters
    The policy does not learn what is rewarded: the reward is too rare, too coarse or out of reach,
    or the steps are too small.

Evidence it needs
    50 records with a reward.

Example
    ```
    reward   0.41   0.38   0.44   0.40   0.39   0.42        over 400 steps
    ```

What to do
    Look at the spread of rewards in a group first: without spread there is nothing to learn from
    (FT436). Then give partial rewards, more completions a prompt, easier prompts first; then a
    higher learning rate.

References
    modelscope/ms-swift#4547. A standard error of a median: 1.25 sigma / sqrt n.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules.rewards import logged
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median, shift
from ftspec.doctor.curves.words import count, figure, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 50
ERRORS = 2.0
OF_RANGE = 0.02


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a reward that does not rise."""
    reward = logged(run, "reward")
    values = reward.values
    if not run.is_reinforcement or len(values) < RECORDS:
        return
    third = len(values) // 3
    gain, error = shift(values[:third], values[-third:])
    width = max(values) - min(values)
    if gain > max(ERRORS * error, OF_RANGE * width):
        return
    yield RULE.finding(
        f"the reward does not rise: {figure(median(values[:third]))} to "
        f"{figure(median(values[-third:]))}",
        found=f"{count(len(values), 'record')}, standard error {figure(error)}, between "
        f"{figure(min(values))} and {figure(max(values))}",
        help="look at the spread of rewards in a group; give partial rewards, or more completions "
        "a prompt",
        evidence={
            "steps": span(run.judged, reward.places[0], reward.places[-1]),
            "gain": gain,
            "error": error,
            "threshold": max(ERRORS * error, OF_RANGE * width),
            "learning_rate": run.peak_learning_rate,
        },
        confidence=0.6,
    )


RULE = Rule("FT435", "reward-flat", Severity.WARNING, find)
