"""How what a run left loads in plain transformers and peft: the lines that train.py wrote."""

from __future__ import annotations

import json

from ftspec.runtime.state import RunFolder


def load_lines(run: RunFolder) -> list[str]:
    """Return Python that loads a finished run's `final/`; none where base.json does not say."""
    final = run.path / "final"
    try:
        lines = json.loads((final / "base.json").read_text(encoding="utf-8"))["load"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [str(line).replace("FINAL", repr(str(final))) for line in lines]
