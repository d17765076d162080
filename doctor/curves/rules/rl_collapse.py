"""A policy that breaks down.

What it finds
    In runs of reinforcement learning: a reward that has lost more than half of what it had gained
    and stays lost; a KL divergence that ends at more than ten times its middle level and above 1
    while the reward does not rise; completions that shrink to a tenth of their length without a
    gain in reward.

Why it matters
    The policy has left what the reward model, or the reference, knows about. What comes after is
    not repaired by more steps.

Evidence it needs
    20 records with a reward.

Example
    ```
    reward  0.12  0.35  0.61  0.64  0.31  0.08      kl  0.01  0.04  0.09  0.2  3.1  14
    ```

What to do
    Go back to a checkpoint before the fall. Lower the learning rate, raise the weight of the KL
    term, and look at completions from either side of the fall: a reward that can be had without
    the task is found sooner or later.

References
    Gao et al., Scaling laws for reward model overoptimization, arXiv 2210.10760. trl's GRPO and
    PPO log `reward`, `kl` and `completions/mean_length`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules.rewards import Logged, logged
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median, noise_scale, rolling_median
from ftspec.doctor.curves.words import at, factor, figure, share, span
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

RECORDS = 20
LOST = 0.5  # of the gain
IN_NOISE = 3.0
KL_GROWTH, KL_HIGH = 10.0, 1.0  # times the middle level; nats
SHRUNK = 0.1


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a policy that breaks down."""
    reward = logged(run, "reward")
    if not run.is_reinforcement or len(reward) < RECORDS:
        return
    found = _reward_lost(run, reward) or _kl(run, reward) or _length(run, reward)
    if found:
        yield found


def _smooth(values: list[float]) -> list[float]:
    return rolling_median(values, max(5, len(values) // 10) | 1)


def _gain(reward: Logged) -> float:
    """Return what the reward gained between the middle third and the last tenth."""
    third = len(reward) // 3
    values = reward.values
    return median(values[-max(3, len(values) // 10) :]) - median(values[third : 2 * third])


def _reward_lost(run: Run, reward: Logged) -> Finding | None:
    smooth = _smooth(reward.values)
    top = max(range(len(smooth)), key=smooth.__getitem__)
    start = median(reward.values[: max(3, len(reward) // 10)])
    end = median(reward.values[-max(3, len(reward) // 10) :])
    gain, noise = smooth[top] - start, noise_scale(reward.values)
    lost = smooth[top] - end
    # the highest of a noisy course is high by chance: both ways must exceed it
    if gain <= IN_NOISE * noise or lost <= max(LOST * gain, IN_NOISE * noise):
        return None
    if top > 0.9 * len(smooth):
        return None
    first = reward.places[top]
    return RULE.finding(
        f"the reward falls from {figure(smooth[top])} at {at(run.judged, first)} to {figure(end)}",
        found=f"it began at {figure(start)}: {share(lost / gain)} of the gain is lost; noise "
        f"{figure(noise)}",
        help="go back to a checkpoint before the fall; lower the learning rate or raise the KL "
        "term's weight",
        evidence={
            "steps": span(run.judged, first, reward.places[-1]),
            "kind": "reward",
            "start": start,
            "highest": smooth[top],
            "end": end,
            "threshold": LOST * gain,
        },
        confidence=0.8,
    )


def _kl(run: Run, reward: Logged) -> Finding | None:
    kl = logged(run, "kl")
    if len(kl) < RECORDS:
        return None
    middle = median(kl.values[len(kl) // 4 : len(kl) // 2])
    end = median(kl.values[-max(3, len(kl) // 10) :])
    if end <= max(KL_GROWTH * middle, KL_HIGH) or _gain(reward) > noise_scale(reward.values):
        return None
    bar = middle + 0.1 * (end - middle)
    onset = next((i for i, v in enumerate(_smooth(kl.values)) if v > bar), len(kl) - 1)
    grown = factor(end / middle) if middle > 0 else "far beyond"
    return RULE.finding(
        f"the KL divergence grows to {figure(end)}, {grown} its middle level, and the reward does "
        "not rise",
        found=f"from {at(run.judged, kl.places[onset])} on; {figure(middle)} in the middle",
        help="go back to a checkpoint before it; raise the KL term's weight or lower the learning "
        "rate",
        evidence={
            "steps": span(run.judged, kl.places[onset], kl.places[-1]),
            "kind": "kl",
            "middle": middle,
            "end": end,
            "threshold": max(KL_GROWTH * middle, KL_HIGH),
        },
        confidence=0.8,
    )


def _length(run: Run, reward: Logged) -> Finding | None:
    length = logged(run, "completion_length")
    if len(length) < RECORDS:
        return None
    start = median(length.values[: max(3, len(length) // 5)])
    end = median(length.values[-max(3, len(length) // 10) :])
    if start <= 0 or end >= SHRUNK * start or _gain(reward) > noise_scale(reward.values):
        return None
    return RULE.finding(
        f"completions shrink from {start:,.0f} to {end:,.0f} tokens, and the reward does not rise",
        found=f"{share(end / start)} of their length at the start",
        help="look at completions: an empty answer must not be worth more than a wrong one",
        evidence={"kind": "length", "start": start, "end": end, "threshold": SHRUNK * start},
        confidence=0.7,
    )


RULE = Rule("FT434", "rl-collapse", Severity.ERROR, find)
