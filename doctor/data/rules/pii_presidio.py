"""Names of persons, and numbers that only Presidio knows.

What it finds
    With `--presidio`: names of persons, medical licences, passports, driving licences and wallet
    addresses, as Microsoft Presidio tells them in English texts.

Why it matters
    A model may say a name again, with what stood beside it. Names have no form or check digit, so
    a language model of spaCy has to tell them.

Evidence it needs
    Presidio's own score of 0.6 and more; spaCy gives names 0.85.

Example
    ```
    Ask Marjorie Dunne of the third floor, her licence is AB1234563.
    ```

What to do
    Look at the rows. Famous people are found as well, so this is information and nothing is
    changed: replace what is private by hand, or with presidio-anonymizer.

References
    Presidio, supported entities (presidio-analyzer 2.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from ftspec.doctor.data.example import Example
from ftspec.doctor.data.hits import Found, Hit, Hits, told
from ftspec.doctor.data.noted import Noted
from ftspec.doctor.data.record import UnreadableDataError
from ftspec.doctor.data.rule import Asked
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

ENTITIES = {
    "PERSON": "the name of a person",
    "MEDICAL_LICENSE": "a medical licence",
    "US_PASSPORT": "a passport number",
    "US_DRIVER_LICENSE": "a driving licence",
    "CRYPTO": "a wallet address",
}
MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm")  # the best that is there
LEAST = 0.6
LONGEST = 20_000  # characters of a row that are looked at


class Names:
    """Asks Presidio of every row, where that is wanted."""

    def __init__(self, asked: Asked) -> None:
        self._engine = asked.presidio
        self._found = Noted()

    def see(self, file: int, example: Example) -> None:
        """Look at a row's texts."""
        if self._engine is None:
            return
        text = example.text[:LONGEST]
        found = self._engine.analyze(
            text=text, language="en", entities=list(ENTITIES), score_threshold=LEAST
        )
        if not found:
            return
        found.sort(key=lambda one: (one.start, one.end))
        first = ENTITIES[found[0].entity_type]
        words = f"holds {first}" + (f" and {len(found) - 1:,} more" if len(found) > 1 else "")
        for one in found:
            text = text[: one.start] + "*" * (one.end - one.start) + text[one.end :]
        self._found.note(file, example.record, "", Hit(words, text, found[0].start))

    def take(self, later: Names) -> None:
        """Take in the rows that another noted."""
        self._found.take(later._found)

    def found(self) -> Iterator[Found]:
        """Yield the rows."""
        yield from self._found.found(lambda file, label: True)

    def about(self, file: int) -> Mapping[str, Any] | None:
        """Say nothing of the file as a whole."""

    def __getstate__(self) -> Noted:
        """Return what a process sends to another: what was found."""
        return self._found

    def __setstate__(self, state: Noted) -> None:
        self._engine, self._found = None, state


def engine() -> Any:
    """Return Presidio's analyzer. Raises UnreadableDataError where it or its model lacks."""
    try:
        spacy, presidio = import_module("spacy"), import_module("presidio_analyzer")
        providers = import_module("presidio_analyzer.nlp_engine")
    except ImportError:
        raise UnreadableDataError(
            "Presidio is not installed", "pip install 'ftspec[pii]'"
        ) from None
    model = next((name for name in MODELS if spacy.util.is_package(name)), None)
    if model is None:
        raise UnreadableDataError(
            "Presidio needs a model of spaCy to tell names", f"python -m spacy download {MODELS[0]}"
        )
    models = [{"lang_code": "en", "model_name": model}]
    provider = providers.NlpEngineProvider(
        nlp_configuration={"nlp_engine_name": "spacy", "models": models}
    )
    return presidio.AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=["en"])


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for names and numbers that Presidio tells."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} names of persons, or numbers of theirs",
        help="look whether they are private, and replace those that are",
        confidence=0.7,
    )


RULE = Rule("FT538", "pii-presidio", Severity.INFO, find)
