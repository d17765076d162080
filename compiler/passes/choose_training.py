"""Decide the learning rate, its course, the optimizer and the run's length."""

from __future__ import annotations

from ftspec.compiler.draft import Draft

# Learning rates by method. Sources: LoRA and QLoRA: the guide and the QLoRA paper, table 9
# (2e-4 up to 13B, 1e-4 above); full: Alpaca (2e-5 for 7B, 1e-5 for 13B); prefix and prompt:
# peft's examples for AdamW (1e-2 and 3e-2).
LARGE = 20e9
RATES = {
    "lora": (2e-4, 1e-4),
    "qlora": (2e-4, 1e-4),
    "full": (2e-5, 1e-5),
    "prefix": (1e-2, 1e-2),
    "prompt": (3e-2, 3e-2),
}
SOURCES = {
    "lora": "the guide's; QLoRA paper, table 9",
    "qlora": "the guide's; QLoRA paper, table 9",
    "full": "Stanford Alpaca's for full fine-tuning",
    "prefix": "peft's prefix-tuning example",
    "prompt": "peft's prompt-tuning example",
}


def choose_training(draft: Draft) -> Draft:
    """Decide everything under `train` that does not depend on memory or on the run's length."""
    kind = draft.spec.method.type
    size = draft.model.parameters or 0
    rate = RATES[kind][1 if size > LARGE else 0]
    draft = draft.decide("train.learning_rate", rate, SOURCES[kind])
    if draft.spec.train.max_steps is None:
        draft = draft.decide("train.epochs", 3.0, "the guide's")
        draft = draft.put("train.max_steps", None, "the run is counted in epochs")
    else:
        draft = draft.put("train.epochs", None, "the run is counted in steps")
        draft = draft.decide("train.max_steps", None, "")
    draft = draft.decide("train.scheduler", "linear", "falls to zero by the last step")
    if draft["train.scheduler"] == "constant":
        draft = draft.put("train.warmup", 0.0, "`constant` has no warm-up")
    elif draft["train.max_steps"] == 1:
        draft = draft.decide("train.warmup", 0.0, "a share rounds up to the run's one step")
    else:
        draft = draft.decide("train.warmup", 0.03, "the guide's")
    draft = draft.decide("train.optimizer", "adamw_torch_fused", "needs no copy of its parameters")
    draft = draft.decide("train.weight_decay", 0.0, "none by default")
    draft = draft.decide("train.max_grad_norm", 1.0, "clips the rare large gradient")
    draft = draft.decide("train.label_smoothing", 0.0, "none by default")
    draft = draft.decide("train.seed", 42, "fixed, so that a run can be repeated")
    draft = draft.decide("train.compile", False, "compilation takes minutes before the first step")
    draft = draft.decide("train.early_stopping", False, "asked for by no rule")
    draft = draft.decide("train.logging_steps", 10, "the guide's")
    draft = draft.decide("train.save_limit", 2, "the newest, and one before it")
    return draft.decide("train.report_to", (), "no tracker")
