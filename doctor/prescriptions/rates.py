"""Remedies that move the learning rate, and warm-up."""

from __future__ import annotations

from ftspec.doctor.curves.rules.lr_schedule import in_warm_up
from ftspec.doctor.prescriptions.case import Case, advice, rounded
from ftspec.spec.edit import number
from ftspec.spec.finding import Finding, Prescription

# Learning rates by method: usual to start with, and the highest that is worth a try.
# Adapters: the guide's 2e-4. Full: Alpaca's 2e-5. Prefix and prompt: Li and Liang 2021 (5e-5 to
# 5e-2 for reparametrized prefixes), Lester et al. 2021 (0.3 for prompts).
USUAL_RATE = {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4, "prefix": 1e-2, "prompt": 3e-2}
HIGHEST_RATE = {"full": 1e-4, "lora": 2e-3, "qlora": 2e-3, "prefix": 1e-1, "prompt": 0.5}
UNKNOWN_USUAL, UNKNOWN_HIGHEST = 2e-4, 2e-3
RUNAWAY = 10  # nan, diverges: haotian-liu/LLaVA#1301 and #1375 were cured by it
SPIKES = 5  # the guide's
FLAT = 10  # the guide's
PLATEAU = 3  # it moved: half of flat's way, in the logarithm
REWARD = 3

AGAIN_AT_ROWS = "it happens again at the same rows: then it is the data, not the rate"
FEW_STEPS = 300  # below, 3 % is under ten steps of warm-up


def runs_away(finding: Finding, case: Case) -> list[Prescription]:
    """A tenth; of an absurd rate the usual one; in warm-up below half of what was reached."""
    steps = finding.evidence.get("steps")
    reached = case.run.rate_reached(steps[0]) if steps else None
    return [lower_rate(case, RUNAWAY, "the loss stays finite and falls", reached)]


def spikes(finding: Finding, case: Case) -> list[Prescription]:
    """A fifth, and clipping where there is none."""
    expect = "no spikes, and a loss that falls a little slower"
    return [lower_rate(case, SPIKES, expect), *clipped(case)]


def gradients_grow(finding: Finding, case: Case) -> list[Prescription]:
    """A fifth, and clipping where there is none."""
    return [lower_rate(case, SPIKES, "the gradient norm stays where it is"), *clipped(case)]


def policy_collapses(finding: Finding, case: Case) -> list[Prescription]:
    """A fifth; then what no key of a spec expresses."""
    return [
        lower_rate(case, SPIKES, "the reward stays up once it has risen"),
        advice(
            "raise the weight of the KL term (`beta`) and go on from a checkpoint before the fall",
            "the KL divergence stays under 1",
        ),
    ]


def flat(finding: Finding, case: Case) -> list[Prescription]:
    """Ten times as much, up to the highest worth a try; more rank where there is next to none."""
    return [*raise_rate(case, FLAT), *_more_rank(case)]


def plateau(finding: Finding, case: Case) -> list[Prescription]:
    """More rank where there is next to none; three times the rate."""
    return [*_more_rank(case), *raise_rate(case, PLATEAU)]


def reward_flat(finding: Finding, case: Case) -> list[Prescription]:
    """Another reward first: with no signal no rate helps."""
    return [
        advice(
            "partial rewards, more generations a prompt, or prompts that are solved sometimes",
            "rewards in a group differ, and their mean begins to rise",
            "they differ and the mean still does not rise: then the learning rate",
        ),
        *raise_rate(case, REWARD, usual=False),
    ]


def at_chance(finding: Finding, case: Case) -> list[Prescription]:
    """Few classes: as flat, unless the rate is high; a vocabulary: as a run that ran away."""
    usual = USUAL_RATE.get(case.method or "", UNKNOWN_USUAL)
    if finding.evidence["k"] > 10 or (case.rate or 0.0) > 2 * usual:
        return [lower_rate(case, RUNAWAY, "the loss falls below what guessing gives")]
    return raise_rate(case, FLAT)


def zero_rate(finding: Finding, case: Case) -> list[Prescription]:
    """The usual rate; a warm-up of ordinary length where the spec has a long one."""
    usual = USUAL_RATE.get(case.method or "", UNKNOWN_USUAL)
    written = case.written("train.learning_rate")
    expect = "the loss falls"
    if written:
        reason = f"the spec asks for {number(written)}: look at the scheduler's number of steps"
        return [warm_up(case, 0.03, reason)] if case.written("train.warmup") else [advice(reason)]
    edit = case.edit("train.learning_rate", usual, 0.0)
    return [Prescription((edit,), f"{number(usual)} is a usual learning rate", expect)]


def no_warmup(finding: Finding, case: Case) -> list[Prescription]:
    """3 % of the steps; a tenth of a short run."""
    total = case.planned.max_steps or len(case.run.judged)
    share = 0.03 if total >= FEW_STEPS else 0.1
    return [warm_up(case, share, f"warm up over {share * 100:.0f} % of the steps")]


