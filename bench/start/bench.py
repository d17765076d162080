"""How long the light verbs take: whole processes, and the two ways to predict inside of one.

    python bench/start/bench.py [--runs 20]

Writes a small spec, a data file and a model's folder (a public shape, a tokenizer of a few words)
into a temporary folder, and ftspec's cache beside them. A verb runs twice unmeasured, which writes
bytecode and fills the cache. CPU time (user and system) is the one to compare: other work on the
machine lengthens the wall time.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

MODEL, ROWS, WORDS, UNMEASURED = "Qwen/Qwen2.5-1.5B-Instruct", 60, 400, 2
SPEC = "model: {model}\nmethod: {method}\ndata: rows.jsonl\nhardware: {{gpu: {gpu}}}\n"
# name -> (model, method, card): the last candidate of the first is near the limit of its card.
SPECS = {
    "lora": (MODEL, "lora", "rtx-3060"),
    "qlora": ("meta-llama/Llama-2-7b-hf", "qlora", "rtx-4090"),
    "measured": ("model", "lora", "rtx-3060"),
}
VERBS = (
    ("--help",),
    ("explain", "FT201"),
    *(("check", f"{name}.yaml") for name in SPECS),
)
PACKAGES = ("click", "pydantic", "PyYAML", "tokenizers")


def write_case(folder: Path) -> None:
    """Write the specs, rows of different lengths, and a model with a tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    from ftspec.compiler.facts.catalogue import known_config

    for name, (model, method, gpu) in SPECS.items():
        text = SPEC.format(model=model, method=method, gpu=gpu)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    rows = (
        {"instruction": f"what is w{n}", "output": f"w{n} it is " * (n + 1)} for n in range(ROWS)
    )
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(lines, encoding="utf-8")
    place = folder / "model"
    place.mkdir()
    (place / "config.json").write_text(json.dumps(known_config(MODEL)), encoding="utf-8")
    words = {"[UNK]": 0} | {f"w{number}": number + 1 for number in range(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(place / "tokenizer.json"))
    settings = json.dumps({"eos_token": "[UNK]"})
    (place / "tokenizer_config.json").write_text(settings, encoding="utf-8")


def once(arguments: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """Run a verb as a process; return its wall and CPU time in seconds."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"FTSPEC_CACHE": str(folder / "cache"), "FTSPEC_TRACE": "off"}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder / "hub")}
    code = "import sys; from ftspec.cli import main; main()"
    before, start = _spent(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    wall, after = time.perf_counter() - start, _spent()
    if done.returncode:
        sys.exit(f"ftspec {' '.join(arguments)} ended with {done.returncode}")
    return wall, after - before


def _spent() -> float:
    """Return the CPU time of the children so far, finer than `os.times`."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def within(runs: int) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield the times of one prediction of each kind in this process: wall and CPU, in seconds.

    Each starts from a length of its own, so that nothing is taken from the one before it.
    """
    from ftspec.compiler.facts.catalogue import known_model
    from ftspec.compiler.facts.gpus import find_gpu
    from ftspec.compiler.facts.model import shape_of
    from ftspec.compiler.memory.predict import predict, quick
    from ftspec.compiler.memory.work import Work

    known, gpu = known_model(MODEL), find_gpu("rtx-3060")
    assert known is not None and gpu is not None
    shape = shape_of(known.config, MODEL)
    assert shape.family is not None
    work = Work(shape, known.parameters, "lora", 2, 512, "bfloat16", "bfloat16", rank=16)
    work = replace(work, targets=tuple(shape.family.targets("attention")), dropout=0.05)
    work = replace(work, accumulation=8, eval_batch=2)
    asked: tuple[tuple[str, Callable[[Work], object]], ...] = (
        ("one `quick`", lambda one: quick(known.config, one, gpu)),
        ("one full prediction", lambda one: predict(known.config, one, gpu)),
    )
    gc.set_threshold(500_000)  # as the command line has it
    for name, ask in asked:
        ledger = predict(known.config, work, gpu)
        way = ledger.method if ledger else "no answer"
        times = []
        for number in range(runs + UNMEASURED):
            one = replace(work, length=512 - 8 * (number % 32))
            start, cpu = time.perf_counter(), time.process_time()
            ask(one)
            times.append((time.perf_counter() - start, time.process_time() - cpu))
        yield f"{name} ({way})", times[UNMEASURED:]


def line(name: str, times: list[tuple[float, float]]) -> str:
    """Return a line of the table, in milliseconds: median and 95th of 100."""
    cells = [f"{name:<32}"]
    for column in zip(*times, strict=True):
        ordered = sorted(1000 * value for value in column)
        high = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        cells.append(f"{statistics.median(ordered):8.1f} {high:8.1f}")
    return "  ".join(cells)


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20, help="processes a line (20)")
    runs = max(1, parser.parse_args().runs)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("ftspec", *PACKAGES)]
    print(f"Python {platform.python_version()}, {', '.join(versions)}; {os.cpu_count()} cores")
    print(f"{'ms, of ' + str(runs) + ' runs':<32}  {'wall':>8} {'95th':>8}  {'CPU':>8} {'95th':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_case(folder)
        for arguments in VERBS:
            times = [once(arguments, folder) for _ in range(runs + UNMEASURED)][UNMEASURED:]
            print(line("ftspec " + " ".join(arguments), times), flush=True)
    for name, times in within(runs):
        print(line(name, times), flush=True)


if __name__ == "__main__":
    main()
