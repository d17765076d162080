"""Answers to judge, made in a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EVIL = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
)


def review_json(count: int = 6, **changes: Any) -> dict[str, Any]:
    """Return what review.py writes; the second prompt's texts are markup and a script."""
    items = [
        {
            "id": number,
            "row": 2 * number,
            "turns": [{"role": "user", "content": f"question {number} {EVIL * (number == 2)}"}],
            "expected": f"expected {number}",
            "base": {"text": f"base says {number} {EVIL * (number == 2)}", "ended": number != 3},
            "tuned": {"text": f"tuned says {number}", "ended": True},
        }
        for number in range(1, count + 1)
    ]
    facts = {"schema_version": 1, "seed": 42, "rows": count, "max_new_tokens": 256}
    return {**facts, "items": items, **changes}


def write_review(path: Path, count: int = 6, **changes: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(review_json(count, **changes)), encoding="utf-8")
    return path
