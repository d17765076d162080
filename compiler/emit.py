"""From a plan to the files of a project: the templates choose and place, nothing is decided."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

import ftspec.templates
from ftspec import __version__
from ftspec.compiler.plan import Plan
from ftspec.spec.edit import number

SCRIPTS = ("train.py", "journal.py", "base.py", "evaluate.py", "review.py", "merge.py", "chat.py")
METHOD_WORDS = {
    "full": "training all of its weights",
    "lora": "LoRA",
    "qlora": "QLoRA (LoRA on a quantized base)",
    "prefix": "prefix tuning",
    "prompt": "prompt tuning",
}
ADAPTER_CLASSES = {
    "lora": "LoraConfig",
    "qlora": "LoraConfig",
    "prefix": "PrefixTuningConfig",
    "prompt": "PromptTuningConfig",
}
GIB = 2**30
LARGEST_VOCABULARY = 262_144  # Gemma 3's
LINE = 88  # the formatter's default width, which the emitted code keeps to
SKIP = "  # fmt: skip"


def emit(plan: Plan) -> dict[str, bytes]:
    """Return the files of the project, by their path in it. The same plan gives the same bytes."""
    context = _context(plan)
    names = [*SCRIPTS, "requirements.txt", "README.md"]
    names += ["metrics.py"] if context["evaluates"] else []
    names += ["shards.py", "handover.py"] if context["lora"] else []
    files = {name: _render(name, context) for name in names}
    if plan.model.gguf is not None:
        files["convert.py"] = convert_script(plan.model.gguf, plan.model.name, plan.spec.name)
    if plan.model.chat_template is not None:
        files["chat_template.jinja"] = plan.model.chat_template
    files["plan.json"] = plan.to_json()
    files["ftspec.yaml"] = plan.spec.text
    return {name: files[name].encode("utf-8") for name in sorted(files)}


def convert_script(gguf: str, target: str, made_from: str) -> str:
    """Return the script that writes a GGUF file's weights as safetensors into `target`."""
    context = {"gguf": gguf, "target": target, "made_from": made_from, "version": __version__}
    return _render("convert.py", context)


def _render(name: str, context: Mapping[str, Any]) -> str:
    text = _environment().get_template(f"{name}.j2").render(context)
    return keep_layout(text) if name.endswith(".py") else text


def keep_layout(text: str) -> str:
    """Mark one-line statements that a long value makes too wide: no formatter shall wrap them."""
    lines = text.split("\n")
    # Docstrings are not wrapped in any case.
    wide = {n for n, line in enumerate(lines) if len(line) > LINE and not line.endswith('"""')}
    for node in ast.walk(ast.parse(text)) if wide else ():
        if isinstance(node, ast.stmt) and node.lineno == node.end_lineno:
            at = node.lineno - 1
            if at in wide and not lines[at].endswith(SKIP):
                lines[at] += SKIP
    return "\n".join(lines)


@functools.cache
def _environment() -> jinja2.Environment:
    folder = Path(next(iter(ftspec.templates.__path__)))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        line_statement_prefix="#%",
        autoescape=False,
    )
    environment.filters |= {"py": python_literal, "num": python_number, "words": plain_words}
    environment.filters["folder"] = folder_name
    return environment


