"""The one table of what trainers call things, and what a key means by it.

Keys are compared in lower case, blanks and hyphens as `_`, and without a leading `metrics/`.
Those that begin with `train/` or `train_` are looked up without it as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

GIB, MIB = 2.0**30, 2.0**20

# Best first: of several losses in a log the first of these is the one to judge.
LOSSES = (
    ("loss", "train/loss", "train_loss", "training_loss", "trainloss", "loss_train", "loss/train")
    + ("lm_loss", "language_model_loss", "train_loss_step", "loss_step", "train/loss_step")
    + ("reduced_train_loss", "train/crossentropyloss", "crossentropyloss", "ce_loss", "trl")
    + ("train_batch_loss", "batch_loss", "train_ce_loss", "cross_entropy_loss", "xent", "nll_loss")
    + ("cross_entropy", "total_loss", "loss/total", "trn_loss", "tr_loss", "avg_loss", "mean_loss")
    + ("average_loss", "loss_avg", "running_loss", "smoothed_loss", "loss_ema", "ema_loss")
    + ("actor/pg_loss", "pg_loss", "policy_loss", "loss/policy", "actor/loss", "actor_loss")
    + ("train_loss_epoch", "loss_epoch", "train/loss_epoch", "epoch_loss", "train/epoch_loss")
)

# Best first: of several counters in a row the first of these is the step.
STEPS = (
    ("step", "global_step", "train/global_step", "trainer/global_step", "current_steps")
    + ("current_step", "global_step/max_steps", "steps", "iter", "iteration", "iters", "it")
    + ("global_steps", "train/step", "train_step", "training_step", "optimizer_step", "update")
    + ("num_updates", "update_step", "batch", "batch_idx", "_step", "s")
)
TOTALS = ("total_steps", "max_steps", "train/max_steps", "num_training_steps", "total_iters")
EPOCHS = ("epoch", "train/epoch", "epochs", "ep", "current_epoch", "trainer/epoch")

QUANTITIES: dict[str, tuple[str, float]] = {
    **dict.fromkeys(
        ("learning_rate", "lr", "lr_0", "learning_rate_group0", "optim/learning_rate_group0")
        + ("optim/lr", "optimizer/lr", "actor/lr", "policy/lr", "lr/group0", "lr_group0", "last_lr")
        + ("lr_adamw", "lr_adamw/pg1", "lr_adam", "lr_adam/pg1", "lr_sgd", "base_lr"),
        ("learning_rate", 1.0),
    ),
    **dict.fromkeys(
        ("grad_norm", "gradient_norm", "gradnorm", "grad_norms", "norm", "gnorm", "total_grad_norm")
        + ("optim/total_grad_norm", "actor/grad_norm", "policy/grad_norm", "grad_norm_total")
        + ("grad/norm", "gradients/norm", "global_grad_norm", "grad_l2_norm", "|g|", "actor_gnorm"),
        ("grad_norm", 1.0),
    ),
    **dict.fromkeys(
        ("num_tokens", "num_input_tokens_seen", "tokens", "total_tokens", "tokens_total")
        + (
            "consumed_tokens",
            "trained_tokens",
            "tokens_seen",
            "throughput/total_tokens",
            "n_tokens",
        )
        + ("tokens_processed", "global_num_tokens"),
        ("tokens", 1.0),
    ),
    **dict.fromkeys(
        ("tokens_per_second", "tokens_per_sec", "tok/sec", "tok/s", "tokens/sec", "tokens/s")
        + ("tokens_per_second_per_gpu", "tokens_per_gpu_per_second", "toks/s", "tok_per_sec")
        + ("throughput/device/tokens_per_second", "train_tokens_per_second", "tps", "tokens/second")
        + ("perf/throughput", "throughput", "tok_s", "tokens_s"),
        ("tokens_per_second", 1.0),
    ),
    "memory_bytes": ("memory_bytes", 1.0),
    "memory(gib)": ("memory_bytes", GIB),
    "peak_memory_active": ("memory_bytes", GIB),
    "peak_memory_alloc": ("memory_bytes", GIB),
    "perf/max_memory_allocated_gb": ("memory_bytes", GIB),
    "peak_mem": ("memory_bytes", 1.0),
    "vram_allocated": ("memory_bytes", GIB),
    "system/peak_gpu_memory_(mb)": ("memory_bytes", MIB),
    **dict.fromkeys(
        ("reward", "rewards/mean", "mean_reward", "reward_mean", "critic/rewards/mean")
        + ("critic/score/mean", "objective/scores", "objective/rlhf_reward", "env/reward_mean"),
        ("reward", 1.0),
    ),
    **dict.fromkeys(("reward_std", "rewards/std", "critic/rewards/std"), ("reward_std", 1.0)),
    **dict.fromkeys(
        ("kl", "objective/kl", "actor/kl_loss", "actor/reward_kl_penalty", "policy/approxkl_avg")
        + ("kl_loss", "mean_kl", "approx_kl", "kl_mean", "actor/ppo_kl"),
        ("kl", 1.0),
    ),
    **dict.fromkeys(
        ("entropy", "actor/entropy", "actor/entropy_loss", "policy/entropy_avg")
        + ("objective/entropy", "policy/entropy"),
        ("entropy", 1.0),
    ),
    **dict.fromkeys(
        ("completions/clipped_ratio", "clipped_ratio", "response_length/clip_ratio"),
        ("clipped_ratio", 1.0),
    ),
    **dict.fromkeys(
        ("completions/mean_length", "completion_length", "response_length/mean")
        + ("completions/mean_terminated_length", "response_length"),
        ("completion_length", 1.0),
    ),
    "frac_reward_zero_std": ("zero_reward_std", 1.0),
    "zero_reward_std": ("zero_reward_std", 1.0),
    "loss_scale": ("loss_scale", 1.0),
    "grad_scale": ("loss_scale", 1.0),
    **dict.fromkeys(
        ("step_seconds", "step_time", "iter_time", "timing_s/step", "perf/time_per_step", "dt")
        + ("time_per_step", "seconds_per_step", "time_per_iter", "sec/step", "step_avg")
        + ("train_step_timing_in_s", "batch_time"),
        ("step_seconds", 1.0),
    ),
    "ms/batch": ("step_seconds", 1e-3),
    "dt_ms": ("step_seconds", 1e-3),
    "step_time_ms": ("step_seconds", 1e-3),
    "elapsed_time_per_iteration_(ms)": ("step_seconds", 1e-3),
    **dict.fromkeys(
        ("mean_token_accuracy", "token_accuracy", "token_acc", "train/token_acc"),
        ("token_accuracy", 1.0),
    ),
    **dict.fromkeys(("perplexity", "ppl", "train_ppl"), ("perplexity", 1.0)),
}

# A number's unit, as printed behind it; a time or a memory without one is not understood.
UNITS = {
    "step_seconds": {"ms": 1e-3, "s": 1.0, "sec": 1.0, "us": 1e-6},
    "memory_bytes": {"GB": 1e9, "GiB": GIB, "MB": 1e6, "MiB": MIB, "KiB": 1024.0},
    "tokens_per_second": {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6},
}

SUMMARY = frozenset({"train_runtime", "train/train_runtime", "total_flos", "train/total_flos"})

_HELD_OUT = r"(eval(?:uation)?|val(?:id(?:ation)?)?|test|dev|held_?out)"
_EVAL = re.compile(rf"(?:loss/)?{_HELD_OUT}(?:[/_.:]+(.+))?")
_LOSS_OF = re.compile(r"(?:(.+?)[/_.])?(?:lm_|ce_|nll_|total_|avg_|mean_)?(?:crossentropy)?loss")
_EVAL_LAST = re.compile(rf"(?:lm_)?(?:crossentropy)?loss[/_.]{_HELD_OUT}")
_HELD_OUT_WORD = re.compile(rf"(?:^|[/_.]){_HELD_OUT}(?:[/_.]|$)")
_NOT_THE_LOSS = re.compile(
    r"aux|balanc|z_loss|router|best|min_|lowest|prev|old|final|target|delta|improv|stop_loss|predict"
)
_ENDING = re.compile(r"[/_](?:step|epoch)$")
_NOT_A_METRIC = re.compile(
    r".*(?:runtime|_per_second|samples|num_tokens|mem_.*|jit_.*|epoch|step|took|time|iters?|size)"
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a key stands for.

    Roles: step, total, epoch, loss, quantity (a column of this name), eval-loss and eval-metric
    (of the held-out set `name`), summary (the row is the run's summary), other. `rank` orders
    keys of one role, best first.
    """

    role: str
    name: str = ""
    rank: int = 0
    factor: float = 1.0
    metric: str = ""


