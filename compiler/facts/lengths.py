"""Lengths of rows in tokens, by the model's own tokenizer and chat template, without torch."""

from __future__ import annotations

import datetime
import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any, NoReturn

from ftspec.compiler.facts.data import DataUnreadableError, as_text
from ftspec.compiler.facts.formats import PLAIN_TEMPLATE, Row, messages_of
from ftspec.compiler.facts.model import ModelFacts

SAMPLE = 20_000  # rows tokenized at most; more are taken evenly over the file


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens per row and, of these, supervised tokens; `of_rows` rows stand behind the sample."""

    tokens: tuple[int, ...]
    supervised: tuple[int, ...]
    of_rows: int

    def quantile(self, share: float) -> int:
        """Return the length that `share` of the rows do not exceed (nearest rank)."""
        ordered = sorted(self.tokens)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    @property
    def longest(self) -> int:
        """The longest row's tokens."""
        return max(self.tokens)

    @property
    def mean(self) -> float:
        """Mean tokens per row."""
        return sum(self.tokens) / len(self.tokens)

    def over(self, limit: int) -> int:
        """Return how many of all rows are longer than `limit` tokens (scaled up from a sample)."""
        share = sum(length > limit for length in self.tokens) / len(self.tokens)
        return round(share * self.of_rows)


class TemplateError(Exception):
    """The chat template does not render a row; the message says why."""


def measure(
    rows: Sequence[Row],
    model: ModelFacts,
    format: str,
    columns: Mapping[str, str],
    system: str | None = None,
    template: str | None = None,
    train_on_prompt: bool = False,
) -> Lengths | None:
    """Tokenize rows as the scripts will; None where the model's tokenizer is not at hand.

    Raises TemplateError where the chat template refuses a row, DataUnreadableError where a row
    is not text.
    """
    if model.tokenizer_file is None:
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model.tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    step = max(1, math.ceil(len(rows) / SAMPLE))
    chosen = rows[::step]
    renderer = Renderer(template or model.chat_template or PLAIN_TEMPLATE, model)
    chat = format not in ("text", "prompt-completion")
    end = tokenizer.token_to_id((model.special_tokens or {}).get("eos_token", ""))
    tokens: list[int] = []
    supervised: list[int] = []
    for start in range(0, len(chosen), 1000):
        part = chosen[start : start + 1000]
        texts = [text_and_spans(row, format, columns, system, renderer) for row in part]
        for number, (text, _) in enumerate(texts):
            if not encodable(text):
                at = (start + number) * step + 1
                raise DataUnreadableError(f"row {at} holds half a character (a lone surrogate)")
        encoded = tokenizer.encode_batch([text for text, _ in texts], add_special_tokens=not chat)
        for encoding, (_, spans) in zip(encoded, texts, strict=True):
            every = train_on_prompt or format == "text"
            learnt = [True] * len(encoding) if every else learnt_in(encoding.offsets, spans)
            if not chat:  # the end-of-sequence token is learnt, whoever adds it
                ends = bool(encoding.ids) and encoding.ids[-1] == end
                learnt = [*(learnt[:-1] if ends else learnt), True]
            tokens.append(len(learnt))
            supervised.append(sum(learnt))
    return Lengths(tuple(tokens), tuple(supervised), len(rows))


def encodable(text: str) -> bool:
    """Say whether a text can be written as UTF-8: it has no lone surrogate."""
    try:
        return text.isascii() or bool(text.encode("utf-8"))
    except UnicodeEncodeError:
        return False


def learnt_in(tokens: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[bool]:
    """Say of each token whether it holds some of what is learnt, all by places in the text.

    A token of spaces may have an empty span: it counts as one character.
    """
    begins = [begin for begin, _ in tokens]
    ends = [end if end > begin else begin + 1 for begin, end in tokens]
    learnt = [False] * len(tokens)
    if begins != sorted(begins) or ends != sorted(ends):  # marks set at the end have no place
        pairs = zip(begins, ends, strict=True)
        return [any(begin < end and stop > start for start, end in spans) for begin, stop in pairs]
    for start, end in spans:
        first, last = bisect_right(ends, start), bisect_left(begins, end)
        learnt[first:last] = [True] * (last - first)
    return learnt


def text_and_spans(
    row: Row,
    format: str,
    columns: Mapping[str, str],
    system: str | None,
    renderer: Renderer,
) -> tuple[str, list[tuple[int, int]]]:
    """Return a row's text as it is trained on, and where in it stands what is learnt.

    Places count characters; a plain text has no spans. Raises TemplateError where the chat
    template refuses the row, DataUnreadableError where a field is not text.
    """
    if format == "text":
        return as_text(row.get(columns["text"])), []
    if format == "prompt-completion":
        prompt = as_text(row.get(columns["prompt"]))
        text = prompt + as_text(row.get(columns["completion"]))
        return text, [(len(prompt), len(text) + 1)]
    messages = messages_of(row, format, columns, system)
    text = renderer.render(messages, False) if messages else ""
    spans = []
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            before = renderer.render(messages[: number or 1], True)
            if not number:  # the generation prompt alone
                before = before[len(renderer.render(messages[:1], False)) :]
            so_far = messages[: number + 1]
            whole = text if len(so_far) == len(messages) else renderer.render(so_far, False)
            spans.append((_alike(text, before), _alike(text, whole)))
    return text, spans


def _alike(text: str, other: str) -> int:
    """Return how many characters two texts begin with in common."""
    return len(other) if text.startswith(other) else len(commonprefix([text, other]))


class Renderer:
    """Renders a chat template as transformers does: sandboxed, with its helper functions.

    Source: transformers 5.23, `utils/chat_template_utils.py`, `_compile_jinja_template`.
    """

    def __init__(self, template: str, model: ModelFacts) -> None:
        from jinja2 import TemplateSyntaxError
        from jinja2.ext import Extension, loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        class Generation(Extension):
            tags = {"generation"}

            def parse(self, parser: Any) -> Any:
                next(parser.stream)
                return parser.parse_statements(("name:endgeneration",), drop_needle=True)

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
        )
        environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
        try:
            self._template = environment.from_string(template)
        except TemplateSyntaxError as error:
            raise TemplateError(f"the chat template is not Jinja: {error}") from error
        self._tokens = {"bos_token": "", "eos_token": "", **(model.special_tokens or {})}

    def render(self, messages: Sequence[Mapping[str, str]], generation: bool) -> str:
        """Return messages as text, with the generation prompt behind them where it is asked for.

        Raises TemplateError where the template refuses them.
        """
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=generation, tools=None, **self._tokens
            )
        except Exception as error:  # a template raises what it likes
            raise TemplateError(f"the chat template refuses a row: {error}") from error


def _raise(message: str) -> NoReturn:
    raise ValueError(message)
