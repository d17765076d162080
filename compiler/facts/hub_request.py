"""One request to the hub: the config.json of a repository at a revision.

The address is the hub's documented one, `<endpoint>/<id>/resolve/<revision>/config.json`; the
headers X-Repo-Commit and X-Error-Code are those that huggingface_hub reads (`file_download.py`,
`utils/_http.py`).
"""

from __future__ import annotations

import http.client
import os
from email.message import Message
from typing import IO
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ftspec import __version__
from ftspec.compiler.facts.hub import CONFIG, Answer, HubSilentError, commit_in, host

MOST_BYTES = 4 * 2**20  # of a config.json; the longest public ones have about 200 kB
MOST_REDIRECTS = 5


def ask(repository: str, revision: str, seconds: float) -> Answer:
    """Ask for the config.json of `repository`, an address; each wait lasts at most `seconds`.

    Raises HubSilentError where there is none to be had.
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    try:
        redirects = _Redirects(repository, token)
        address = f"{repository}/resolve/{quote(revision, safe='')}/{CONFIG}"
        request = Request(address, headers={"User-Agent": f"ftspec/{__version__}"})
        redirects.authorize(request)
        with build_opener(redirects).open(request, timeout=seconds) as response:
            content: bytes = response.read(MOST_BYTES + 1)
            commit = redirects.commit or commit_in(response.headers.get("X-Repo-Commit"))
    except HTTPError as error:
        error.close()
        words = _refusal(error.code, error.headers, host(repository), bool(token))
        raise HubSilentError(words) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        words = f"{host(repository)} could not be asked: {_reason(error)}"
        raise HubSilentError(words) from None
    if len(content) > MOST_BYTES:
        raise HubSilentError(f"{host(repository)} answered with more than {MOST_BYTES:,} bytes")
    return Answer(content, commit)


class _Redirects(HTTPRedirectHandler):
    """Follows redirects, with the token only to the scheme, host and port that were asked."""

    max_redirections = MOST_REDIRECTS

    def __init__(self, repository: str, token: str) -> None:
        self._origin = urlsplit(repository)[:2]
        self._token = token if token.isascii() and token.isprintable() and " " not in token else ""
        self.commit: str | None = None

    def authorize(self, request: Request) -> None:
        """Add the token where the request goes to the hub itself."""
        if self._token and urlsplit(request.full_url)[:2] == self._origin:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        """Return the next request; another scheme than http and https is refused."""
        self.commit = self.commit or commit_in(headers.get("X-Repo-Commit"))
        if urlsplit(newurl).scheme not in ("https", "http"):
            raise HTTPError(newurl, code, "redirect to another scheme", headers, fp)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if request is not None:
            self.authorize(request)
        return request


def _reason(error: Exception) -> str:
    """Name an error; the words of one about a header could show the token, so it has none."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return "it timed out" if isinstance(reason, TimeoutError) else type(reason).__name__


def _refusal(code: int, headers: Message, where: str, token: bool) -> str:
    """Say what an HTTP status means; X-Error-Code is the hub's own word for it."""
    kind = headers.get("X-Error-Code") or ""
    if kind == "RevisionNotFound":
        return f"{where} knows no such revision of it"
    if kind == "EntryNotFound":
        return f"{where} has it, but without a config.json"
    if code in (401, 403):
        have = "HF_TOKEN does not open it" if token else "HF_TOKEN is not set"
        return f"{where} has no such model, or it is gated or private ({code}): {have}"
    if code == 404:
        return f"{where} has no such model, or it has no config.json ({code})"
    return f"{where} answered with status {code}"
