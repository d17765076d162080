"""Remedies for what is not finite, or not counted: number formats, masks, wiring."""

from __future__ import annotations

from ftspec.doctor.prescriptions.case import Case, advice
from ftspec.doctor.prescriptions.rates import (
    RUNAWAY,
    lower_rate,
    runs_away,
    unusually_high,
)
from ftspec.spec.finding import Finding, Prescription
from ftspec.spec.model import TARGET_PRESETS

LONGEST = 8192


def not_finite(finding: Finding, case: Case) -> list[Prescription]:
    """Another number format where float16 is known to be used; then a tenth of the rate.

    A run without one finite loss, at a rate that is no higher than usual ones, has not run away:
    0/0 of rows without an answer comes before the rate.
    """
    masked = []
    if finding.evidence.get("from_start") and not unusually_high(case):
        masked = [remedy for remedy in nothing_counted(finding, case) if remedy.patch]
    return [*_bfloat16(case), *masked, *runs_away(finding, case), *_alpha(case)]


def diverges(finding: Finding, case: Case) -> list[Prescription]:
    """A tenth of the rate; the usual scale of an adapter where it is larger."""
    return [*runs_away(finding, case), *_alpha(case)]


def gradient_not_finite(finding: Finding, case: Case) -> list[Prescription]:
    """Another number format; without float16 in sight, a tenth of the rate."""
    known = _bfloat16(case)
    if known:
        return known
    said = advice(
        "use bfloat16 where float16 is used; it overflows at 65,504",
        "no step is skipped",
        "norms are not finite in bfloat16 either: then rows, or the rate",
    )
    return [said, lower_rate(case, RUNAWAY, "gradient norms stay finite")]


def vanishing(finding: Finding, case: Case) -> list[Prescription]:
    """Another number format; else where to look."""
    where = "look for saturation: logits scaled up, extreme class weights, frozen layers"
    return [*_bfloat16(case), advice(where)]


def nothing_counted(finding: Finding, case: Case) -> list[Prescription]:
    """What the spec says that can mask all answers: a short length, a template; then the mask.

    A length that is left open is fitted to the rows, so a template of the spec's own is then the
    likelier cause.
    """
    now = case.written("data.max_length")
    expect = "a loss above 0 at the first step"
    refuted = "it is still 0: then the template or the mask leaves no answer"
    reason = "longer rows: answers that begin after the cut are all masked"
    found = []
    if now is not None and now < LONGEST:
        edit = case.edit("data.max_length", min(LONGEST, 4 * now))
        found.append(Prescription((edit,), reason, expect, refuted))
    if case.written("model.chat_template") is not None:
        edit = case.edit("model.chat_template", None)
        found.append(Prescription((edit,), "the tokenizer's own chat template", expect))
    if now is None:
        found.append(advice(f"{reason} (`data.max_length`)", expect, refuted))
    found.append(advice("look at one row's labels: `ftspec data check` finds `all-masked` rows"))
    return found


def not_wired(finding: Finding, case: Case) -> list[Prescription]:
    """What a spec can do wrong first; then where to look in a loop of one's own."""
    found = []
    targets, alpha = case.written("method.target_modules"), case.written("method.alpha")
    dropout = case.written("method.dropout")
    expect = "the loss moves within the first records"
    if isinstance(targets, list | tuple) and not set(targets) & set(TARGET_PRESETS):
        edit = case.edit("method.target_modules", "attention")
        found.append(Prescription((edit,), "the architecture's own attention modules", expect))
    if alpha is not None and alpha < 1:
        edit = case.edit("method.alpha", 2 * (case.written("method.r") or 16))
        found.append(Prescription((edit,), "a scale above 0", expect))
    if dropout is not None and dropout > 0.9:
        edit = case.edit("method.dropout", 0.05)
        found.append(Prescription((edit,), "dropout that lets something through", expect))
    found.append(
        advice(
            "make the optimizer after the adapter is attached, from the parameters that require a "
            "gradient, and count them",
            expect,
            "it holds them and the loss still does not move: then the learning rate",
        )
    )
    return found


def resume_whole(finding: Finding, case: Case) -> list[Prescription]:
    """The whole checkpoint; where it is lost, a warm-up."""
    return [
        advice(
            "go back to the checkpoint before and resume with its optimizer, scheduler and random "
            "state",
            "the loss goes on where it was, within its noise",
            "it jumps with all of them loaded: then the data's place, or the weights",
        )
    ]


def leaked(finding: Finding, case: Case) -> list[Prescription]:
    """Where to look: no key cures it."""
    return [
        advice(
            "look at the data first: `ftspec data check` for `leakage`, `duplicate` and "
            "`answer-repeats-prompt`",
            "held-out loss in the range of other tasks of its kind, 0.3 to 2 for text",
        )
    ]


def _bfloat16(case: Case) -> list[Prescription]:
    written = case.written("model.dtype")
    planned = case.planned.precision
    half = written == "float16" or (written is None and planned in ("fp16", "float16"))
    if not half:
        return []
    edit = case.edit("model.dtype", "bfloat16", "float16")
    reason = "bfloat16: float16 overflows at 65,504"
    return [Prescription((edit,), reason, "finite losses", "it is not finite in bfloat16 either")]


def _alpha(case: Case) -> list[Prescription]:
    """Bring alpha back to twice the rank. Source: ml-explore/mlx-examples#620, alpha 160."""
    alpha, rank = case.written("method.alpha"), case.written("method.r") or 16
    if alpha is None or alpha <= 4 * rank:
        return []
    reason = f"alpha {alpha} scales each update by {alpha / rank:.0f}: twice the rank is usual"
    return [Prescription((case.edit("method.alpha", 2 * rank),), reason, "a finite loss")]
