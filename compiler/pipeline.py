"""The compiler's pipeline: facts, then the passes in this order, then the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ftspec import __version__
from ftspec.compiler.draft import Draft
from ftspec.compiler.facts.hardware import Hardware
from ftspec.compiler.gather import gather
from ftspec.compiler.memory.predict import Tracer
from ftspec.compiler.passes.choose_batch import choose_batch
from ftspec.compiler.passes.choose_data import choose_data
from ftspec.compiler.passes.choose_method import choose_method
from ftspec.compiler.passes.choose_model import choose_model
from ftspec.compiler.passes.choose_rhythm import choose_rhythm
from ftspec.compiler.passes.choose_training import choose_training
from ftspec.compiler.passes.judge_memory import judge_memory
from ftspec.compiler.passes.regularize import regularize
from ftspec.compiler.plan import Facts, Plan, SpecText
from ftspec.compiler.rules import (
    does_not_fit,
    metric_not_emitted,
    not_acted_on,
    packed_rows_mix,
    tight,
    untrainable_mixture,
    virtual_tokens_refused,
)
from ftspec.compiler.speed import Speed, estimate
from ftspec.compiler.tested import TESTED_WITH
from ftspec.compiler.tune.fit import Misfit, fit, misfit
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.parse import Parsed, by_place
from ftspec.spec.rules.shape import missing_key, no_data

Pass = Callable[[Draft], Draft]

PASSES: tuple[Pass, ...] = (
    choose_method,
    choose_model,
    choose_data,
    choose_training,
    choose_batch,
    regularize,
    choose_rhythm,
    judge_memory,
)
REFUSED = (
    metric_not_emitted,
    not_acted_on,
    untrainable_mixture,
    virtual_tokens_refused,
    packed_rows_mix,
)


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the compiler made of a spec: a plan where nothing stands against it, and findings.

    `project` is the folder that the plan's scripts are to lie in; `speed` is the plan's.
    `misfit`: the ways out, where it does not fit or may not.
    """

    plan: Plan | None
    findings: tuple[Finding, ...]
    project: Path = Path()
    speed: Speed = Speed()
    misfit: Misfit | None = None


def compile_spec(
    parsed: Parsed,
    root: Path,
    hardware: Hardware,
    *,
    project: Path | None = None,
    needs_data: bool = False,
    tracer: Tracer | None = None,
) -> Compiled:
    """Compile a parsed spec, as seen from the folder `root`, for some hardware.

    `project` overrides where the project goes; `needs_data` makes data that is not named an
    error. `tracer` traces memory where no tape covers the set-up. The plan is there even when the
    run does not fit.
    """
    spec = parsed.spec
    if spec is None:
        return Compiled(None, parsed.findings)
    output = project or root / (spec.output or f"{Path(parsed.source.name).stem}-project")
    draft = replace(gather(spec, root, output, hardware), tracer=tracer)
    if spec.data.train is None:
        rule = no_data.find(needs_data) if parsed.flat else missing_key.find(("data", "train"))
        draft = draft.found(*rule)
    for about in REFUSED:
        draft = draft.found(*about.find(draft))
    if _stuck(draft):
        return Compiled(None, _sorted(parsed, draft))

    def rate(tuned: Draft) -> float | None:
        plan, gpu = finish(tuned, parsed), tuned.hardware.gpu
        return estimate(plan, tuned.model.shape, gpu, tuned.lengths).tokens_per_second

    start, draft = draft, fit(draft, decide, rate)
    ways = misfit(start, draft, decide, rate)
    draft = draft.found(*does_not_fit.find(ways), *tight.find(ways))
    findings = _sorted(parsed, draft)
    broken = any(
        item.severity is Severity.ERROR and item.name != "does-not-fit" for item in findings
    )
    if broken:
        return Compiled(None, findings, output)
    plan = finish(draft, parsed)
    price = draft.spec.hardware.price_per_hour
    speed = estimate(plan, draft.model.shape, draft.hardware.gpu, draft.lengths, price)
    return Compiled(plan, findings, output, speed, ways)


def decide(draft: Draft) -> Draft:
    """Run all passes over a draft."""
    for step in PASSES:
        draft = step(draft)
    return draft


def _stuck(draft: Draft) -> bool:
    """Whether facts are missing without which the passes cannot decide anything."""
    stuck = {
        "model-unreadable",
        "data-unreadable",
        "unknown-gpu",
        "template-refuses",
        "unusable-path",
    }
    return any(finding.name in stuck for finding in draft.findings)


def _sorted(parsed: Parsed, draft: Draft) -> tuple[Finding, ...]:
    placed = [parsed.placed(finding) for finding in draft.findings]
    return tuple(sorted([*parsed.findings, *placed], key=by_place))


def finish(draft: Draft, parsed: Parsed) -> Plan:
    """Make the plan of a draft in which every choice is made."""
    sections: dict[str, dict[str, Any]] = {}
    for path, value in draft.choices.items():
        section, _, key = path.partition(".")
        if key:
            sections.setdefault(section, {})[key] = value
    hardware = draft.hardware
    sections["hardware"] |= {
        "device": "cuda" if hardware.cards else "cpu",
        "gpu": hardware.gpu.name if hardware.gpu else None,
        "count": draft.spec.hardware.count or max(1, len(hardware.cards)),
        "nodes": draft.spec.hardware.nodes or 1,
        "free_bytes": hardware.free_bytes,
        "detected": hardware.detected,
    }
    return Plan.model_validate(
        {
            "ftspec": __version__,
            "output": draft.project.name,
            **sections,
            "evaluate": metric_not_emitted.measured(draft),
            "run": draft.spec.run,
            "memory": draft.choices["memory"],
            "facts": _facts(draft),
            "why": dict(draft.why),
            "changes": draft.changes,
            "spec": SpecText(name=Path(parsed.source.name).name, text=parsed.source.text),
        }
    )


def _facts(draft: Draft) -> Facts:
    lengths = draft.lengths
    return Facts(
        model_source=draft.model.source,
        model_commit=draft.model.revision,
        data_digest=draft.data.digest if draft.data else None,
        eval_digest=draft.eval_data.digest if draft.eval_data else None,
        mean_tokens=round(lengths.mean, 2) if lengths else None,
        longest_tokens=lengths.longest if lengths else None,
        rows_over_length=lengths.over(draft["data.max_length"]) if lengths else None,
        supervised_tokens=sum(lengths.supervised) if lengths else None,
        lengths="measured" if lengths else "unknown",
        tested_with=dict(TESTED_WITH),
    )
