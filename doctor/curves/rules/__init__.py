"""Rules about training curves: one file each, the docstring is the page."""

from ftspec.doctor.curves.rules import (
    diverges,
    flat,
    nan,
    no_loss,
    oscillates,
    overfits,
    rl_run,
    spikes,
    too_short,
    zero_loss,
)
from ftspec.doctor.curves.series import Run
from ftspec.spec.rule import Rule

CURVE_RULES: tuple[Rule[Run], ...] = (
    nan.RULE,
    diverges.RULE,
    flat.RULE,
    spikes.RULE,
    oscillates.RULE,
    overfits.RULE,
    too_short.RULE,
    no_loss.RULE,
    rl_run.RULE,
    zero_loss.RULE,
)