OTHER = Meaning("other")


@lru_cache(maxsize=8192)
def meaning(key: str) -> Meaning:
    """Return what a key stands for; `key\x1funit` is one that was printed with a unit."""
    key, mark, unit = key.partition("\x1f")
    if mark:
        return _with_unit(meaning(key), unit)
    plain = re.sub(r"[\s\-]+", "_", key.strip().lower())
    plain = re.sub(r"^(?:metrics?|logs?|scalars|stats)/(?=.)", "", plain)
    for name in (plain, re.sub(r"^(?:train(?:ing)?|trainer)[/_.]", "", plain)):
        if name in STEPS:
            return Meaning("step", rank=STEPS.index(name) * 2 + (name != plain))
        if name in TOTALS:
            return Meaning("total")
        if name in EPOCHS:
            return Meaning("epoch", rank=EPOCHS.index(name))
        if plain in SUMMARY:
            return Meaning("summary")
        if name in LOSSES:
            return Meaning("loss", rank=LOSSES.index(name))
        if name in QUANTITIES:
            column, factor = QUANTITIES[name]
            return Meaning("quantity", column, factor=factor)
    return _held_out(plain) or _unlisted(plain)


def _with_unit(what: Meaning, unit: str) -> Meaning:
    units = UNITS.get(what.name) if what.role == "quantity" else None
    if units is None:
        return what
    return replace(what, factor=what.factor * units[unit]) if unit in units else OTHER


