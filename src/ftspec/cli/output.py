"""What verbs print: JSON in any encoding, commands to type next, lines as wide as the terminal."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from typing import Any

from ftspec.cli.paint import speaks_unicode

PIPE_WIDTH = 100  # where standard output is no terminal


def print_json(document: Any) -> None:
    """Print one JSON document; escaped where the stream's encoding has only some characters."""
    print(json.dumps(document, indent=2, ensure_ascii=not speaks_unicode(sys.stdout)))


def command(*words: str | None) -> str:
    """Return a line to type: `ftspec` and the words, quoted for a shell; None is left out."""
    return shlex.join(["ftspec", *(word for word in words if word is not None)])


def width() -> int:
    """Return how many columns a line may have."""
    return max(40, shutil.get_terminal_size((PIPE_WIDTH, 24)).columns)
