"""Other estimators' rules and tables, as their authors give them: a case in, bytes out, or None.

None is "no answer": what a source does not cover is not asked of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

GB = 1e9
# Unsloth's table, "absolute minimum": billions of parameters -> (QLoRA, LoRA), GB.
UNSLOTH = (
    (3, 3.5, 8.0),
    (7, 5.0, 19.0),
    (8, 6.0, 22.0),
    (9, 6.5, 24.0),
    (11, 7.5, 29.0),
    (14, 8.5, 33.0),
    (27, 22.0, 64.0),
    (32, 26.0, 76.0),
    (40, 30.0, 96.0),
    (70, 41.0, 164.0),
    (81, 48.0, 192.0),
)
ADAM = ("adamw_torch_fused", "adamw_torch")

Item = dict[str, Any]  # an entry of cases.json


@dataclass(frozen=True, slots=True)
class Rule:
    """An estimator that is a formula or a table.

    claims: what its authors say that it estimates. asked: how it was asked here. figure: what it
    is held against, `allocated` or `driver` (see `tables.Row`).
    """

    name: str
    claims: str
    asked: str
    source: str
    figure: str
    answer: Callable[[Item], float | None]


def accelerate_rule(item: Item) -> float | None:
    """Return accelerate's "training using Adam": the function of its own command.

    The command prints the largest of the four sizes. It knows full fine-tuning with Adam.
    """
    case = item["case"]
    if case["method"] != "full" or case["optimizer"] not in ADAM:
        return None
    from accelerate.commands.estimate import estimate_training_usage

    sizes = estimate_training_usage(4 * item["parameters"], "bfloat16")
    return float(max(sizes.values()))


def deepspeed_rule(item: Item) -> float | None:
    """Return DeepSpeed's estimate for ZeRO-2 on one GPU without offload: 2 P + 18 P.

    2 = weights of 16 bits; 18 = gradients of 16 and of 32 bits, weights and Adam in 32 bits.
    """
    case = item["case"]
    if case["method"] != "full" or case["optimizer"] not in ADAM:
        return None
    size: int = item["parameters"]
    return 2.0 * size + 18.0 * size


def llama_factory_table(item: Item) -> float | None:
    """Return LLaMA-Factory's column `xB`, GB for x billions of parameters.

    Full 18x, full in pure bf16 8x, LoRA 2x, QLoRA with 8 bits x, with 4 bits x/2.
    """
    case, size = item["case"], item["parameters"]
    if case["method"] == "full":
        return float(size * (18 if case["dtype"] == "float32" else 8))
    if case["method"] == "lora":
        return float(2 * size)
    if case["method"] == "qlora":
        return float(size * (1.0 if case["quantization"] == "int8" else 0.5))
    return None


def unsloth_table(item: Item) -> float | None:
    """Return Unsloth's table, linear between its sizes; it starts at 3B and knows two methods."""
    case, size = item["case"], item["parameters"] / 1e9
    column = {"qlora": 1, "lora": 2}.get(case["method"])
    if column is None or not UNSLOTH[0][0] <= size <= UNSLOTH[-1][0]:
        return None
    for low, high in zip(UNSLOTH, UNSLOTH[1:], strict=False):
        if size <= high[0]:
            share = (size - low[0]) / (high[0] - low[0])
            return GB * float(low[column] + share * (high[column] - low[column]))
    return None


RULES = (
    Rule(
        f"accelerate {version('accelerate')} estimate-memory",
        "weights, gradients and Adam's states of full fine-tuning; no activations",
        "`estimate_training_usage(4 P, 'bfloat16')`, the largest of its four sizes, as its "
        "command prints; full fine-tuning with AdamW",
        "https://huggingface.co/docs/accelerate/usage_guides/model_size_estimator",
        "allocated",
        accelerate_rule,
    ),
    Rule(
        "DeepSpeed ZeRO-2 model states",
        "weights, gradients and Adam's states on one GPU under DeepSpeed; no activations",
        "the formula of `estimate_zero2_model_states_mem_needs`, one GPU, no offload: 20 P; full "
        "fine-tuning with AdamW. These runs do not use DeepSpeed",
        "https://deepspeed.readthedocs.io/en/latest/memory.html",
        "allocated",
        deepspeed_rule,
    ),
    Rule(
        "LLaMA-Factory's table",
        "a GPU's memory, by parameters alone ('estimated')",
        "the column `xB`: full 18x, pure bf16 8x, LoRA 2x, QLoRA x or x/2; any batch and length",
        "https://github.com/hiyouga/LLaMA-Factory#hardware-requirement",
        "driver",
        llama_factory_table,
    ),
    Rule(
        "Unsloth's table",
        "the absolute minimum of a GPU's memory under Unsloth's own kernels, by parameters alone",
        "linear between its rows, 3B to 81B; LoRA and QLoRA; any batch and length. These runs do "
        "not use Unsloth",
        "https://unsloth.ai/docs/get-started/fine-tuning-for-beginners/unsloth-requirements",
        "driver",
        unsloth_table,
    ),
)
