"""Judging answers blind: base and tuned side by side, by a person, on a page or in a terminal."""
