"""Rows that may be at fault, in a few bytes each, until the whole file has been seen."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator

from ftspec.doctor.data.hits import SHOWN, Found, Hit
from ftspec.doctor.data.places import pack, unpack
from ftspec.doctor.data.record import Record


class Noted:
    """Notes rows under a label, with words; 20 bytes a row. The first few keep their texts."""

    def __init__(self) -> None:
        self._places, self._lines, self._said = array("Q"), array("Q"), array("I")
        self._words: dict[tuple[str, str], int] = {}  # label and words -> their number
        self._texts: dict[int, tuple[str, str, int]] = {}  # place -> label, text, where to look
        self._kept: dict[tuple[int, str], int] = {}  # file and label -> texts that are kept

    def note(self, file: int, record: Record, label: str, hit: Hit) -> None:
        """Note a row."""
        place = pack(file, record.number)
        number = self._words.setdefault((label, hit.words), len(self._words))
        self._places.append(place)
        self._lines.append(record.line or 0)
        self._said.append(number)
        kept = self._kept.get((file, label), 0)
        if kept < SHOWN and hit.sample:
            self._kept[file, label] = kept + 1
            cut = hit.cut()
            self._texts[place] = label, cut.sample, cut.start

    def take(self, later: Noted) -> None:
        """Note what was noted of later rows."""
        numbers = [self._words.setdefault(key, len(self._words)) for key in later._words]
        self._places.extend(later._places)
        self._lines.extend(later._lines)
        self._said.extend(map(numbers.__getitem__, later._said))
        for place, text in later._texts.items():
            key = unpack(place)[0], text[0]
            kept = self._kept.get(key, 0)
            if kept < SHOWN:
                self._kept[key] = kept + 1
                self._texts[place] = text

    def found(self, passes: Callable[[int, str], bool]) -> Iterator[Found]:
        """Yield the rows whose file and label pass."""
        words = list(self._words)
        for place, line, said in zip(self._places, self._lines, self._said, strict=True):
            file, row = unpack(place)
            label, text = words[said]
            if passes(file, label):
                _, sample, start = self._texts.get(place, ("", "", 0))
                yield Found(file, row, line or None, Hit(text, sample, start))