def schedule(finding: Finding, case: Case) -> list[Prescription]:
    """A course that fits the run; where it restarts, its state; where it only rises, a warm-up."""
    if finding.evidence.get("kind") == "warm-up":
        return [warm_up(case, 0.03, "warm up over 3 % of the steps")]
    if finding.evidence.get("kind") == "restart":
        reason = "resume with the scheduler's state, or plan all steps as one run"
        return [advice(reason, "one rise and one decay")]
    written = case.written("train.scheduler")
    expect = "the learning rate comes down to 0 at the last step"
    if written in ("warmup_stable_decay", "cosine_with_min_lr"):  # they take numbers of their own
        edit = case.edit("train.scheduler", "linear")
        return [Prescription((edit,), "a course that needs no number but the steps", expect)]
    if finding.evidence.get("kind") == "other":
        return [advice("step the scheduler once a step, and let nothing else set the rate", expect)]
    return [advice("a scheduler made for the number of steps that are run", expect)]


def warm_up(case: Case, share: float, reason: str) -> Prescription:
    """Set the warm-up, as a share of the steps."""
    edit = case.edit("train.warmup", share, case.planned.warmup_steps)
    return Prescription((edit,), reason, "no jump in the first steps", "it jumps later instead")


def clipped(case: Case) -> list[Prescription]:
    """Set the clipping of gradients to 1 where the spec has switched it off or wide open."""
    now = case.written("train.max_grad_norm")
    if now is None or 0 < now <= 1:
        return []
    edit = case.edit("train.max_grad_norm", 1.0)
    return [Prescription((edit,), "clip gradients at a norm of 1", "single rows pull less")]


def lower_rate(case: Case, by: int, expect: str, reached: float | None = None) -> Prescription:
    """Divide the rate; where it went wrong in warm-up, below half of what was reached by then."""
    rate = case.rate
    if rate is None:
        reason = f"divide the learning rate by {by}; the log does not say what it was"
        return advice(reason, expect, AGAIN_AT_ROWS)
    highest = HIGHEST_RATE.get(case.method or "", UNKNOWN_HIGHEST)
    usual = USUAL_RATE.get(case.method or "", UNKNOWN_USUAL)
    to, reason = rounded(rounded(rate) / by), f"divide the learning rate by {by}"
    # a log without a spec does not tell the method: prompts are tuned at up to 0.3
    if to > highest and (case.method or rate > 0.5):
        to = usual
        reason = f"{number(rate)} is no usual learning rate; {number(usual)} is one to start with"
    if reached and to > reached / 2:
        to = rounded(reached / 2)
        reason = f"it went wrong at {number(rounded(reached))}, in warm-up: stay below half of that"
    written = case.written("train.learning_rate")
    if written is not None and written <= to:
        reason = f"the spec's learning rate is already down to {number(written)}: run it"
        return advice(reason, expect, AGAIN_AT_ROWS)
    edit = case.edit("train.learning_rate", to, rate)
    return Prescription((edit,), reason, expect, AGAIN_AT_ROWS)


def raise_rate(case: Case, by: int, usual: bool = True) -> list[Prescription]:
    """Multiply the rate, up to the highest that is worth a try.

    Where ten times as much is still under what is usual for the method, the usual is taken, but
    not for rewards, which want lower ones. A rate that never came to what the spec asks for is a
    matter of warm-up.
    """
    rate = case.rate
    expect = "the loss falls by more than 2 % within the first fifth of the run"
    refuted = "it is as flat as before: then look at masked answers and frozen adapters"
    if rate is None:
        reason = f"multiply the learning rate by {by}; the log does not say what it was"
        return [advice(reason, expect, refuted)]
    if in_warm_up(case.run):
        return [warm_up(case, 0.03, "the run ended in its warm-up: warm up over 3 % of the steps")]
    highest = HIGHEST_RATE.get(case.method or "", UNKNOWN_HIGHEST)
    to = rounded(min(rounded(rate) * by, highest))
    known = USUAL_RATE.get(case.method or "", 0.0)
    if usual and rounded(rate) * FLAT < known:
        edit = case.edit("train.learning_rate", known, rate)
        reason = f"{number(rounded(rate))} is no usual learning rate; {number(known)} is"
        return [Prescription((edit,), reason, expect, refuted)]
    if to < 2 * rate:
        reason = (
            f"the learning rate, {number(rate)}, is high already and no cause: look whether the "
            "adapter is trainable and the answers are not masked"
        )
        return [advice(reason)]
    times = number(rounded(to / rounded(rate)))
    reason = f"multiply the learning rate by {times}"
    if to < rounded(rate) * by:
        reason += f": {number(to)} is the highest worth a try"
    edit = case.edit("train.learning_rate", to, rate)
    return [Prescription((edit,), reason, expect, refuted)]


def unusually_high(case: Case) -> bool:
    """Say whether the rate is above the highest that is worth a try; not known is no."""
    return (case.rate or 0.0) > HIGHEST_RATE.get(case.method or "", UNKNOWN_HIGHEST)


def _more_rank(case: Case) -> list[Prescription]:
    """Raise a rank of next to nothing to the guide's 16. Source: QwenLM/Qwen#785, rank 1."""
    now = case.written("method.r")
    if not case.adapter or now is None or now >= 8:
        return []
    edit = case.edit("method.r", 16)
    return [Prescription((edit,), f"rank {now} holds little: 16 is usual", "the loss goes lower")]
