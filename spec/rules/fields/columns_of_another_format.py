"""Columns that the format does not have.

What it finds
    Keys of `data.columns` that are no fields of the format that `data.format` names.

Why it matters
    `columns` maps a field of the format (left) to a column of the file (right). A field that the
    format does not have is never looked up; often the two sides are swapped.

Evidence it needs
    `data.format` and `data.columns`, both written.

Example
    ```yaml
    data:
      train: train.csv
      format: alpaca
      columns: {question: instruction, answer: output}
    ```

What to do
    Write the format's field on the left and the file's column on the right.

References
    CONTRACT: `data.columns` is a map of the format's field to the file's column.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.formats import FIELDS
from ftspec.spec.model import Format, Spec
from ftspec.spec.rule import Rule
from ftspec.spec.rules.fields.wording import listed


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding a key that is no field of the format."""
    form, columns = spec.data.format, spec.data.columns or {}
    if form is None:
        return
    for key, column in columns.items():
        if key not in FIELDS[form]:
            yield RULE.finding(
                f"`{key}` is not a field of the format `{form}`",
                route=("data", "columns", key),
                at_key=True,
                found=f"its fields: {listed(FIELDS[form])}",
                help=_help(key, column, form),
                evidence={"key": key, "column": column, "format": form},
            )


def _help(key: str, column: str, form: Format) -> str:
    fields = FIELDS[form]
    if column in fields:
        return f"swap the two sides: `{column}: {key}`"
    for near in difflib.get_close_matches(key.lower(), fields, n=1, cutoff=0.75):
        return f"did you mean `{near}: {column}`?"
    owners = [name for name, own in FIELDS.items() if key in own]
    other = f", or write {listed([f'format: {name}' for name in owners], 'or')}" if owners else ""
    return f"write one of {listed(fields, 'or')} on the left{other}"


RULE = Rule("FT132", "columns-of-another-format", Severity.ERROR, find)
