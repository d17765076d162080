"""A run of reinforcement learning, which these rules do not judge.

What it finds
    Logs with rewards, or with negative losses in more than a tenth of the records: GRPO, PPO and
    their like. Also LLaMA-Factory's logs with an accuracy beside the loss, which it writes when
    it trains on preferences; the shape of such a loss is judged.

Why it matters
    A policy loss hovers around zero whether the policy learns or not. Read as a language model's
    loss it would look flat, or spiking, or be taken for a NaN.

Evidence it needs
    The names of what is logged, or the losses' signs.

Example
    ```
    {"loss": -0.0003, "reward": 0.41, "reward_std": 0.0, "kl": 0.002, "step": 120}
    ```

What to do
    Look at the reward, its spread within a group, and the KL divergence instead. Only NaN is
    looked for here, and what rewards show (FT434 to FT437).

References
    trl `GRPOTrainer`, logged metrics.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.words import count
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

PREFERENCES = ("llamafactory_trainer_log", "accuracy")  # the format, and what it logs then


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding that a run is one of reinforcement learning."""
    if run.losses and not run.is_reinforcement and run.format == PREFERENCES[0]:
        if PREFERENCES[1] in run.quantities:
            yield _preferences(run)
        return
    if not run.is_reinforcement or not run.losses:
        return
    rewards = sorted(name for name in run.quantities if name.startswith("reward"))
    negative = sum(loss < 0 for loss in run.losses)
    yield RULE.finding(
        "this is a run of reinforcement learning: the shape of its loss is not judged",
        found=f"logged: {', '.join(rewards[:4])}"
        if rewards
        else f"{count(negative, 'negative loss').replace('losss', 'losses')}",
        help="look at the reward, its spread within a group, and the KL divergence",
        evidence={"rewards": rewards, "negative_losses": negative},
        confidence=0.95 if rewards else 0.8,
    )


def _preferences(run: Run) -> Finding:
    return RULE.finding(
        "this run learns from preferences: its loss is that of a choice, 0.69 by guessing",
        found=f"logged: {PREFERENCES[1]} beside {count(len(run.losses), 'loss')}",
        help="look at the accuracy of the choices, and at the margin between the rewards",
        evidence={"rewards": [PREFERENCES[1]], "negative_losses": 0},
        confidence=0.6,
    )


RULE = Rule("FT409", "rl-run", Severity.INFO, find)
