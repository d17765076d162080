"""Clean a data file: repair rows, set rows aside, and account for every one of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftspec.doctor.data.check import held_out_prompts
from ftspec.doctor.data.decide import Decision, Reason, decisions, set_aside
from ftspec.doctor.data.fixes import SAFE
from ftspec.doctor.data.layout import Layout
from ftspec.doctor.data.readers.source import Source
from ftspec.doctor.data.rule import Asked
from ftspec.doctor.data.writers import Rows, kind_of, text_of, whole

SCHEMA_VERSION = 1


class UnaccountedRowError(Exception):
    """A row of the input is neither kept nor set aside: a fault of ours."""


@dataclass(slots=True)
class Ledger:
    """What became of each row of the input, by its number from 1."""

    rows: int = 0
    kept: list[int] = field(default_factory=list)
    repaired: list[tuple[int, int | None, tuple[str, ...]]] = field(default_factory=list)
    aside: list[tuple[int, int | None, Reason]] = field(default_factory=list)

    def note(self, decision: Decision, reason: Reason | None) -> None:
        """Note what becomes of a row."""
        number, line = decision.record.number, decision.record.line
        self.rows += 1
        if reason is not None:
            self.aside.append((number, line, reason))
        elif decision.repairs:
            self.repaired.append((number, line, decision.repairs))
        elif self.kept and self.kept[-1] == number - 1:
            self.kept[-1] = number  # pairs of first and last: most rows are kept
        else:
            self.kept += [number, number]

    @property
    def written(self) -> int:
        """How many rows the output has."""
        return self.rows - len(self.aside)

    def account(self) -> None:
        """Raise UnaccountedRowError unless every row from 1 to the last is noted once."""
        spans = list(zip(self.kept[::2], self.kept[1::2], strict=True))
        spans += [(row, row) for row, *_ in (*self.repaired, *self.aside)]
        after = 1
        for first, last in sorted(spans):
            if first != after:
                raise UnaccountedRowError(f"row {after} is not accounted for, or twice")
            after = last + 1
        if after != self.rows + 1:
            raise UnaccountedRowError(f"{self.rows} rows were read, {after - 1} accounted for")

    @property
    def counts(self) -> dict[str, int]:
        """Rows by what was done to them, by rule."""
        found = Counter(name for *_, names in self.repaired for name in names)
        found.update(reason.name for *_, reason in self.aside)
        return dict(sorted(found.items()))

    def as_json(self) -> dict[str, Any]:
        """Return the ledger in the form that programs read."""
        spans = zip(self.kept[::2], self.kept[1::2], strict=True)
        return {
            "schema_version": SCHEMA_VERSION,
            "rows": self.rows,
            "written": self.written,
            "counts": self.counts,
            "kept": [list(span) for span in spans],
            "repaired": [
                {"row": row, "line": line, "fixes": list(names)}
                for row, line, names in self.repaired
            ],
            "set_aside": [
                {
                    "row": row,
                    "line": line,
                    "code": reason.code,
                    "name": reason.name,
                    "reason": reason.words,
                }
                for row, line, reason in self.aside
            ],
        }


def beside(out: Path, word: str, ending: str) -> Path:
    """Return the name of a file that lies beside the output: out.jsonl, out.quarantine.jsonl."""
    name = out.name.removesuffix(".gz")
    return out.with_name(f"{name.rpartition('.')[0] or name}.{word}.{ending}")


def clean(
    source: Source,
    out: Path | None,
    names: Sequence[str] = SAFE,
    layout: Layout | None = None,
    held_out: Sequence[Source] = (),
) -> Ledger:
    """Write the rows of a file to `out`, repaired, and what is set aside beside it.

    `names` are the rules whose fixes are made. `out` None: nothing is written. The output, the
    quarantine and the ledger appear when all three are whole, the output last. Raises
    UnreadableDataError where the file cannot be read or the form cannot hold its rows.
    """
    prompts = held_out_prompts(held_out)[0] if held_out and "leakage" in names else {}
    asked = Asked(near="near-duplicate" in names, eval_prompts=prompts)
    gone = set_aside(source, names, layout, asked)
    ledger = Ledger()
    with ExitStack() as stack:
        rows = aside = account = None
        if out is not None:
            # Left in the opposite order: the output takes its name last.
            rows = Rows(stack.enter_context(whole(out)), kind_of(out))
            account = stack.enter_context(whole(beside(out, "ledger", "json")))
            aside = stack.enter_context(whole(beside(out, "quarantine", "jsonl")))
        for decision in decisions(source, names, layout):
            reason = decision.reason or gone.get(decision.record.number)
            ledger.note(decision, reason)
            if reason is not None and aside is not None:
                aside.write(_quarantined(source, decision, reason))
            elif rows is not None and reason is None:
                rows.write(decision.value, decision.record, bool(decision.repairs))
        ledger.account()
        if rows is not None and account is not None:
            rows.end()
            document = {"input": source.path.name, "fixes": list(names), **ledger.as_json()}
            account.write(f"{_document(document)}\n".encode())
    return ledger


def _document(ledger: dict[str, Any]) -> str:
    """Return a ledger as JSON, a row a line: one that people read and programs compare."""
    parts = []
    for name, value in ledger.items():
        many = isinstance(value, list) and name in ("kept", "repaired", "set_aside")
        if many and value:
            body = ",\n".join(f"    {json.dumps(item, ensure_ascii=False)}" for item in value)
            parts.append(f'  "{name}": [\n{body}\n  ]')
        else:
            parts.append(f'  "{name}": {json.dumps(value, ensure_ascii=False)}')
    return "{\n" + ",\n".join(parts) + "\n}"


def _quarantined(source: Source, decision: Decision, reason: Reason) -> bytes:
    """Return a row that is set aside: why, where it stood, and what it was, as it was."""
    record = decision.record
    where = {"file": source.path.name, "row": record.number, "line": record.line}
    why = {"code": reason.code, "name": reason.name, "reason": reason.words}
    what = {"text": record.raw} if record.fault is not None else {"value": record.value}
    return f"{text_of({**where, **why, **what})}\n".encode()
