"""One cause, one finding: what a graver finding explains is not said again."""

from __future__ import annotations

from collections.abc import Sequence

from ftspec.spec.finding import Finding, Severity

NOT_LEARNING = ("zero-loss", "lr-zero", "dead-gradient", "chance-level")
SEAMS = ("several-runs",)

# A finding is left out where one of these stands beside it.
EXPLAINED_BY: dict[str, tuple[str, ...]] = {
    "no-loss": ("oom",),
    "interrupted": ("oom",),
    "too-short": ("oom",),
    "grad-nan": ("nan", "zero-loss"),
    "grad-explosion": ("nan", "diverges", *SEAMS),
    "grad-vanishing": ("nan", *NOT_LEARNING, *SEAMS),
    "lr-too-high": ("nan", "resume-discontinuity", *SEAMS),
    "lr-schedule": ("resume-discontinuity", "lr-zero", *SEAMS),
    "no-warmup": ("nan", "lr-too-high", "resume-discontinuity", *SEAMS),
    "chance-level": ("nan", "diverges", "zero-loss", "lr-zero"),
    "dead-gradient": ("nan", "zero-loss", "lr-zero", "chance-level"),
    "flat": ("nan", *NOT_LEARNING),
    "plateau": ("nan", "flat", "overfits", *NOT_LEARNING, *SEAMS),
    "spikes": ("nan", "resume-discontinuity", *SEAMS),
    "oscillates": ("nan", *NOT_LEARNING, *SEAMS),
    "underfits": (
        *("nan", "diverges", "oom", "interrupted", "resume-discontinuity", "spikes", "oscillates"),
        *("overfits", "overfits-mild", "memorises", "suspicious-low", "early-stop-missed"),
        *NOT_LEARNING,
        *SEAMS,
    ),
    "memorises": ("nan", "diverges", "zero-loss", "overfits", "overfits-mild", "suspicious-low"),
    "suspicious-low": ("nan", "diverges", "zero-loss"),
    "overfits-mild": ("overfits", "suspicious-low"),
    "early-stop-missed": (
        "nan",
        "overfits",
        "overfits-mild",
        "suspicious-low",
        "flat",
        *NOT_LEARNING,
        *SEAMS,
    ),
    "scale-mismatch": ("loss-scale", *NOT_LEARNING, *SEAMS),
    "throughput-drop": SEAMS,
    "reward-flat": ("rl-collapse", "no-reward-variance"),
}
# These are explained by a finding of any severity; the others only by a warning or an error.
BY_ANY = ("overfits", "interrupted")


def causes(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings without those that others among them explain."""
    present = {
        item.name
        for item in findings
        if item.severity.at_least(Severity.WARNING) or item.name in BY_ANY
    }
    return [item for item in findings if not present.intersection(EXPLAINED_BY.get(item.name, ()))]
