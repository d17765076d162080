"""Rows in tokens, by the model's own tokenizer and chat template, as the scripts count them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec.compiler.facts.formats import PLAIN_TEMPLATE

# One reader of lengths for both: what `check` plans with is what is judged here.
from ftspec.compiler.facts.lengths import TemplateError, _learnt, _Renderer, _text_and_spans
from ftspec.compiler.facts.model import ModelFacts
from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Hit
from ftspec.doctor.data.layout import Layout, Layouts

if TYPE_CHECKING:
    from ftspec.doctor.data.rule import Asked, Found

ROWS = 500  # tokenized together
TAIL = 4  # last supervised tokens among which the end of the answer is looked for
PLAIN = ("text", "prompt-completion")


@dataclass(frozen=True, slots=True)
class Counting:
    """How rows are counted: the model, the longest row in tokens, and what the spec says."""

    model: ModelFacts
    max_length: int | None = None
    system: str | None = None
    template: str | None = None
    train_on_prompt: bool = False
    batch_size: int = 4
    layout: Layout | None = None


@dataclass(slots=True)
class _Sums:
    """Sums over the rows of one file; `padded`: tokens computed, batches in the file's order."""

    lengths: Counter[int] = field(default_factory=Counter)
    supervised: int = 0
    cut: int = 0
    refused: int = 0
    padded: int = 0
    batch: list[int] = field(default_factory=list)


class Rendered(NamedTuple):
    """A row's text, where its tokens stand in it, and which of them are learnt.

    There may be one token more than places: the end of the sequence, which the scripts add.
    """

    text: str
    offsets: tuple[tuple[int, int], ...]
    learnt: tuple[bool, ...]


