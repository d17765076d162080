"""A row as the rules see it: prompt, answers and all texts, whatever format it came in."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

from ftspec.doctor.data.record import Record

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
    `digits`: how many there are; `cluster`: most digits in one run of digits and what may
    stand between them, 0 where there are few. `label`: the value of a column of labels.
    `chosen`: the row is a preference, or has a verdict.
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
    digits: int = 0
    cluster: int = 0
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
        self.digits = len(self.encoded.translate(None, _NO_DIGITS))
        if self.digits >= FEWEST:
            parts = self.encoded.translate(_CLUSTERS).split(b"x")
            runs = [part for part in parts if len(part) >= FEWEST]
            self.cluster = max((len(run.translate(None, _MARKS)) for run in runs), default=0)


FEWEST = 7  # digits of the shortest number that is looked for
_NO_DIGITS = bytes(byte for byte in range(256) if not 48 <= byte <= 57)
_MARKS = b" .-()"
# What stands in numbers of persons stays, all else becomes an x.
_CLUSTERS = bytes(byte if byte in b"0123456789" + _MARKS else ord("x") for byte in range(256))


class Keys(NamedTuple):
    """What rows are compared by: 64-bit hashes of the whole row and of its parts.

    `exact`: all texts. `row`: all texts but for case and spaces. `prompt` and `answer`: the same
    of what comes before the last answer, and of it; `prompt` is 0 where there is nothing.
    `first`: a conversation's first user turn, 0 where it is short or the prompt itself.
    """

    exact: int
    row: int
    prompt: int
    answer: int
    first: int = 0


_ODD, _BITS = 0x9E3779B97F4A7C15, (1 << 64) - 1  # two hashes become one
FIRST_WORDS = 12  # a first turn with fewer words may open many conversations


def keys_of(example: Example) -> Keys:
    """Return the keys that a row is compared by."""
    before = squeezed(_before(example))
    answer = squeezed(example.answer)
    if not example.answers:  # a text is compared as a whole
        before, answer = squeezed(example.text), ""
    prompt = hash_of(before.encode("utf-8", "surrogatepass")) if before else 0
    said = hash_of(answer.encode("utf-8", "surrogatepass"))
    return Keys(
        hash_of(example.encoded),
        (prompt * _ODD + said) & _BITS,
        prompt,
        said,
        _first(example),
    )


def _first(example: Example) -> int:
    turn = next((turn.text for turn in example.turns if turn.role == "user"), "")
    if len(example.answers) < 2 or turn.count(" ") < FIRST_WORDS - 1:
        return 0
    return hash_of(squeezed(turn).encode("utf-8", "surrogatepass"))


def _before(example: Example) -> str:
    """Return the conversation before its last answer; for other formats the prompt."""
    if len(example.answers) < 2:
        return example.prompt
    return BETWEEN.join((example.prompt, *example.answers[:-1]))


def hash_of(data: bytes) -> int:
    """Return 64 bits of a text. Two of 10 million texts fall together once in 400,000 sets."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


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
