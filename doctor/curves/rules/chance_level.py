"""A loss that stays where guessing would put it.

What it finds
    Runs whose loss rests within 0.6 % of ln k: k from 2 to 10, the loss of a classifier that
    gives k classes the same probability, from the start on; or k the size of a known vocabulary,
    the loss of a language model that does so, at the end.

Why it matters
    The model says the same for every row. It has learnt nothing, or lost all that it knew.

Evidence it needs
    8 losses or 3 evaluations.

Example
    `eval_loss` 1.386294 at 60 of 62 evaluations: ln 4, in a task with four answers.

What to do
    With few classes: raise the learning rate; look whether the answers are in what the model
    sees. At the size of a vocabulary: lower it, and start from the base model again.

References
    Cross-entropy of a uniform guess. 0.6 % is a seventh of what lies between neighbours k up to 10.
    The nearest k is named, not claimed: 50,257 and 50,304 are 0.001 nats apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ftspec.doctor.curves.rules.flat import CHANGE
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.statistics import median
from ftspec.doctor.curves.words import count, figure
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

LOSSES, EVALUATIONS = 8, 3
NEAR = 0.006  # of ln k
CLASSES = range(2, 11)
VOCABULARIES = (
    30_522,  # BERT
    32_000,  # Llama 2, Mistral
    32_768,  # Mistral v0.3
    49_152,  # SmolLM, StarCoder
    50_257,  # GPT-2
    50_304,  # GPT-2 padded, Pythia
    100_352,  # OLMo 2, Phi-4
    128_256,  # Llama 3
    151_936,  # Qwen 2 and 3
    152_064,  # Qwen 2, large
    256_000,  # Gemma
    262_144,  # Gemma 3
)
SIZES: tuple[int, ...] = (*CLASSES, *VOCABULARIES)


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding for a loss that rests at ln k."""
    if run.is_reinforcement:
        return
    held_out = [record.loss for record in run.held_out if record.loss is not None]
    for what, losses, needed in (
        ("held-out loss", held_out, EVALUATIONS),
        ("loss", run.losses, LOSSES),
    ):
        seen = resting(losses) if len(losses) >= needed else None
        k = nearest(*seen) if seen else None
        if seen is None or k is None:
            continue
        level = seen[0]
        classes = k in CLASSES
        yield RULE.finding(
            f"the {what} stays at chance level: {figure(level)}, and ln {k:,} = "
            f"{figure(math.log(k))}",
            found=f"median of the last half of {count(len(losses), 'value')}; a uniform guess "
            f"among {k:,} {'classes' if classes else 'tokens'} gives that",
            help="raise the learning rate; look whether the answers can be told from what the "
            "model sees"
            if classes
            else "lower the learning rate and start from the base model again",
            evidence={
                "level": level,
                "k": k,
                "chance": math.log(k),
                "threshold": NEAR * math.log(k),
                "learning_rate": run.peak_learning_rate,
            },
            confidence=0.9 if classes else 0.7,
        )
        return


def resting(losses: Sequence[float]) -> tuple[float, float] | None:
    """Return the level of the last half and that of the start, where the last half is at rest."""
    half = losses[len(losses) // 2 :]
    part = max(1, len(half) // 3)
    level, start = median(half), median(losses[: max(1, len(losses) // 5)])
    still = abs(median(half[:part]) - median(half[-part:])) < CHANGE * level
    return (level, start) if still else None


def nearest(level: float, start: float) -> int | None:
    """Return the k whose ln is within the bound; few classes only where it began there."""
    for k in SIZES:
        bound = NEAR * math.log(k)
        from_start = abs(start - math.log(k)) <= 2 * bound
        if abs(level - math.log(k)) <= bound and (from_start or k not in CLASSES):
            return min(SIZES, key=lambda size: abs(level - math.log(size)))
    return None


RULE = Rule("FT412", "chance-level", Severity.WARNING, find)
