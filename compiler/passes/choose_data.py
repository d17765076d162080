"""Decide what is learnt from and held out, how long rows may be, and whether they are packed."""

from __future__ import annotations

import math

from ftspec.compiler.draft import Draft
from ftspec.compiler.facts.data import DataFacts
from ftspec.compiler.passes.choose_model import relative
from ftspec.compiler.rules import (
    eval_differs,
    format_assumed,
    max_length_over_limit,
    rows_cut,
    too_few_rows,
    unknown_lengths,
)
from ftspec.spec.formats import FIELDS
from ftspec.spec.values import parse_share

GUIDE_LENGTH = 512
EVAL_SHARE, EVAL_LEAST, EVAL_MOST, EVAL_NEEDS = 0.05, 20, 1000, 40


def choose_data(draft: Draft) -> Draft:
    """Decide everything under `data`."""
    facts = draft.data or DataFacts("hub", hub=None)
    draft = draft.put("data.kind", facts.kind, "by the files' ending")
    draft = draft.put("data.train", _sources(facts, draft), "where the scripts find it")
    draft = draft.put("data.split", facts.split, "of the hub's data set")
    format = facts.format or draft.spec.data.format or "alpaca"
    how = "detected from the columns" if facts.format else "assumed: the rows are not at hand"
    how = "as written" if draft.spec.data.format else how
    draft = draft.put("data.format", format, how)
    columns = dict(facts.columns or {name: name for name in FIELDS[format]})
    draft = draft.put("data.columns", columns, "fields found in the file")
    draft = draft.found(*format_assumed.find(draft.data))
    draft = draft.found(*eval_differs.find((draft.data, draft.eval_data)))
    draft = _split(draft, facts)
    draft = _length(draft)
    draft = _packing(draft)
    draft = draft.decide("data.train_on_prompt", False, "only answers are learnt")
    return draft.decide("data.system", None, "none")


def _sources(facts: DataFacts, draft: Draft) -> tuple[str, ...]:
    if facts.kind == "hub":
        return (facts.hub,) if facts.hub else ()
    return tuple(relative(path, draft) for path in facts.files)


def _split(draft: Draft, facts: DataFacts) -> Draft:
    asked, rows = draft.spec.data.eval, facts.rows
    share = parse_share(asked) if asked else None
    held: DataFacts | None = draft.eval_data
    if held is not None:
        draft = _eval(draft, "file", held.rows, None, f"as written: `{asked}`")
        draft = draft.put("data.eval", _sources(held, draft), "where the scripts find it")
        draft = draft.put("data.eval_kind", held.kind, "by the file's ending")
        draft = draft.put("data.eval_split", held.split, "of the hub's data set")
        return draft.put("data.train_rows", rows, "rows of the training files")
    draft = draft.put("data.eval", (), "held out from the training rows")
    draft = draft.put("data.eval_kind", facts.kind, "held out from the training rows")
    draft = draft.put("data.eval_split", facts.split, "held out from the training rows")
    if asked == "none" or (asked is None and rows is not None and rows < EVAL_NEEDS):
        why = "as written" if asked else f"{rows} rows are too few to hold any out"
        draft = _eval(draft, "none", 0, None, why)
        return draft.put("data.train_rows", rows, "all rows")
    if rows is None:
        reason = "5 % by default" if share is None else "as written"
        draft = _eval(draft, "share", None, share or EVAL_SHARE, reason)
        return draft.put("data.train_rows", None, "counted when the data is loaded")
    if share is None:
        count = min(EVAL_MOST, max(EVAL_LEAST, round(EVAL_SHARE * rows)))
        reason = f"5 % of {rows:,} rows, at least {EVAL_LEAST} and at most {EVAL_MOST:,}"
    else:
        count = max(1, round(share * rows))
        reason = f"as written: {asked} of {rows:,} rows"
    draft = draft.found(*too_few_rows.find((rows, count)))
    count = min(count, rows - 1)
    draft = _eval(draft, "share", count, None, reason)
    return draft.put("data.train_rows", rows - count, "rows less those held out")


def _eval(draft: Draft, source: str, rows: int | None, share: float | None, why: str) -> Draft:
    draft = draft.put("data.eval_from", source, why)
    draft = draft.put("data.eval_rows", rows, why)
    return draft.put("data.eval_share", share, why)


def _length(draft: Draft) -> Draft:
    shape, lengths = draft.model.shape, draft.lengths
    limit = shape.positions if shape else None
    virtual: int = draft["method.num_virtual_tokens"] or 0
    if lengths is not None and draft.tuned:
        wanted = math.ceil(lengths.quantile(0.99) / 64) * 64
        reason = f"99 % of rows have at most {lengths.quantile(0.99):,} tokens; rounded up to 64"
    else:
        wanted = GUIDE_LENGTH
        reason = "the guide's, since lengths are not known" if lengths is None else "the guide's"
    if limit is not None and wanted + virtual > limit:
        wanted, reason = max(8, limit - virtual), f"the model's limit ({limit:,} positions)"
    draft = draft.decide("data.max_length", wanted, reason)
    chosen = draft["data.max_length"]
    draft = draft.found(*max_length_over_limit.find((chosen, limit, virtual)))
    draft = draft.found(*rows_cut.find((lengths, chosen)))
    if lengths is None and draft.data is not None:
        draft = draft.found(*unknown_lengths.find((draft.model, draft.data, chosen)))
    return draft


def _packing(draft: Draft) -> Draft:
    if draft.spec.method.type in ("prefix", "prompt"):
        reason = "position ids are ignored there: packed rows would attend to each other"
        return draft.put("data.packing", False, reason)
    lengths = draft.lengths
    flash = str(draft["model.attention"]).startswith("flash")
    short = lengths is not None and lengths.mean < 0.5 * draft["data.max_length"]
    if flash and short and draft.tuned:
        return draft.decide("data.packing", True, "rows are short, and the kernel keeps them apart")
    reason = "pays with a flash-attention kernel and short rows only"
    return draft.decide("data.packing", False, reason)
