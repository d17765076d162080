"""What was counted of rows in tokens: sums of each file, and the rows that training would lose."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ftspec.doctor.data.noted import Noted


@dataclass(slots=True)
class Sums:
    """Sums over the rows of one file, in tokens; `kept`: lengths after the cut, in file order."""

    lengths: Counter[int] = field(default_factory=Counter)
    supervised: int = 0
    cut: int = 0
    refused: int = 0
    padded: int = 0
    kept: array[int] = field(default_factory=lambda: array("I"))

    def add(self, length: int, kept: int, supervised: int) -> None:
        """Count a row."""
        self.lengths[length] += 1
        self.supervised += supervised
        self.cut += length - kept
        self.kept.append(kept)

    def take(self, later: Sums, batch_size: int) -> None:
        """Add the rows that follow; whole batches become tokens computed, padding included."""
        self.lengths.update(later.lengths)
        self.supervised += later.supervised
        self.cut += later.cut
        self.refused += later.refused
        self.kept.extend(later.kept)
        whole = len(self.kept) // batch_size * batch_size
        for at in range(0, whole, batch_size):
            self.padded += max(self.kept[at : at + batch_size]) * batch_size
        del self.kept[:whole]


class Counted:
    """Sums of each file, and for each rule the rows it found."""

    def __init__(self, batch_size: int, max_length: int | None) -> None:
        self._batch_size, self._max_length = batch_size, max_length
        self._sums: dict[int, Sums] = {}
        self.found: dict[str, Noted] = {}

    def of(self, file: int) -> Sums:
        """Return the sums of a file."""
        return self._sums.setdefault(file, Sums())

    def take(self, later: Counted) -> None:
        """Add what was counted of rows that follow."""
        for file, sums in later._sums.items():
            self.of(file).take(sums, self._batch_size)
        for rule, noted in later.found.items():
            self.found.setdefault(rule, Noted()).take(noted)

    def indicators(self, file: int) -> dict[str, Any]:
        """Return what was measured of a file: lengths in tokens and shares from 0 to 1."""
        sums = self._sums.get(file)
        if sums is None or not sums.lengths:
            return {}
        rows = sums.lengths.total()
        total = sum(length * count for length, count in sums.lengths.items())
        padded = sums.padded + (max(sums.kept) * len(sums.kept) if sums.kept else 0)
        return {
            "rows_measured": rows,
            "tokens": total,
            "mean_length": total / rows,
            "median_length": _quantile(sums.lengths, 0.5),
            "p99_length": _quantile(sums.lengths, 0.99),
            "longest": max(sums.lengths),
            **({"max_length": self._max_length} if self._max_length else {}),
            "tokens_cut": sums.cut,
            "supervised_share": sums.supervised / total if total else 0.0,
            "batch_size": self._batch_size,
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
