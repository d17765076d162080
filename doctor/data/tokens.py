"""Rows in tokens, by the model's own tokenizer and chat template, as the scripts count them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec.compiler.facts.formats import PLAIN_TEMPLATE

# One reader of lengths for both: what `check` plans with is what is judged here.
from ftspec.compiler.facts.lengths import Renderer, TemplateError, learnt_in, text_and_spans
from ftspec.compiler.facts.model import ModelFacts
from ftspec.doctor.data.counted import Counted
from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Found, Hit
from ftspec.doctor.data.layout import Layout, Layouts
from ftspec.doctor.data.noted import Noted

if TYPE_CHECKING:
    from ftspec.doctor.data.rule import Asked

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

        self.counting = counting
        self._tokenizer = Tokenizer.from_file(str(counting.model.tokenizer_file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        template = counting.template or counting.model.chat_template or PLAIN_TEMPLATE
        self._renderer = Renderer(template, counting.model)
        self._layouts = Layouts(counting.layout)
        self._ends = self._end_tokens()
        self._waiting: list[tuple[int, Example, str, list[tuple[int, int]]]] = []
        self._counted = Counted(counting.batch_size, counting.max_length)

    def _end_tokens(self) -> frozenset[int]:
        """Return the tokens that may end an answer: all special ones."""
        added = self._tokenizer.get_added_tokens_decoder()
        ends = {number for number, token in added.items() if token.special}
        eos = (self.counting.model.special_tokens or {}).get("eos_token", "")
        number = self._tokenizer.token_to_id(eos)
        return frozenset(ends if number is None else {*ends, number})

    def see(self, file: int, example: Example) -> None:
        """Take in a row."""
        layout = self._layouts.of(example.record.value)
        if layout is None or layout.format == "preference" or not example.whole:
            return
        try:
            text, spans = self._spans(example, layout)
        except TemplateError:
            self._counted.of(file).refused += 1
            return
        self._waiting.append((file, example, text, spans))
        if len(self._waiting) >= ROWS:
            self._encode()

    def taken(self) -> Counted:
        """Return what was counted since the last call."""
        self._encode()
        counted = self._counted
        self._counted = Counted(self.counting.batch_size, self.counting.max_length)
        return counted

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
        value, system = example.record.value, self.counting.system
        return text_and_spans(value, layout.format, layout.columns, system, self._renderer)

    def _learnt(
        self, example: Example, encoding: Any, spans: list[tuple[int, int]]
    ) -> tuple[bool, ...]:
        """Say of each token whether it is learnt; plain texts get one that ends them."""
        every = self.counting.train_on_prompt or example.format == "text"
        learnt = (True,) * len(encoding) if every else tuple(learnt_in(encoding.offsets, spans))
        return (*learnt, True) if example.format in PLAIN else learnt

    def _encode(self) -> None:
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
        limit = self.counting.max_length or math.inf
        length, sums = len(learnt), self._counted.of(file)
        kept = int(min(length, limit))
        sums.add(length, kept, sum(learnt))
        if length > limit:
            lost = sum(learnt[kept:])
            words = f"{length:,} tokens: {length - kept:,} are cut, {lost:,} of them learnt"
            self._note("too-long", file, example, words)
        if not any(learnt[:kept]):
            words = f"none of {kept:,} tokens is learnt"
            self._note("all-masked", file, example, words)
        elif example.format not in PLAIN and example.format != "":
            tail = [number for number, is_learnt in zip(ids, learnt, strict=False) if is_learnt]
            if not self._ends.intersection(tail[-TAIL:]):
                self._note("no-end-token", file, example, "no end token in what is learnt")

    def _note(self, rule: str, file: int, example: Example, words: str) -> None:
        noted = self._counted.found.setdefault(rule, Noted())
        noted.note(file, example.record, "", Hit(words, example.answer or example.text))


class OfTokens:
    """Gives the rows that the count of tokens noted under the name of one rule."""

    def __init__(self, rule: str, asked: Asked) -> None:
        self._rule, self._counted = rule, asked.counted

    def see(self, file: int, example: Example) -> None:
        """See nothing: the count of tokens sees every row, for all its rules."""

    def take(self, later: OfTokens) -> None:
        """Take in nothing: the counts are taken in as such."""

    def found(self) -> Iterator[Found]:
        """Yield the rows."""
        if self._counted is not None and self._rule in self._counted.found:
            yield from self._counted.found[self._rule].found(lambda file, label: True)

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Say nothing of the file as a whole."""
