"""Row lengths that cannot be known here.

What it finds
    Data on a hub, or a model whose tokenizer is not on this machine.

Why it matters
    Memory is then predicted with every row at `max_length`: safe, and too high where rows are
    short.

Evidence it needs
    The tokenizer's file and the data's files.

Example
    ```yaml
    model: meta-llama/Llama-2-7b-hf   # not downloaded yet
    ```

What to do
    Name a folder that holds the model's `tokenizer.json`, or set `data.max_length`.

References
    CONTRACT: what a prediction is.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.compiler.facts.data import DataFacts
from ftspec.compiler.facts.model import ModelFacts
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule


def find(subject: tuple[ModelFacts, DataFacts, int]) -> Iterator[Finding]:
    """Yield the finding."""
    model, data, chosen = subject
    what = "the tokenizer is not on this machine"
    if data.kind == "hub":
        what = "the data is on a hub"
    elif data.note:
        what = data.note
    yield RULE.finding(
        f"row lengths are not known: every row is taken to have {chosen:,} tokens",
        route=("model", "name") if data.kind != "hub" else ("data", "train"),
        found=what,
        help="name a folder with the model's tokenizer.json, or set `data.max_length`",
        evidence={"model": model.source, "data": data.kind},
    )


RULE = Rule("FT172", "unknown-lengths", Severity.INFO, find)
