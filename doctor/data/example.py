"""A row as the rules see it: prompt, answers and all texts, whatever format it came in."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

from ftspec.doctor.data.record import Record

Text = TypeVar("Text", str, bytes)
BETWEEN = "\x1e"  # between the texts of a row where they are looked at as one


class Turn(NamedTuple):
    """One turn of a conversation, its role in a chat template's words (`user`, `assistant`)."""

    role: str
    text: str


class Flaw(NamedTuple):
    """What is wrong with a row's form: the name of the rule that tells it, and the words."""

    rule: str
    words: str


@dataclass(slots=True)
class Example:
    """A row in one form for all formats. Not frozen: one is made for every row, in haste.

    `prompt`: what the user says, all turns. `answers`: what is learnt, a turn each. `texts`: every
    text of the row's format in its order. `usable`: there is something to judge beyond the form.
    `label`: the value of a column of labels. `chosen`: the row is a preference, or has a verdict.

    What many rules ask first: `said` and `before`: the last answer, and what user and assistant
    say before it, both without case and spaces; a text is before. `forms`: the text's bytes with
    a 0 for each digit and an A for each capital of ASCII. `digits`: how many there are;
    `cluster`: 14, 8, 7, 4 or 0: so many digits, or more, stand in a row with no more between
    them than what is printed within numbers. `spaces`: in the last answer.
    """

    record: Record
    format: str = ""
    prompt: str = ""
    answers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    input: str = ""
    flaws: tuple[Flaw, ...] = ()
    usable: bool = False
    label: str | None = None
    chosen: bool = False
    text: str = ""
    ascii: bool = True
    encoded: bytes = b""
    whole: bool = True
    before: bytes = b""
    said: bytes = b""
    forms: bytes = b""
    digits: int = 0
    cluster: int = 0
    spaces: int = 0
    keys: Keys | None = field(default=None)

    @property
    def answer(self) -> str:
        """The last answer, empty where there is none."""
        return self.answers[-1] if self.answers else ""

    def prepare(self) -> None:
        """Look at the texts once for what many rules ask first."""
        text = self.text = BETWEEN.join(self.texts)
        self.ascii = text.isascii()
        try:
            self.encoded = text.encode()
        except UnicodeEncodeError:
            self.whole = False
            self.encoded = text.encode("utf-8", "surrogatepass")
        answers = self.answers
        if answers:
            answer = answers[-1]
            self.said, self.spaces = folded(answer), answer.count(" ")
            before = self.prompt
            self.before = folded(
                before if len(answers) < 2 else BETWEEN.join((before, *answers[:-1]))
            )
        else:
            self.before = folded(text)
        self.forms = self.encoded.translate(_FORMS)
        self.digits = self.forms.count(b"0")
        if self.digits >= CLUSTERS[-1]:
            runs = self.forms.translate(_RUNS, b" .-()")
            self.cluster = next((count for count in CLUSTERS if b"0" * count in runs), 0)


CLUSTERS = (14, 8, 7, 4)
# Tables: a pass over the bytes in C is far cheaper than a regular expression.
_FORMS = bytes(
    ord("0") if 48 <= byte <= 57 else ord("A") if 65 <= byte <= 90 else byte for byte in range(256)
)
_RUNS = bytes(byte if byte == ord("0") else ord("x") for byte in range(256))
_LOWER = bytes(range(256)).lower()
_SPACES = b"\t\n\v\f\r\x1c\x1d\x1e\x1f "


def folded(text: str) -> bytes:
    """Return a text without its case and its spaces, in composed form."""
    if text.isascii():
        return text.encode().translate(_LOWER, _SPACES)
    text = unicodedata.normalize("NFC", text).casefold()
    return "".join(text.split()).encode("utf-8", "surrogatepass")


class Keys(NamedTuple):
    """What rows are compared by: 64-bit hashes of the whole row and of its parts.

    `exact`: all texts. `row`: all texts but for case and spaces. `prompt` and `answer`: the same
    of what the user and the assistant say before the last answer, and of it; `prompt` is 0 where
    there is nothing.
    `first`: a conversation's first user turn, 0 where it is short or the prompt itself.
    """

    exact: int
    row: int
    prompt: int
    answer: int
    first: int = 0


_ODD, _BITS = 0x9E3779B97F4A7C15, (1 << 64) - 1  # two hashes become one
SPEAKERS = ("user", "assistant")
FIRST_WORDS = 12  # a first turn with fewer words may open many conversations


def keys_of(example: Example) -> Keys:
    """Return the keys that a row is compared by."""
    before = hash_of(example.before) if example.before else 0
    answer = hash_of(example.said)
    row = (before * _ODD + answer) & _BITS
    if example.turns:  # what the system and tools say is part of the row as well
        others = [turn.text for turn in example.turns if turn.role not in SPEAKERS]
        others += example.texts[len(example.turns) :]
        if others:
            row = (row * _ODD + hash_of(folded(BETWEEN.join(others)))) & _BITS
    return Keys(hash_of(example.encoded), row, before, answer, _first(example))


def _first(example: Example) -> int:
    if len(example.answers) < 2:
        return 0
    turn = next((turn.text for turn in example.turns if turn.role == "user"), "")
    return hash_of(folded(turn)) if turn.count(" ") >= FIRST_WORDS - 1 else 0


def hash_of(data: bytes) -> int:
    """Return 64 bits of a text. Two of 10 million texts fall together once in 400,000 sets."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def holds(text: Text, marks: tuple[Text, ...]) -> bool:
    """Say whether a text holds one of several; half the time of `any`."""
    for mark in marks:
        if mark in text:
            return True
    return False


def squeezed(text: str) -> str:
    """Return a text without its case and its runs of spaces, in composed form."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        return " ".join(text.casefold().split())
    return " ".join(text.lower().split())


def content_text(value: Any) -> str | None:
    """Return the text of a turn's content: a string, or a list of parts; None: it is neither."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list):
        texts = [_part(part) for part in value]
        if all(text is not None for text in texts):
            return "\n".join(text for text in texts if text)
    return None


def _part(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return None
    text = part.get("text", part.get("value", part.get("content", "")))
    return text if isinstance(text, str) else ""