def _held_out(plain: str) -> Meaning | None:
    """Return the meaning of `eval_loss`, `eval_<name>_loss`, `loss/val`, `val_accuracy`, …"""
    last = _EVAL_LAST.fullmatch(plain)
    if last or plain == "tel":
        return Meaning("eval-loss", _set(last.group(1) if last else "val", ""))
    match = _EVAL.fullmatch(plain)
    if match is None:
        return None
    kind, rest = match.group(1), match.group(2)
    if rest is None:
        return Meaning("eval-loss", _set(kind, ""), rank=9) if kind == "val" else None
    loss = _LOSS_OF.fullmatch(_ENDING.sub("", rest))
    if loss:
        return Meaning("eval-loss", _set(kind, loss.group(1) or ""), rank=rest.endswith("step"))
    if _NOT_A_METRIC.fullmatch(rest):
        return OTHER
    return Meaning("eval-metric", _set(kind, ""), metric=rest)


def _set(kind: str, name: str) -> str:
    """Name a held-out set: the one that is evaluated in training needs no name."""
    return "/".join(filter(None, ("test" if kind == "test" else "", name)))


def _unlisted(plain: str) -> Meaning:
    """Take an unknown key that ends in `loss` for a loss, behind all that are known."""
    if not re.fullmatch(r"[\w/.]*loss", plain) or _NOT_THE_LOSS.search(plain):
        return OTHER
    held_out = _HELD_OUT_WORD.search(plain)
    if held_out:
        return Meaning("eval-loss", _set(held_out.group(1), ""), rank=5)
    return Meaning("loss", rank=len(LOSSES) + plain.count("/"))