def python_literal(value: Any) -> str:
    """Write a value as a Python literal, in the formatter's own style.

    Every value of a spec enters emitted code through this filter or `python_number`.
    """
    if isinstance(value, str):
        return _string(value)
    if value is None or isinstance(value, bool | int):
        return repr(value)
    if isinstance(value, float):
        return python_number(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(python_literal(item) for item in value) + "]"
    if isinstance(value, Mapping):
        items = (f"{python_literal(k)}: {python_literal(v)}" for k, v in value.items())
        return "{" + ", ".join(items) + "}"
    raise TypeError(f"no literal for {type(value).__name__}")


def _string(value: str) -> str:
    """Quote as the formatter does: double quotes, unless single ones save escapes."""
    quote = "'" if value.count('"') > value.count("'") else '"'
    shown = repr(value)
    body = shown[1:-1].replace("\\'", "'") if shown[0] == "'" else shown[1:-1]
    return quote + body.replace(quote, "\\" + quote) + quote


def python_number(value: float) -> str:
    """Write a number as a person would: `2e-4`, `0.05`, `3`."""
    return number(value)


def plain_words(value: str) -> str:
    """Return text that is safe in a docstring, a comment or a shell line: printable, no quotes."""
    kept = "".join(ch if ch.isprintable() and ch not in "\"'\\`$" else "_" for ch in value)
    return kept[:60]


def folder_name(value: str) -> str:
    """Return a name that needs no quoting in a shell: letters, digits, dots, dashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", value).strip("-.") or "project"


def _context(plan: Plan) -> dict[str, Any]:
    adapter = ADAPTER_CLASSES.get(plan.method.type)
    cuda = plan.hardware.device == "cuda"
    return {
        "plan": plan,
        "columns": plan.data.columns,
        "cuda": cuda,
        "single": cuda and plan.hardware.count == 1 and plan.hardware.nodes == 1,
        "ranks": plan.memory.ranks,
        "chat": plan.data.format in ("alpaca", "sharegpt", "messages"),
        "lora": plan.method.type in ("lora", "qlora"),
        "quantized": plan.method.quantization != "none",
        "evaluates": plan.data.eval_from != "none",
        "answers": plan.data.eval_from != "none" and plan.data.format != "text",
        "template_file": plan.model.chat_template is not None,
        "adapter_class": adapter,
        "method_words": METHOD_WORDS[plan.method.type],
        "model_literal": _model(plan),
        "assign": assign,
        "imports": imports,
        "start": _start(plan),
        "evaluate_batch": _evaluate_batch(plan),
        "comments": _comments(plan),
        **_reading(plan),
    }


def _evaluate_batch(plan: Plan) -> int:
    """Rows whose logits, in two bytes and again in four, stay under 2 GiB for any vocabulary."""
    a_row = 6 * plan.data.max_length * LARGEST_VOCABULARY
    return max(1, min(plan.train.eval_batch_size, 2 * GIB // a_row))


def _start(plan: Plan) -> str:
    if plan.memory.ranks == 1:
        return "python train.py"
    return f"accelerate launch --num_processes {plan.memory.ranks} train.py"


def _reading(plan: Plan) -> dict[str, Any]:
    """How the scripts read rows: JSON by themselves, as text; the rest through datasets."""
    kinds = {plan.data.kind} | ({plan.data.eval_kind} if plan.data.eval_from == "file" else set())
    unpack = 'json.loads(row["json"])'
    if "json" not in kinds:
        unpack = "row"
    elif len(kinds) > 1:
        unpack = "unpack(row)"
    names = ["Dataset"] if "json" in kinds else []
    names += ["load_dataset"] if kinds != {"json"} else []
    return {
        "json_files": "json" in kinds,
        "row_expression": unpack,
        "mixed_kinds": unpack == "unpack(row)",
        "dataset_imports": ", ".join(names),
    }


def _comments(plan: Plan) -> dict[str, str]:
    """The arithmetic that stands in comments beside constants."""
    data, train = plan.data, plan.train
    ranks = plan.memory.ranks
    a_step = f"{train.batch_size} rows x {train.gradient_accumulation}"
    a_step += f" x {ranks} ranks" if ranks > 1 else ""
    rows = f"{data.train_rows:,} rows" if data.train_rows is not None else "rows counted at load"
    kind = "packed rows" if data.packing else "rows"
    comments = {"train": rows, "batch": f"{a_step} = {train.rows_a_step} {kind} a step"}
    steps = ""
    if train.total_steps is not None and train.steps_an_epoch is not None:
        per_epoch = f"{rows} / {train.rows_a_step} = {train.steps_an_epoch} steps an epoch"
        steps = per_epoch if train.max_steps else f"{per_epoch}, {train.total_steps} in all"
        if data.packing:
            steps = f"about {train.total_steps} steps in all"
    comments["steps"] = steps
    if plan.model.parameters:
        millions = f"{plan.model.parameters / 1e6:,.1f} M parameters"
        comments["model"] = f"{plain_words(plan.model.architecture or '')}, {millions}"
    else:
        architecture = plan.model.architecture or "not inspected when this was compiled"
        comments["model"] = plain_words(architecture)
    if data.eval_rows:
        comments["eval"] = f"held out of {data.eval_rows + (data.train_rows or 0):,} rows"
    if plan.method.r and plan.method.alpha:
        scale = plan.method.alpha / plan.method.r
        comments["alpha"] = f"the update is scaled by {plan.method.alpha} / {plan.method.r}"
        comments["alpha"] += f" = {number(scale)}"
        if plan.method.rslora:
            comments["alpha"] = "the update is scaled by alpha / sqrt(rank)"
    memory = plan.memory
    comments["memory"] = f"not predicted: {memory.note}"
    if memory.peak_bytes is not None:
        peak, free = memory.peak_bytes / GIB, memory.free_bytes / GIB
        comments["memory"] = f"{peak:.1f} GiB predicted, of {free:.1f} GiB"
    size = (plan.model.parameters or 0) * (4 if plan.model.dtype == "float32" else 2)
    comments["merge"] = f"{size / GIB:.1f} GiB" if size else "as much as the base"
    return comments


def _model(plan: Plan) -> str:
    name = python_literal(plan.model.name)
    return f"str(HERE / {name})" if plan.model.local else name


def assign(name: str, items: tuple[str, ...], comment: str = "") -> str:
    """Write an assignment of a list, laid out as the formatter does, with a comment."""
    tail = f"  # {comment}" if comment else ""
    text = wrap_list(name, items)
    first, newline, rest = text.partition("\n")
    return first + tail + newline + rest


def imports(module: str, *names: str) -> str:
    """Write an import of the names that are not empty, laid out as the formatter does."""
    wanted = [name for name in names if name]
    line = f"from {module} import {', '.join(wanted)}"
    if len(line) <= LINE:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in wanted), ")"])


def wrap_list(name: str, items: tuple[str, ...]) -> str:
    """Write an assignment of a list as the formatter lays it out."""
    line = f"{name} = {python_literal(items)}"
    if len(line) <= LINE:
        return line
    inner = "".join(f"    {python_literal(item)},\n" for item in items)
    return f"{name} = [\n{inner}]"
