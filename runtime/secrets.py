"""What must not reach a log, an event or a ledger: tokens of the environment and in addresses."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

HIDDEN = "***"
SHORTEST = 8  # characters; shorter values (`1`, `true`, `default`) are no secrets

# HF_TOKEN, WANDB_API_KEY, AWS_SECRET_ACCESS_KEY; not TOKENIZERS_PARALLELISM.
NAME = re.compile(r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|KEY|APIKEY|CREDENTIALS?|PAT)(_|$)")
# What a value of such a name may be instead: a path, or where a secret lies.
ELSEWHERE = re.compile(r"(_PATH|_FILE|_DIR)$")

TEXT = re.compile(
    r"(?P<user>(?<=://)[^/\s@\"']+(?=@))"
    r"|(?P<query>(?<=[?&])(?P<key>[\w-]*(?:token|secret|signature|credential|password|key))"
    r"=[^&\s\"'<>]+)"
    r"|(?P<bearer>\b(?:bearer|basic) +)[\w.~+/=-]{8,}"
    r"|\bhf_\w{16,}",
    re.IGNORECASE,
)


class Secrets:
    """The secrets of an environment, read once; replaces them in texts."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        known = os.environ if environment is None else environment
        values = {
            value
            for name, value in known.items()
            if NAME.search(name.upper())
            and not ELSEWHERE.search(name.upper())
            and len(value) >= SHORTEST
            and not value.startswith("/")
        }
        self._values = sorted(values, key=len, reverse=True)  # one may hold another

    def hide(self, text: str) -> str:
        """Return a text with secrets replaced by `***`; what stands around them stays."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return TEXT.sub(_hidden, text)


def _hidden(match: re.Match[str]) -> str:
    if match["query"]:
        return f"{match['key']}={HIDDEN}"
    return f"{match['bearer'] or ''}{HIDDEN}"
