"""`ftspec run --heal` on emitted scripts as they are: a learning rate that is far too high."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from projects import environment, events, of_kind

from ftspec.cli.boundary import run as run_ftspec

SPEC = """\
# a spec of mine
model: llama
method: full
data: {train: alpaca.jsonl, eval: alpaca-eval.jsonl}
train:
  batch_size: 4
  gradient_accumulation: 1
  max_steps: 40
  logging_steps: 1
  save_steps: 2
  save_limit: 30
  eval_steps: 2
  early_stopping: false
  warmup: 0.5
  scheduler: constant_with_warmup
  max_grad_norm: 0      # nothing holds it back
  learning_rate: 1.0    # thirty times what still learns
"""


def test_a_run_that_diverges_goes_on_from_before_with_a_lower_rate(
    tmp_path: Path, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(sources / "llama", tmp_path / "llama")
    for name in ("alpaca.jsonl", "alpaca-eval.jsonl"):
        shutil.copy(sources / name, tmp_path / name)
    (tmp_path / "qa.yaml").write_text(SPEC, encoding="utf-8")
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert run_ftspec(["run", "qa.yaml", "--heal", "1"]) == 0
    project = tmp_path / "qa-project"
    (healed,) = json.loads((project / "runs/2/run.json").read_text())["healing"]
    assert [finding["name"] for finding in healed["findings"]] == ["diverges"]
    rate = healed["changes"][0]["to"]
    text = (tmp_path / "qa.yaml").read_text()
    assert text.startswith("# a spec of mine\n") and "    # thirty times what still learns" in text
    assert (tmp_path / "qa.yaml.run-1.bak").read_text() == SPEC
    before, after = events(project, 1), events(project, 2)
    begun = of_kind(after, "start")[0]
    assert healed["resumed_from"] == f"runs/1/checkpoint-{begun['step']}"
    assert begun["step"] > 0
    steps = of_kind(after, "step")
    assert steps[0]["step"] == begun["step"] + 1
    assert max(step["learning_rate"] for step in steps) <= rate  # that of the first step, too
    held_out = [[event["loss"] for event in of_kind(run, "eval")] for run in (before, after)]
    assert max(held_out[1]) < max(held_out[0])
    assert min(held_out[1]) <= min(held_out[0]) + 0.05
