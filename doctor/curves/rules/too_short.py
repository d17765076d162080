"""Too few records for some of the rules.

What it finds
    Runs with fewer losses, or fewer evaluations, than a rule needs; it names those rules.

Why it matters
    Silence about a short log is not health. What could not be judged is said.

Evidence it needs
    One loss.

Example
    ```
    6 losses: spikes (12) and oscillates (24) cannot be judged
    ```

What to do
    Log more often (`train.logging_steps`), evaluate more often (`train.eval_steps`), or wait for
    the run to go on.

References
    The numbers stand in each rule's page, under `Evidence it needs`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.doctor.curves.rules import diverges, flat, oscillates, overfits, spikes
from ftspec.doctor.curves.series import Run
from ftspec.doctor.curves.words import count
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

NEEDS = {
    "diverges": diverges.RECORDS,
    "flat": flat.RECORDS,
    "spikes": spikes.RECORDS,
    "oscillates": oscillates.RECORDS,
}


def find(run: Run) -> Iterator[Finding]:
    """Yield the finding that names the rules for which there are too few records."""
    losses, held_out = len(run.losses), len(run.held_out)
    if run.is_reinforcement or losses + held_out == 0:
        return
    left_out = {name: need for name, need in NEEDS.items() if losses < need}
    few_evals = 0 < held_out < overfits.EVALUATIONS
    if not left_out and not few_evals:
        return
    parts = [f"{name} (needs {need} losses)" for name, need in left_out.items()]
    if few_evals:
        parts.append(f"overfits (needs {overfits.EVALUATIONS} evaluations)")
    here = [count(losses, "loss")] if left_out else []
    here += [count(held_out, "evaluation")] if few_evals else []
    knobs = ["`train.logging_steps`"] if left_out else []
    knobs += ["`train.eval_steps`"] if few_evals else []
    yield RULE.finding(
        f"too short to judge everything: {' and '.join(here)}",
        found=f"not judged: {', '.join(parts)}",
        help=f"log more often ({', '.join(knobs)}), or look again when the run has gone on",
        evidence={
            "losses": losses,
            "evaluations": held_out,
            "not_judged": [*left_out, *(["overfits"] if few_evals else [])],
            "needs": {**left_out, **({"overfits": overfits.EVALUATIONS} if few_evals else {})},
        },
    )


RULE = Rule("FT407", "too-short", Severity.INFO, find)
