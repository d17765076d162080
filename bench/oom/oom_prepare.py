"""What the runs need: models of real shapes, rows, built projects, and caps that lie between."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from oom_cases import Case, as_text, spec, write_data

GIB = 2**30
APART = 1.4  # what is needed as written, over what is needed at least: else no cap lies between
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
TINY |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 300}


@dataclass(frozen=True)
class Prepared:
    """A built case: its two projects, the cap, and what was predicted (bytes)."""

    case: Case
    calm: Path
    capped: Path
    cap: int
    needed: int

    def environment(self, pretend: bool) -> dict[str, str]:
        """Return what the capped run's script finds in its environment."""
        if self.case.phase == "save":
            return {"OOM_AT_SAVE": str(self.capped / "squeezed")}
        if not pretend:
            return {"OOM_CAP_BYTES": str(self.cap)}
        rows = self.case.eval_batch or self.case.rows
        length = self.case.eval_length or max(self.case.length, self.case.longest)
        return {"OOM_TOKENS": str(rows * length - 1)}


def smaller(case: Case) -> Case:
    """Return a case for a CPU: the same phases in few steps of few tokens."""
    late = 12 if case.longest else 0
    return replace(
        case,
        rows=4,
        length=16,
        longest=64 if late else 0,
        steps=late + 6,
        save=5 if late else 2,
        eval_batch=8 if case.eval_batch else 0,
        eval_length=16 if case.eval_batch else 0,
        method="lora" if case.method == "qlora" else case.method,
    )


def make_models(names: set[str], folder: Path, pretend: bool) -> None:
    """Make models of the catalogue's shapes with new weights, and their tokenizer."""
    import torch
    import transformers
    from rows import write_tokenizer

    from ftspec.compiler.facts.catalogue import known_config

    models: Any = transformers.AutoModelForCausalLM
    write_tokenizer(folder / "tokenizer")
    for name in sorted(names):
        target = folder / "models" / name.rpartition("/")[2].lower()
        if (target / "model.safetensors").exists():
            continue
        shutil.copytree(folder / "tokenizer", target, dirs_exist_ok=True)
        known = {**(known_config(name) or {}), "bos_token_id": 0, "eos_token_id": 0}
        known |= {"dtype": "bfloat16", **(TINY if pretend else {})}
        (target / "config.json").write_text(json.dumps(known), encoding="utf-8")
        config = transformers.AutoConfig.from_pretrained(str(target))
        torch.manual_seed(0)
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            models.from_config(config, dtype=torch.bfloat16).save_pretrained(str(target))
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # the runs are to have it


def prepare(case: Case, folder: Path, place: int, options: argparse.Namespace) -> Prepared | None:
    """Write a case's data, spec and projects; None where no cap lies between its needs."""
    write_data(case, folder / "data", place)
    calm, capped = (folder / "projects" / f"{case.id}-{name}" for name in ("calm", "capped"))
    for project in (calm, capped):
        shutil.rmtree(project, ignore_errors=True)
    file = folder / f"{case.id}.yaml"
    file.write_text(as_text(spec(case)), encoding="utf-8")
    words = [sys.executable, "-m", "ftspec", "build", str(file), "-o", str(calm)]
    done = subprocess.run([*words, *_card(options)], capture_output=True, text=True)
    if not (calm / "train.py").exists():
        raise SystemExit(f"{case.id} was not built:\n{done.stderr[-3000:]}")
    shutil.copytree(calm, capped)
    needed, least = needs(case, folder, options) if not options.pretend else (2 * GIB, GIB)
    cap = round((needed * least) ** 0.5)
    figures = f"{needed / GIB:6.2f} GiB as written, {least / GIB:6.2f} at the least"
    print(f"{case.id:45} {figures}: cap {cap / GIB:6.2f}", flush=True)
    if needed < APART * least:
        print(f"{case.id}: too close together, and left out", flush=True)
        return None
    return Prepared(case, calm, capped, cap, needed)


def _card(options: argparse.Namespace) -> list[str]:
    named = ["--gpu", options.gpu] if options.gpu else []
    return [*named, "--fail-on", "never"]


def place_of(case: Case, folder: Path) -> int:
    """Return where in the file a row lies that comes at the late step: the library's own order."""
    import torch
    import transformers

    late = case.steps - 20 if case.steps > 100 else case.steps - 6
    rows = case.rows * case.accumulation
    settings = transformers.TrainingArguments(
        output_dir=str(folder / "order"),
        per_device_train_batch_size=1,
        seed=42,
        report_to="none",
        use_cpu=True,
        remove_unused_columns=False,
    )
    count = case.steps * rows
    data = [{"row": number} for number in range(count)]
    trainer = transformers.Trainer(
        torch.nn.Linear(1, 1),
        settings,
        train_dataset=data,  # type: ignore[arg-type]
        data_collator=lambda batch: {"row": torch.tensor([one["row"] for one in batch])},
    )
    order = [int(batch["row"][0]) for batch in trainer.get_train_dataloader()]
    return order[late * rows]  # the first row of step late + 1


def needs(case: Case, folder: Path, options: argparse.Namespace) -> tuple[int, int]:
    """Return the predicted bytes that the phase takes as written, and a run at the least."""
    ask = partial(predicted, case, folder=folder, options=options)
    written = ask(spec(case))
    train = written["phases"]["train"]
    match case.phase:
        case "load":
            return written["phases"]["load"], ask(spec(case) | _four_bits())["peak"]
        case "save":  # the cap comes with the save, and goes with that attempt
            return 2 * written["peak"], written["peak"]
        case "evaluate":
            fewer = replace(case, eval_batch=case.eval_batch // 4)
            return written["phases"]["evaluate"], ask(spec(fewer))["peak"]
    one = replace(case, rows=1, accumulation=case.rows * case.accumulation)
    return train, ask(spec(one, checkpointing=True))["peak"]


def _four_bits() -> dict[str, Any]:
    method = {"type": "qlora", "r": 16, "target_modules": "attention", "dropout": 0}
    return {"method": method}


def predicted(
    case: Case, sections: dict[str, Any], *, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Return what `ftspec check` predicts: the allocator's peak, and the phases' (bytes)."""
    file = folder / f"{case.id}-checked.yaml"
    file.write_text(as_text(sections), encoding="utf-8")
    words = [sys.executable, "-m", "ftspec", "check", str(file), "--json", *_card(options)]
    done = subprocess.run(words, capture_output=True, text=True)
    memory = json.loads(done.stdout)["memory"]
    if not memory.get("allocated_peak_bytes"):
        raise SystemExit(f"{case.id}: no prediction: {memory.get('note')}\n{done.stderr[-2000:]}")
    return {"peak": memory["allocated_peak_bytes"], "phases": memory["phases"]}
