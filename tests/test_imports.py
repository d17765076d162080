"""Light verbs start fast: what they never import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import make_model, make_project, write_alpaca

HEAVY = {"torch", "transformers", "datasets", "numpy", "pyarrow", "trl", "peft", "accelerate"}
CHILD = """\
import json, sys
from ftspec.cli.boundary import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    make_model(tmp_path / "tiny")
    write_alpaca(tmp_path / "rows.jsonl")
    (tmp_path / "spec.yaml").write_text("model: tiny\nmethod: lora\ndata: rows.jsonl\n")
    events = [{"event": "step", "step": step, "loss": 3 - step / 20} for step in range(1, 41)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return tmp_path


def imported(here: Path, *arguments: str) -> set[str]:
    """Return the packages that are there after a verb, in a Python of its own."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.returncode == 0, child.stderr
    code, modules = json.loads(child.stdout.splitlines()[-1])
    assert code == 0, child.stdout + child.stderr
    return set(modules)


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "spec.yaml"),
        ("check", "spec.yaml", "--gpu", "rtx-4090", "--json"),
        ("build", "spec.yaml"),
        ("explain", "FT101"),
        ("diagnose", "log.jsonl"),
        ("data", "check", "rows.jsonl"),
        ("schema",),
        ("models",),
        ("models", "tiny", "--json"),
        ("gpus",),
        ("gpus", "--here", "--json"),
        ("methods", "meta-llama/Llama-2-7b-hf"),
    ],
    ids=lambda arguments: " ".join(arguments[:1] + arguments[2:]),
)
def test_light_verbs_import_no_heavy_library(arguments: tuple[str, ...], here: Path) -> None:
    modules = imported(here, *arguments)
    assert modules & HEAVY == set()
    measures = arguments[0] in ("check", "build")
    assert ("tokenizers" in modules) is measures  # lengths were measured, with the tokenizer alone


@pytest.mark.parametrize("verb", ["status", "logs", "stop"])
def test_looking_at_a_run_imports_no_heavy_library(verb: str, here: Path) -> None:
    make_project(here / "bot")
    trained = (
        "import sys, ftspec.cli.python as python; from ftspec.cli.boundary import run;"
        "python.missing_libraries = lambda _: ();"
        "sys.exit(run(['run', 'bot']))"
    )
    subprocess.run([sys.executable, "-c", trained], cwd=here, check=True, timeout=60)
    assert imported(here, verb, "bot") & (HEAVY | {"tokenizers", "jinja2"}) == set()


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_imports_next_to_nothing(arguments: tuple[str, ...], here: Path) -> None:
    assert imported(here, *arguments) & (HEAVY | {"pydantic", "rich", "yaml", "jinja2"}) == set()
