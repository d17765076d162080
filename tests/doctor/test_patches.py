"""Prescriptions in the keys of other trainers: what is set, how, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ftspec.doctor.curves.series import Planned, Run
from ftspec.doctor.patches.config import (
    ConfigText,
    UnknownConfigError,
    config_beside,
    patchable,
    patched,
)
from ftspec.doctor.patches.text import scalar, set_keys, values_of
from ftspec.spec.edit import CannotEditError
from ftspec.spec.finding import Edit

AXOLOTL = """\
base_model: NousResearch/Llama-2-7b-hf   # the base
datasets:
  - path: rows.jsonl
    type: alpaca
adapter: lora
lora_r: 8
lora_dropout: 0.05  # usual
sequence_len: 2048
micro_batch_size: 2
gradient_accumulation_steps: 4
num_epochs: 4
learning_rate: 2e-4 # mine
early_stopping_patience:
fp16: true
"""
FACTORY = """\
model_name_or_path: meta-llama/Meta-Llama-3-8B
stage: sft
finetuning_type: lora
lora_rank: 16
cutoff_len: 1024
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
warmup_ratio: 0.1
"""
TRL = """\
model_name_or_path: Qwen/Qwen2.5-0.5B
dataset_name: trl-lib/Capybara
use_peft: true
lora_r: 32
learning_rate: 2.0e-4
num_train_epochs: 1
max_length: 1024
"""
ARGUMENTS = """\
{
  "output_dir": "out",
  "learning_rate": 0.0002,
  "adam_betas": [0.9, 0.99],
  "per_device_train_batch_size": 4
}
"""
RUN = Run("log", "made", planned=Planned(max_steps=1000))


def changed(text: str, *edits: Edit, name: str = "a.yaml") -> tuple[dict[str, object], list[str]]:
    """Return the keys that a patch sets anew, and its notes."""
    target = ConfigText.read(name, text)
    after = patched(target, edits, RUN)
    before, now = (values_of(each, target.as_json) for each in (text, after.text))
    return {key: now[key] for key in now if before.get(key, "-") != now[key]}, list(after.notes)


@pytest.mark.parametrize(
    ("text", "name", "trainer", "method"),
    [
        (AXOLOTL, "a.yml", "Axolotl", "lora"),
        (FACTORY, "a.yaml", "LLaMA-Factory", "lora"),
        (FACTORY + "quantization_bit: 4\n", "a.yaml", "LLaMA-Factory", "qlora"),
        (TRL, "a.yaml", "TRL", "lora"),
        (TRL.replace("use_peft: true", "use_peft: false"), "a.yaml", "TRL", "full"),
        (ARGUMENTS, "a.json", "TrainingArguments", None),
    ],
)
def test_trainers_are_recognized(text: str, name: str, trainer: str, method: str | None) -> None:
    target = ConfigText.read(name, text)
    assert target.trainer.name == trainer
    assert (target.spec.method.type if target.spec else None) == method
    assert patchable(target)


def test_a_config_is_read_as_a_spec() -> None:
    spec = ConfigText.read("a.yml", AXOLOTL).spec
    assert spec is not None
    assert (spec.method.r, spec.method.dropout, spec.data.max_length) == (8, 0.05, 2048)
    assert (spec.train.batch_size, spec.train.gradient_accumulation) == (2, 4)
    assert (spec.train.learning_rate, spec.train.epochs) == (2e-4, 4.0)  # a word in YAML 1.1
    assert (spec.model.dtype, spec.train.early_stopping) == ("float16", None)
    stepped = ConfigText.read("a.yaml", TRL + "max_steps: 500\n").spec
    assert stepped is not None and (stepped.train.max_steps, stepped.train.epochs) == (500, None)


@pytest.mark.parametrize("text", ["model: tiny\nmethod: lora\n", "- a\n", "a: [\n", "{1: 2}", ""])
def test_what_is_no_config_is_refused(text: str) -> None:
    with pytest.raises(UnknownConfigError):
        ConfigText.read("a.yaml", text)


def test_a_patch_changes_its_keys_and_nothing_else() -> None:
    target = ConfigText.read("a.yml", AXOLOTL)
    edits = (Edit("train.learning_rate", 2e-4, 4e-5), Edit("method.dropout", 0.05, 0.1))
    after = patched(target, edits, RUN).text
    assert after == AXOLOTL.replace("2e-4 # mine", "4.0e-5 # mine").replace("0.05  #", "0.1  #")
    assert yaml.safe_load(after)["learning_rate"] == 4e-5


@pytest.mark.parametrize(
    ("text", "edit", "expected"),
    [
        (AXOLOTL, Edit("train.epochs", 4, 1.5), {"num_epochs": 1.5}),
        (AXOLOTL, Edit("train.batch_size", 2, 1), {"micro_batch_size": 1}),
        (AXOLOTL, Edit("data.max_length", 2048, 4096), {"sequence_len": 4096}),
        (AXOLOTL, Edit("train.early_stopping", None, True), {"early_stopping_patience": 3}),
        (AXOLOTL, Edit("train.warmup", None, 0.03), {"warmup_ratio": 0.03}),
        (AXOLOTL, Edit("data.eval", "none", "5%"), {"val_set_size": 0.05}),
        (
            AXOLOTL,
            Edit("train.effective_batch", 8, 32),
            {"gradient_accumulation_steps": 16},
        ),
        (AXOLOTL, Edit("model.dtype", "float16", "bfloat16"), {"bf16": True, "fp16": False}),
        (
            AXOLOTL,
            Edit("method.type", "lora", "qlora"),
            {"adapter": "qlora", "load_in_4bit": True},
        ),
        (FACTORY, Edit("method.r", 16, 32), {"lora_rank": 32}),
        (FACTORY, Edit("train.batch_size", 1, 2), {"per_device_train_batch_size": 2}),
        (FACTORY, Edit("train.warmup", None, 0.03), {"warmup_ratio": 0.03}),
        (FACTORY, Edit("method.type", "lora", "qlora"), {"quantization_bit": 4}),
        (
            FACTORY,
            Edit("train.activation_checkpointing", None, True),
            {"disable_gradient_checkpointing": False},
        ),
        (
            FACTORY,
            Edit("train.early_stopping", None, True),
            {"early_stopping_steps": 3, "load_best_model_at_end": True},
        ),
        (FACTORY, Edit("data.eval", "none", "5%"), {"val_size": 0.05, "eval_strategy": "steps"}),
        (TRL, Edit("data.max_length", 1024, 2048), {"max_length": 2048}),
        (TRL, Edit("train.warmup", None, 0.03), {"warmup_steps": 30}),  # of 1,000
        (TRL, Edit("train.warmup", None, 50), {"warmup_steps": 50}),
        (TRL, Edit("train.max_grad_norm", 5.0, 1.0), {"max_grad_norm": 1.0}),
    ],
)
def test_each_trainer_has_its_own_key(text: str, edit: Edit, expected: dict[str, object]) -> None:
    assert changed(text, edit)[0] == expected


def test_what_has_no_key_is_said() -> None:
    values, notes = changed(TRL, Edit("train.early_stopping", None, True))
    assert values == {}
    assert notes == [
        "TRL has no key for `train.early_stopping`: add an EarlyStoppingCallback in code"
    ]
    values, notes = changed(ARGUMENTS, Edit("method.dropout", 0.05, 0.1), name="a.json")
    assert (values, len(notes)) == ({}, 1)


def test_a_value_that_the_run_did_not_have_is_said() -> None:
    _, notes = changed(FACTORY, Edit("train.learning_rate", 2e-4, 4e-5))
    assert notes == ["`learning_rate` is 0.0001 there, and was 0.0002 in the run"]


def test_json_keeps_its_layout() -> None:
    target = ConfigText.read("a.json", ARGUMENTS)
    edits = (Edit("train.learning_rate", 2e-4, 2e-5), Edit("train.epochs", 3, 2))
    after = patched(target, edits, RUN).text
    assert after == ARGUMENTS.replace("0.0002", "2.0e-5").replace(
        '_size": 4\n', '_size": 4,\n  "num_train_epochs": 2\n'
    )
    assert json.loads(after)["learning_rate"] == 2e-5
    assert set_keys("{}", {"a": 1}, as_json=True) == '{"a": 1}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1, 2]\n", "more than one plain value"),
        ("a: |\n  text\n", "more than one plain value"),
        ("a: 1\na: 2\n", "stands there 2 times"),
        ("a: &x 1\nb: *x\n", "cannot be set in this layout"),
        ("{a: 1}\n", "not a block of keys"),
        ("b: 1\n...\n", "cannot"),
        ("b: 1\n" + "".join(f"c{n}: *x\n" for n in range(30)), "aliases"),
        ("a: &a [*a]\nb: 1\n", "more than one plain value"),
    ],
)
def test_layouts_that_cannot_be_edited_are_refused(text: str, words: str) -> None:
    with pytest.raises(CannotEditError) as caught:
        set_keys(text, {"a": 5}, as_json=False)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: 1", "a: 5"),
        ("a:\nb: 2\n", "a: 5\nb: 2\n"),
        ("a: 1   # why\r\nb: 2\r\n", "a: 5   # why\r\nb: 2\r\n"),
        ("\ufeffa: 'x'\n", "\ufeffa: 5\n"),
        ("b: 2", "b: 2\na: 5\n"),
        ("b:\n  a: 1\n", "b:\n  a: 1\na: 5\n"),
        ("---\na: 1\n", "---\na: 5\n"),
    ],
)
def test_text_is_edited_in_place(before: str, after: str) -> None:
    assert set_keys(before, {"a": 5}, as_json=False) == after


@pytest.mark.parametrize("value", [2e-5, 1e-7, 0.05, 1.0, 3, True, None, "steps", "on", "a b"])
def test_yaml_of_both_versions_reads_what_was_written(value: object) -> None:
    assert yaml.safe_load(scalar(value)) == value
    assert json.loads(scalar(value, as_json=True)) == value


def test_the_one_config_beside_a_log_is_found(tmp_path: Path) -> None:
    log = tmp_path / "checkpoint-10" / "trainer_state.json"
    log.parent.mkdir()
    log.write_text("{}")
    assert config_beside(log) is None
    (tmp_path / "notes.yaml").write_text("a: 1\n")
    (tmp_path / "config.yaml").write_text(AXOLOTL)
    found = config_beside(log)
    assert found is not None and found.name.endswith("config.yaml")
    (tmp_path / "other.yaml").write_text(TRL)
    assert config_beside(log) is None  # which of the two?
