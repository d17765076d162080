"""Groups whose completions are all rewarded alike.

What it finds
    In runs of reinforcement learning: in the last half, a median of 80 % or more of the groups
    without any spread of rewards; or, where that share is not logged, a spread of exactly 0.

Why it matters
    An advantage is what a completion got above its group. Where all got the same it is 0, and the
    step teaches nothing: the gradient is zero or noise.

Evidence it needs
    10 records with `frac_reward_zero_std` or `reward_std`.

Example
    `'reward': 0.0, 'reward_std': 0.0, 'frac_reward_zero_std': 1.0` on most lines.

What to do
    Rewards with more than two values; more generations a prompt; a higher temperature; prompts
    that the model solves sometimes and not always. A task that is solved by all is done.

References
    modelscope/ms-swift#4547; DAPO's dynamic sampling drops such groups (arXiv 2503.14476).
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules.rewards import logged
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import count, figure, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 10
MOST = 0.8  # of the groups: a fifth of the batch is left to learn from


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for rewards without spread."""
    if not run.is_reinforcement:
        return
    zero, spread = logged(run, "zero_reward_std"), logged(run, "reward_std")
    half = zero.values[len(zero) // 2 :]
    if len(zero) >= RECORDS:
        alike = median(half)
        said = f"{share(alike)} of the groups"
    elif len(spread) >= RECORDS:
        later = spread.values[len(spread) // 2 :]
        alike = sum(value == 0.0 for value in later) / len(later)
        said = f"all groups of {share(alike)} of the records"
    else:
        return
    if alike < MOST:
        return
    seen = zero if len(zero) >= RECORDS else spread
    reward = logged(run, "reward").values
    level = median(reward[len(reward) // 2 :])
    yield RULE.finding(
        f"rewards have no spread in {said}: there is nothing to learn from",
        found=f"last half of {count(len(seen), 'record')}; the reward is {figure(level)} there",
        help="rewards with more values, more generations a prompt, a higher temperature, or other "
        "prompts",
        evidence={
            "steps": span(run.judged, seen.places[len(seen) // 2], seen.places[-1]),
            "share": alike,
            "reward": level,
            "threshold": MOST,
        },
        confidence=0.8,
    )


RULE = Rule("FT436", "no-reward-variance", Severity.WARNING, find)
