"""A key that the spec language does not have.

What it finds
    Keys that are misspelt, that belong into another section, or that are another tool's.

Why it matters
    A key that is dropped in silence trains with a default that nobody chose: the most reported
    trouble of tools of this kind.

Evidence it needs
    The keys of the spec.

Example
    ```yaml
    train:
      learning_rte: 2e-4
    ```

What to do
    Write the key that the help line names, in the section that it names.

References
    `ftspec schema` lists all keys.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator, Mapping

from ftspec.spec.finding import Finding, Route, Severity
from ftspec.spec.rule import Rule

# Names of the same thing in other tools and in older releases: name -> route here.
SYNONYMS: Mapping[str, str] = {
    "accumulation": "train.gradient_accumulation",
    "base_model": "model.name",
    "bs": "train.batch_size",
    "dataset": "data.train",
    "datasets": "data.train",
    "dataset_path": "data.train",
    "early_stop": "train.early_stopping",
    "eval_dataset": "data.eval",
    "gradient_accumulation_steps": "train.gradient_accumulation",
    "gradient_checkpointing": "train.activation_checkpointing",
    "load_in_4bit": "method.quantization",
    "lora_alpha": "method.alpha",
    "lora_dropout": "method.dropout",
    "lora_r": "method.r",
    "lora_rank": "method.r",
    "lr": "train.learning_rate",
    "lr_scheduler": "train.scheduler",
    "lr_scheduler_type": "train.scheduler",
    "max_seq_len": "data.max_length",
    "max_seq_length": "data.max_length",
    "micro_batch": "train.batch_size",
    "micro_batch_size": "train.batch_size",
    "model_name": "model.name",
    "model_name_or_path": "model.name",
    "num_epochs": "train.epochs",
    "num_train_epochs": "train.epochs",
    "optim": "train.optimizer",
    "output_dir": "output",
    "per_device_eval_batch_size": "train.eval_batch_size",
    "per_device_train_batch_size": "train.batch_size",
    "rank": "method.r",
    "save_total_limit": "train.save_limit",
    "sequence_len": "data.max_length",
    "torch_dtype": "model.dtype",
    "train_file": "data.train",
    "val_set_size": "data.eval",
    "validation": "data.eval",
    "warmup_ratio": "train.warmup",
    "warmup_steps": "train.warmup",
}


def find(subject: tuple[Route, Mapping[str, tuple[str, ...]]]) -> Iterator[Finding]:
    """Yield the finding for the key at a route; `subject` also brings all keys by section."""
    route, keys = subject
    key = str(route[-1])
    section = ".".join(str(step) for step in route[:-1])
    suggestion = suggest(key, section, keys)
    yield RULE.finding(
        f"`{key}` is not a key of {f'`{section}`' if section else 'a spec'}",
        route=route,
        at_key=True,
        found="unknown key",
        help=_help(key, section, suggestion, keys),
        evidence={"key": key, "suggestion": suggestion},
    )


def suggest(key: str, section: str, keys: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the dotted path of the key that was probably meant, or None."""
    spelt = key.strip().lower().replace("-", "_")
    for near in difflib.get_close_matches(spelt, keys.get(section, ()), n=1, cutoff=0.75):
        return _dotted(section, near)
    if spelt in SYNONYMS:
        return SYNONYMS[spelt]
    elsewhere = {name: owner for owner, names in keys.items() for name in names}
    for near in difflib.get_close_matches(spelt, sorted(elsewhere), n=1, cutoff=0.8):
        return _dotted(elsewhere[near], near)
    return None


def _dotted(section: str, key: str) -> str:
    return f"{section}.{key}" if section else key


def _help(
    key: str, section: str, suggestion: str | None, keys: Mapping[str, tuple[str, ...]]
) -> str:
    if suggestion is None:
        names = ", ".join(f"`{name}`" for name in keys.get(section, ()))
        return textwrap.fill(f"known here: {names}", 92) if names else "remove it"
    owner, _, name = suggestion.rpartition(".")
    if owner == section:
        return f"did you mean `{name}`?"
    where = f"under `{owner}:`" if owner else "at the left margin"
    return f"`{name}` belongs {where}" if name == key else f"write `{name}:` {where}"


RULE = Rule("FT101", "unknown-key", Severity.ERROR, find)