class Tokens:
    """Tokenizes rows a few hundred at a time, and notes those that training would lose."""

    def __init__(self, counting: Counting) -> None:
        from tokenizers import Tokenizer

        self._counting = counting
        self._tokenizer = Tokenizer.from_file(str(counting.model.tokenizer_file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        template = counting.template or counting.model.chat_template or PLAIN_TEMPLATE
        self._renderer = _Renderer(template, counting.model)
        self._layouts = Layouts(counting.layout)
        self._ends = self._end_tokens()
        self._waiting: list[tuple[int, Example, str, list[tuple[int, int]]]] = []
        self._sums: dict[int, _Sums] = {}
        self.found: dict[str, list[tuple[int, Example, Hit]]] = {}

    def _end_tokens(self) -> frozenset[int]:
        """Return the tokens that may end an answer: all special ones."""
        added = self._tokenizer.get_added_tokens_decoder()
        ends = {number for number, token in added.items() if token.special}
        eos = (self._counting.model.special_tokens or {}).get("eos_token", "")
        number = self._tokenizer.token_to_id(eos)
        return frozenset(ends if number is None else {*ends, number})

    def see(self, file: int, example: Example) -> None:
        """Take in a row."""
        layout = self._layouts.of(example.record.value)
        if layout is None or layout.format == "preference" or not example.whole:
            return
        sums = self._sums.setdefault(file, _Sums())
        try:
            text, spans = self._spans(example, layout)
        except TemplateError:
            sums.refused += 1
            return
        self._waiting.append((file, example, text, spans))
        if len(self._waiting) >= ROWS:
            self.end()

    def rendered(self, example: Example) -> Rendered | None:
        """Return one row as the model will see it; None where it is no row to train on.

        Raises TemplateError where the chat template refuses it.
        """
        layout = self._layouts.of(example.record.value)
        if layout is None or layout.format == "preference" or not example.whole:
            return None
        text, spans = self._spans(example, layout)
        plain = layout.format in PLAIN
        encoding = self._tokenizer.encode(text, add_special_tokens=plain)
        return Rendered(text, tuple(encoding.offsets), self._learnt(example, encoding, spans))

    def _spans(self, example: Example, layout: Layout) -> tuple[str, list[tuple[int, int]]]:
        value, system = example.record.value, self._counting.system
        return _text_and_spans(value, layout.format, layout.columns, system, self._renderer)

    def _learnt(
        self, example: Example, encoding: Any, spans: list[tuple[int, int]]
    ) -> tuple[bool, ...]:
        """Say of each token whether it is learnt; plain texts get one that ends them."""
        every = self._counting.train_on_prompt or example.format == "text"
        learnt = tuple(every or _learnt(span, spans) for span in encoding.offsets)
        return (*learnt, True) if example.format in PLAIN else learnt

    def end(self) -> None:
        """Tokenize what is waiting."""
        waiting, self._waiting = self._waiting, []
        for plain in (False, True):
            part = [item for item in waiting if (item[1].format in PLAIN) is plain]
            texts = [text for _, _, text, _ in part]
            encoded = self._tokenizer.encode_batch(texts, add_special_tokens=plain)
            for (file, example, _, spans), encoding in zip(part, encoded, strict=True):
                learnt = self._learnt(example, encoding, spans)
                self._judge(file, example, encoding.ids, learnt)

    def _judge(
        self, file: int, example: Example, ids: Sequence[int], learnt: Sequence[bool]
    ) -> None:
        limit = self._counting.max_length or math.inf
        length, sums = len(learnt), self._sums[file]
        kept = min(length, limit)
        sums.lengths[length] += 1
        sums.supervised += sum(learnt)
        self._pad(sums, int(kept))
        if length > limit:
            lost = sum(learnt[int(limit) :])
            sums.cut += length - int(kept)
            words = f"{length:,} tokens: {length - int(kept):,} are cut, {lost:,} of them learnt"
            self._note("too-long", file, example, words)
        if not any(learnt[: int(kept)]):
            words = f"none of {int(kept):,} tokens is learnt"
            self._note("all-masked", file, example, words)
        elif example.format not in PLAIN and example.format != "":
            tail = [number for number, is_learnt in zip(ids, learnt, strict=False) if is_learnt]
            if not self._ends.intersection(tail[-TAIL:]):
                self._note("no-end-token", file, example, "no end token in what is learnt")

    def _note(self, rule: str, file: int, example: Example, words: str) -> None:
        notes = self.found.setdefault(rule, [])
        sample = example.answer or example.text if len(notes) < 100 else ""
        bare = Example(example.record._replace(value=None, raw=""))  # many may be noted
        notes.append((file, bare, Hit(words, sample)))

    def _pad(self, sums: _Sums, length: int) -> None:
        sums.batch.append(length)
        if len(sums.batch) == self._counting.batch_size:
            sums.padded += max(sums.batch) * len(sums.batch)
            sums.batch.clear()

    def indicators(self, file: int) -> dict[str, Any]:
        """Return what was measured of a file: lengths in tokens and shares from 0 to 1."""
        sums = self._sums.get(file)
        if sums is None or not sums.lengths:
            return {}
        rows = sums.lengths.total()
        total = sum(length * count for length, count in sums.lengths.items())
        limit = self._counting.max_length
        padded = sums.padded + (max(sums.batch) * len(sums.batch) if sums.batch else 0)
        return {
            "rows_measured": rows,
            "tokens": total,
            "mean_length": total / rows,
            "median_length": _quantile(sums.lengths, 0.5),
            "p99_length": _quantile(sums.lengths, 0.99),
            "longest": max(sums.lengths),
            **({"max_length": limit} if limit else {}),
            "tokens_cut": sums.cut,
            "supervised_share": sums.supervised / total if total else 0.0,
            "batch_size": self._counting.batch_size,
            # What packing would save: no packed row has padding but the last.
            "padding_share": 1 - (total - sums.cut) / padded if padded else 0.0,
            "rows_that_the_template_refuses": sums.refused,
        }


def _quantile(lengths: Mapping[int, int], share: float) -> int:
    """Return the length that a share of the rows does not exceed (nearest rank)."""
    rank = math.ceil(share * sum(lengths.values()))
    seen = 0
    for length in sorted(lengths):
        seen += lengths[length]
        if seen >= rank:
            return length
    return 0


class OfTokens:
    """Gives the rows that the count of tokens noted under the name of one rule."""

    def __init__(self, rule: str, asked: Asked) -> None:
        self._rule, self._tokens = rule, asked.tokens

    def see(self, file: int, example: Example) -> None:
        """See nothing: the count of tokens sees every row, for all its rules."""

    def found(self) -> Iterator[Found]:
        """Yield the rows."""
        from ftspec.doctor.data.rule import Found

        if self._tokens is not None:
            for file, example, hit in self._tokens.found.get(self._rule, ()):
                record = example.record
                yield Found(file, record.number, record.line, hit)

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Say nothing of the file as a whole."""
