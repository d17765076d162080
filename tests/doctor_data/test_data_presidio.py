"""Presidio behind an extra: a stand-in for it, and the real one where it is installed."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from data_cases import says

from ftspec.doctor.data.check import Wanted, check
from ftspec.doctor.data.readers.source import find_sources
from ftspec.doctor.data.record import UnreadableDataError
from ftspec.doctor.data.rules import pii_presidio

ROWS = [
    says("It is about bees and their keepers."),
    says("Ask Marjorie Dunne of the third floor, or her friend Peter Holm."),
]


class Analyzer:
    """Tells two words with capitals as a name."""

    def analyze(self, *, text, language, entities, score_threshold):
        assert language == "en" and "PERSON" in entities and score_threshold == pii_presidio.LEAST
        return [
            SimpleNamespace(start=m.start(), end=m.end(), entity_type="PERSON")
            for m in re.finditer(r"(?:Marjorie|Peter) [A-Z][a-z]+", text)
        ]


def finding(path: Path):
    checked = check(find_sources([str(path)], Path()), Wanted(presidio=True))
    return next((f for f in checked.findings if f.name == "pii-presidio"), None)


def test_names_are_told_and_not_shown(write, monkeypatch) -> None:
    monkeypatch.setattr(pii_presidio, "engine", Analyzer)
    found = finding(write(ROWS))
    assert found.evidence["rows"] == [2] and found.severity == "info"
    sample = found.evidence["samples"][0]
    assert sample["words"] == "holds the name of a person and 1 more"
    assert "Dunne" not in sample["text"] and "Holm" not in sample["text"]
    assert "third floor" in sample["text"]


def test_nothing_is_asked_unless_it_is_wanted(write, checked, monkeypatch) -> None:
    monkeypatch.setattr(pii_presidio, "engine", None)
    assert "pii-presidio" not in {f.name for f in checked(ROWS).findings}


@pytest.mark.parametrize("processes", [1, 2])
def test_without_presidio_it_says_what_to_install(processes, write, monkeypatch) -> None:
    if processes == 2 and importlib.util.find_spec("presidio_analyzer"):
        pytest.skip("other processes find the one that is installed")
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    sources = find_sources([str(write(ROWS))], Path())
    with pytest.raises(UnreadableDataError) as error:
        check(sources, Wanted(presidio=True), processes)
    assert "ftspec[pii]" in error.value.help


@pytest.mark.filterwarnings("ignore")
def test_the_real_one(write) -> None:
    pytest.importorskip("presidio_analyzer", reason="pip install 'ftspec[pii]'")
    spacy = pytest.importorskip("spacy")
    if not any(map(spacy.util.is_package, pii_presidio.MODELS)):
        pytest.skip("no model of spaCy is installed: python -m spacy download en_core_web_sm")
    found = finding(write(ROWS))
    assert found.evidence["rows"] == [2]
    assert "Dunne" not in str(found.evidence["samples"])
