"""All rules of the compiler, in the order of their codes."""

from __future__ import annotations

from typing import Any

from ftspec.compiler.rules import (
    attention_refused,
    card_counts_disagree,
    data_unreadable,
    does_not_fit,
    effective_batch_lost,
    eval_differs,
    few_examples,
    format_assumed,
    max_length_over_limit,
    memory_unknown,
    metric_not_emitted,
    model_unreadable,
    no_bf16,
    not_acted_on,
    overfits_as_planned,
    rows_cut,
    template_missing,
    template_refuses,
    tight,
    too_few_rows,
    unknown_gpu,
    unknown_lengths,
    unknown_module,
    unmapped_targets,
    unmeasured_hardware,
    unusable_path,
)
from ftspec.spec.rule import Rule

FACT_RULES: tuple[Rule[Any], ...] = (
    model_unreadable.RULE,
    data_unreadable.RULE,
    unknown_gpu.RULE,
    max_length_over_limit.RULE,
    no_bf16.RULE,
    attention_refused.RULE,
    template_missing.RULE,
    template_refuses.RULE,
    unknown_module.RULE,
    unmapped_targets.RULE,
    rows_cut.RULE,
    too_few_rows.RULE,
    unknown_lengths.RULE,
    metric_not_emitted.RULE,
    unusable_path.RULE,
    effective_batch_lost.RULE,
    eval_differs.RULE,
    format_assumed.RULE,
    not_acted_on.RULE,
    unmeasured_hardware.RULE,
    card_counts_disagree.RULE,
    does_not_fit.RULE,
    tight.RULE,
    memory_unknown.RULE,
    few_examples.RULE,
    overfits_as_planned.RULE,
)
