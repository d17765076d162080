"""What other estimators say of the same cases. Each answers what it claims to cover, and no more.

    python bench/vram/peers.py DIR PEERS.json [--fitcheck PYTHON]

DIR is a prepared folder. fitcheck-llm is installed from PyPI into DIR/fitcheck, unless PYTHON
names an interpreter that has it. PEERS.json: "cases": estimator -> {"source", "answers": case ->
bytes}; with --t4, "t4": row -> bytes, of fitcheck-llm.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from t4 import fitcheck_t4, load_t4

GB = 1e9
FITCHECK = "fitcheck-llm==0.3.1"
HERE = Path(__file__).resolve().parent
# Unsloth's table, "absolute minimum": billions of parameters -> (QLoRA, LoRA), GB. Source:
# unsloth.ai/docs, get-started/fine-tuning-for-beginners/unsloth-requirements (November 2026).
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
TARGETS = {
    "attention-min": ["q_proj", "v_proj"],
    "attention": ["q_proj", "k_proj", "v_proj", "o_proj"],
}
TARGETS["all-linear"] = [*TARGETS["attention"], "gate_proj", "up_proj", "down_proj"]
OPTIMIZERS = {
    "adamw_torch_fused": "adamw",
    "adamw_torch": "adamw",
    "paged_adamw_32bit": "adamw",
    "adamw_8bit": "adam8bit",
    "paged_adamw_8bit": "adam8bit",
    "sgd": "sgd",
}
ADAM = ("adamw_torch_fused", "adamw_torch")

Item = dict[str, Any]  # an entry of cases.json
Answer = Callable[[Item], float | None]


def accelerate_rule(item: Item) -> float | None:
    """Return accelerate's "training using Adam": the function of its own command.

    Source: the installed accelerate, commands/estimate.py, estimate_training_usage; the command
    prints the largest of the four sizes. It knows full fine-tuning with Adam.
    """
    case = item["case"]
    if case["method"] != "full" or case["optimizer"] not in ADAM:
        return None
    from accelerate.commands.estimate import estimate_training_usage

    sizes = estimate_training_usage(4 * item["parameters"], "bfloat16")
    return float(max(sizes.values()))


def deepspeed_rule(item: Item) -> float | None:
    """Return DeepSpeed's estimate for ZeRO-2 on one GPU without offload: 2 P + 18 P.

    Source: deepspeed/runtime/zero/stage_1_and_2.py, estimate_zero2_model_states_mem_needs: 2 =
    weights of 16 bits; 18 = gradients of 16 and of 32 bits, weights and Adam in 32 bits. It knows
    full fine-tuning, and says itself that it counts model states only.
    """
    case = item["case"]
    if case["method"] != "full" or case["optimizer"] not in ADAM:
        return None
    size: int = item["parameters"]
    return 2.0 * size + 18.0 * size


def llama_factory_table(item: Item) -> float | None:
    """Return the rule of LLaMA-Factory's table, column `xB`, GB for x billions of parameters.

    Source: README.md of hiyouga/LLaMA-Factory, "Hardware Requirement" ("estimated"): full 18x,
    full in pure bf16 8x, LoRA 2x, QLoRA with 8 bits x, with 4 bits x/2.
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


RULES: dict[str, tuple[str, Answer]] = {
    "accelerate estimate-memory": ("accelerate, commands/estimate.py", accelerate_rule),
    "DeepSpeed ZeRO-2, one GPU": ("deepspeed, runtime/zero/stage_1_and_2.py", deepspeed_rule),
    "LLaMA-Factory's table": ("README.md, Hardware Requirement", llama_factory_table),
    "Unsloth's table": ("unsloth.ai/docs, unsloth-requirements", unsloth_table),
}


def fitcheck_question(item: Item) -> dict[str, Any] | None:
    """Return a case in the words of fitcheck-llm, or None where it has none for it.

    It knows LoRA, QLoRA (nf4, int8) and full fine-tuning, padded rows, AdamW, 8-bit Adam and
    SGD; its `flash_attn` stands for sdpa too (its own rows on the T4 are so named).
    """
    case = item["case"]
    asked_more = case["dora"] or case["saved"] or case["checkpointing"] == "selective"
    if case["method"] in ("prefix", "prompt") or case["rows"] == "packed" or asked_more:
        return None
    if case["quantization"] == "fp4" or case["optimizer"] not in OPTIMIZERS:
        return None
    if case["method"] != "full" and case["dtype"] == "float32":
        return None
    full = case["method"] == "full"
    pure = full and case["dtype"] == "bfloat16"
    training = {
        "precision": {"float32": "fp32", "float16": "fp16"}.get(case["dtype"], "bf16"),
        "quantization": case["quantization"],
        "double_quant": case["double_quant"] and case["quantization"] == "nf4",
        "optimizer": OPTIMIZERS[case["optimizer"]],
        "optimizer_dtype": "bf16" if pure else "fp32",
        "batch_size": case["batch"],
        "seq_len": case["length"],
        "lora_rank": None if full else case["r"],
        "lora_targets": TARGETS.get(case["targets"], []),
        "grad_checkpoint": bool(case["checkpointing"]),
        "flash_attn": case["attention"] == "sdpa",
        "grad_accum_steps": case["accumulation"],
    }
    return {"id": item["id"], "parameters": item["parameters"], "training": training}


def fitcheck_questions(items: Sequence[Item], folder: Path) -> list[dict[str, Any]]:
    """Return the questions about all cases that fitcheck-llm has words for."""
    questions = []
    for item in items:
        question = fitcheck_question(item)
        if question is not None:
            config = folder / "models" / item["folder"] / "config.json"
            questions.append({**question, "config": str(config), "gpu": "h200"})
    return questions


def ask_fitcheck(questions: Sequence[dict[str, Any]], python: Path) -> dict[str, float]:
    """Ask fitcheck-llm in its own interpreter; models that it refuses are left out."""
    done = subprocess.run(
        [str(python), str(HERE / "ask_fitcheck.py")],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=True,
    )
    answers: dict[str, float] = json.loads(done.stdout)
    return answers


def fitcheck_python(folder: Path) -> Path:
    """Install fitcheck-llm into a virtual environment of its own; returns its interpreter."""
    home = folder / "fitcheck"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", FITCHECK]
        subprocess.run([str(python), *install], check=True)
    return python


def main() -> None:
    """Parse the command line, ask all, write the answers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fitcheck", type=Path, help="an interpreter that has fitcheck-llm")
    parser.add_argument("--t4", type=Path, help="folder of the public T4 rows")
    options = parser.parse_args()
    items = json.loads((options.folder / "cases.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    for name, (source, rule) in RULES.items():
        every = {item["id"]: rule(item) for item in items}
        kept = {key: value for key, value in every.items() if value is not None}
        found[name] = {"source": source, "answers": kept}
    python = options.fitcheck or fitcheck_python(options.folder)
    asked = ask_fitcheck(fitcheck_questions(items, options.folder), python)
    found[FITCHECK] = {"source": "PyPI; its Python API, estimate()", "answers": asked}
    content: dict[str, Any] = {"cases": found}
    if options.t4:
        about = [fitcheck_t4(row, options.folder) for row in load_t4(options.t4)]
        content["t4"] = ask_fitcheck([question for question in about if question], python)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for name, entry in found.items():
        print(f"{name}: answers {len(entry['answers'])} of {len(items)}", file=sys.stderr)


if __name__ == "__main__":
    main()
