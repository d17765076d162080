"""What other estimators say of the same cases. Each answers what it claims to cover, and no more.

    python bench/vram/peers.py DIR PEERS.json [--fitcheck PYTHON] [--t4 T4]

DIR is a prepared folder. fitcheck-llm is installed from PyPI into DIR/fitcheck, unless PYTHON
names an interpreter that has it. PEERS.json: "cases": estimator -> {"claims", "asked", "source",
"figure", "answers": case -> bytes, and "verdicts" where the estimator gives them}; with --t4,
"t4": estimator -> the same with "answers": row -> {"allocated", "reserved", "process"}, bytes,
ftspec's own among them (it traces 69 set-ups twice: about 15 minutes on two idle cores).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peer_rules import RULES, Item
from t4 import fitcheck_t4, load_t4

FITCHECK = "fitcheck-llm==0.3.1"
FITCHECK_SOURCE = "https://pypi.org/project/fitcheck-llm/0.3.1/"
HERE = Path(__file__).resolve().parent
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
VERDICTS = {"safe": "fits", "uncertain": "tight", "does_not_fit": "no"}

Answers = dict[str, dict[str, Any]]


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
    cap = {"vram_mib": case["cap_gib"] * 1024} if case["cap_gib"] else {"gpu": "h200"}
    return {"id": item["id"], "parameters": item["parameters"], "training": training, **cap}


def fitcheck_questions(items: Sequence[Item], folder: Path) -> list[dict[str, Any]]:
    """Return the questions about all cases that fitcheck-llm has words for."""
    questions = []
    for item in items:
        question = fitcheck_question(item)
        if question is not None:
            config = folder / "models" / item["folder"] / "config.json"
            questions.append({**question, "config": str(config)})
    return questions


def ask_fitcheck(questions: Sequence[dict[str, Any]], python: Path) -> Answers:
    """Ask fitcheck-llm in its own interpreter; models that it refuses are left out.

    Returns id -> {"total", "tensors": bytes, "verdict"}, as ask_fitcheck.py writes them.
    """
    done = subprocess.run(
        [str(python), str(HERE / "ask_fitcheck.py")],
        input=json.dumps(questions),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answers: Answers = json.loads(done.stdout)
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


def case_entries(items: Sequence[Item], fitcheck: Answers) -> dict[str, Any]:
    """Return each estimator with its answers on the cases; fitcheck: what it said."""
    found: dict[str, Any] = {}
    about = {
        "asked": "its Python API, `estimate()`, with the config.json and the parameters of the "
        "case; for capped cases with the cap as `vram_mib`, of which it uses 95 %; for others its "
        "H200. Its constants are fitted to a T4 and to a plain loss that builds all logits, which "
        "these runs do not use; its authors say that other cards and bf16 are not validated",
        "source": FITCHECK_SOURCE,
    }
    found[f"{FITCHECK}, total"] = {
        "claims": "the peak of a process as nvidia-smi shows it",
        **about,
        "figure": "driver",
        "answers": {case: said["total"] for case, said in fitcheck.items()},
        "verdicts": {case: VERDICTS[said["verdict"]] for case, said in fitcheck.items()},
    }
    found[f"{FITCHECK}, tensors"] = {
        "claims": "the allocator's peak: its total without context and fragmentation",
        **about,
        "figure": "allocated",
        "answers": {case: said["tensors"] for case, said in fitcheck.items()},
        "verdicts": {},
    }
    for rule in RULES:
        every = {item["id"]: rule.answer(item) for item in items}
        kept = {key: value for key, value in every.items() if value is not None}
        about = {"claims": rule.claims, "asked": rule.asked, "source": rule.source}
        found[rule.name] = {**about, "figure": rule.figure, "answers": kept}
    return found


def t4_entries(folder: Path, t4: Path, python: Path) -> dict[str, Any]:
    """Return the answers about the public T4 rows: fitcheck-llm's, then ftspec's."""
    from t4_answers import ftspec_entries

    rows = load_t4(t4)
    questions = [fitcheck_t4(row, folder) for row in rows]
    said = ask_fitcheck([question for question in questions if question], python)
    theirs = {
        "claims": "the allocator's peak (tensors) and what nvidia-smi shows (total)",
        "asked": "its Python API, `estimate()`, with its T4",
        "source": FITCHECK_SOURCE,
        "answers": {
            row: {"allocated": one["tensors"], "process": one["total"]} for row, one in said.items()
        },
    }
    return {FITCHECK: theirs, **ftspec_entries(rows)}


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
    python = options.fitcheck or fitcheck_python(options.folder)
    asked = ask_fitcheck(fitcheck_questions(items, options.folder), python)
    content: dict[str, Any] = {"cases": case_entries(items, asked)}
    for name, entry in content["cases"].items():
        print(f"{name}: answers {len(entry['answers'])} of {len(items)}", file=sys.stderr)
    if options.t4:
        content["t4"] = t4_entries(options.folder, options.t4, python)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
