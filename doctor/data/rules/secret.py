"""Texts with keys and tokens.

What it finds
    Keys and tokens by the form that their provider gives them: AWS, Anthropic, GitHub, GitLab,
    Google, Hugging Face, npm, OpenAI, PyPI, SendGrid, Slack, Stripe, Telegram; private
    keys in PEM; JSON web tokens. A form that only repeats a character or says that it is a
    placeholder is none.

Why it matters
    Whoever has the model, or the data, has the key. A key in a data set is a key that was
    published: it is to be revoked, not only removed.

Evidence it needs
    One row.

Example
    ```
    "client = OpenAI(api_key=sk-proj-...)"
    ```

What to do
    Revoke the key, then remove it. `ftspec data clean --fix secret` puts a word in its place.

References
    The providers' own documents; forms as in detect-secrets 1.5 and gitleaks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.doctor.data.example import Example, holds
from ftspec.doctor.data.hits import Hit, Hits, told
from ftspec.spec.finding import Finding, Severity
from ftspec.spec.rule import Rule

# All secrets but the last kind have so many letters, digits, _ and - in a row: most rows do not.
RUN = 16
_IN_SECRETS = bytes(
    ord("x") if chr(byte).isalnum() and byte < 128 or byte in b"_-" else ord(" ")
    for byte in range(256)
)
# What a secret of a kind always holds.
MARKS = (
    *(b"sk_", b"rk_", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_", b"hf_", b"npm_"),
    *(b"sk-", b"glpat-", b"pypi-", b"xox", b"AKIA", b"ASIA", b"AIza", b"SG.", b"slack.com"),
    *(b"eyJ", b":AA"),
)
_KINDS = (
    ("an Anthropic key", r"sk-ant-[A-Za-z0-9_\-]{20,120}"),
    ("an OpenAI key", r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_\-]{20,200}|sk-[A-Za-z0-9]{32,64}"),
    ("a Stripe key", r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,128}"),
    ("an AWS key", r"(?:AKIA|ASIA)[A-Z2-7]{16}"),
    ("a GitHub token", r"gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{60,100}"),
    ("a GitLab token", r"glpat-[A-Za-z0-9_\-]{20,64}"),
    ("a Google key", r"AIza[A-Za-z0-9_\-]{35}"),
    ("a Hugging Face token", r"hf_[A-Za-z]{34}"),
    ("an npm token", r"npm_[A-Za-z0-9]{36}"),
    ("a PyPI token", r"pypi-AgE[A-Za-z0-9_\-]{50,250}"),
    ("a SendGrid key", r"SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}"),
    ("a Slack token", r"xox[abeoprs]-(?:[A-Za-z0-9]{1,14}-){1,4}[A-Za-z0-9]{10,64}"),
    (
        "a Slack webhook",
        r"hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,26}",
    ),
    ("a Telegram token", r"\d{8,10}:AA[A-Za-z0-9_\-]{33}"),
    ("a JSON web token", r"eyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}"),
    (
        "a private key",
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----[\s\S]{40,}?"
        r"(?:-----END (?:[A-Z]+ )*PRIVATE KEY-----|\Z)",
    ),
)
_SECRET = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:" + "|".join(f"({form})" for _, form in _KINDS) + r")(?![A-Za-z0-9])"
)
_NONE = re.compile(r"(.)\1{7}|EXAMPLE|example|your|YOUR|placeholder|redacted|x{6}|1234567890abcdef")


def spans(text: str) -> list[tuple[int, int]]:
    """Return where secrets stand."""
    return [match.span() for match in _matches(text)]


def kind_of(text: str, start: int) -> str:
    """Return the kind of the secret that begins at a place."""
    match = _SECRET.match(text, start)
    return _KINDS[match.lastindex - 1][0] if match and match.lastindex else "a secret"


def _matches(text: str) -> Iterator[re.Match[str]]:
    for match in _SECRET.finditer(text):
        if not _NONE.search(match[0][:200]) and (len(set(match[0])) > 8 or "PRIVATE" in match[0]):
            yield match


def look(example: Example) -> Hit | None:
    """Return what a row holds of it."""
    encoded = example.encoded
    if b"PRIVATE KEY-----" not in encoded and (
        b"x" * RUN not in encoded.translate(_IN_SECRETS) or not holds(encoded, MARKS)
    ):
        return None
    found = spans(example.text)
    if not found:
        return None
    start = found[0][0]
    return Hit(f"holds {kind_of(example.text, start)}", example.text, start)


def find(hits: Hits) -> Iterator[Finding]:
    """Yield the finding for secrets."""
    yield from told(
        RULE,
        hits,
        "{rows} hold{s} secrets",
        help="revoke it; then `ftspec data clean --fix secret` puts a word in its place",
        confidence=0.95,
    )


RULE = Rule("FT537", "secret", Severity.ERROR, find)
