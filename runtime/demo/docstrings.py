"""An instruction set made of the documentation strings of this machine's standard library."""

from __future__ import annotations

import ast
import json
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

SEED = 0
SHORTEST, LONGEST = 30, 300  # characters of an answer
# Not documentation of the library: tests, tools, generated tables, what pip installs.
LEFT_OUT = frozenset(
    {
        "test",
        "tests",
        "idlelib",
        "site-packages",
        "dist-packages",
        "lib2to3",
        "turtledemo",
        "ensurepip",
        "tkinter",
        "encodings",
        "pydoc_data",
        "__pycache__",
    }
)

Row = dict[str, str]


def questions(library: Path | None = None) -> list[Row]:
    """Return alpaca rows such as "What does `shutil.rmtree` do?" with the first paragraph.

    The sources are parsed, never imported. No answer stands twice. The rows come in the order
    of their names.
    """
    root = library or Path(sysconfig.get_path("stdlib"))
    rows, seen = [], set()
    for path in sorted(root.rglob("*.py")):
        for name, answer in _documented(path, root):
            if SHORTEST <= len(answer) <= LONGEST and answer not in seen:
                seen.add(answer)
                question = f"What does `{name}` do?"
                rows.append({"instruction": question, "input": "", "output": answer})
    return rows


def split(rows: list[Row], held_out: int) -> tuple[list[Row], list[Row]]:
    """Shuffle rows by a fixed seed; returns those to train on and those held out."""
    shuffled = list(rows)
    random.Random(SEED).shuffle(shuffled)
    return shuffled[held_out:], shuffled[:held_out]


def write(rows: list[Row], path: Path) -> None:
    """Write rows as a JSON file."""
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _documented(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    parts = path.relative_to(root).with_suffix("").parts
    module = parts[:-1] if parts[-1] == "__init__" else parts
    private = any(part.startswith("_") for part in module)
    if not module or private or LEFT_OUT & set(parts) or parts[0].startswith("config-"):
        return
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return
    yield from _walk(tree, ".".join(module))


def _walk(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_"):
            continue
        name = f"{prefix}.{node.name}"
        text = ast.get_docstring(node)
        if text:
            yield name, " ".join(text.strip().split("\n\n")[0].split())
        if isinstance(node, ast.ClassDef):
            yield from _walk(node, name)
