"""The config.json of a hub id: from the hub's cache on this machine, else from the hub itself.

Plain files and urllib, without huggingface_hub, whose import alone takes longer than `check` may.
Layout of the cache and names of the variables: huggingface_hub, "Understand caching" and
"Environment variables".
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

CONFIG = "config.json"
ENDPOINT = "https://huggingface.co"
SECONDS = 3.0  # the answer must be whole by then, name look-up and redirects among it
_WORD = frozenset("_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_HEX = frozenset("0123456789abcdef")
_TRUE = {"1", "on", "yes", "true"}


class HubSilentError(Exception):
    """The hub gave no config.json; the message says what was tried, and how it went."""


class Snapshot(NamedTuple):
    """A commit of a repository in the cache; `folder` holds those of its files that were asked."""

    folder: Path
    commit: str


class Answer(NamedTuple):
    """What the hub answered: the bytes of config.json, and of which commit (None: not said)."""

    content: bytes
    commit: str | None


def is_id(name: str) -> bool:
    """Say whether a name has the form of a hub id: `model` or `owner/model`."""
    parts = name.split("/")
    return len(parts) <= 2 and "--" not in name and all(_is_word(part, 96) for part in parts)


def cached(name: str, revision: str | None = None) -> Snapshot | None:
    """Find a snapshot with a config.json in the hub's cache; None where there is none.

    Without a revision it is what `main` was when it was last asked, or the only one there.
    """
    if not is_id(name) or not _is_revision(revision):
        return None
    place = cache_folder() / f"models--{name.replace('/', '--')}"
    try:
        commit = _commit(place, revision)
        folder = place / "snapshots" / commit if commit else None
        if commit and folder and (folder / CONFIG).is_file():
            return Snapshot(folder, commit)
    except (OSError, ValueError):
        return None  # a cache that cannot be read is no cache
    return None


def fetch(name: str, revision: str | None = None) -> Answer:
    """Ask the hub for a model's config.json, and for nothing else.

    HF_ENDPOINT names another hub, HF_HUB_OFFLINE forbids to ask, HF_TOKEN goes to the endpoint's
    host alone. Raises HubSilentError after at most `SECONDS`.
    """
    if not is_id(name):
        raise HubSilentError("it has not the form of a hub id")
    if not _is_revision(revision):
        raise HubSilentError(f"`{str(revision)[:60]}` is no revision")
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(variable, "").strip().lower() in _TRUE:
            raise HubSilentError(f"the hub was not asked: {variable} is set")
    endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).strip().rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        raise HubSilentError("the hub was not asked: HF_ENDPOINT is no http address")
    outcome = _outcome(SECONDS, endpoint, name, revision or "main")
    if isinstance(outcome, str):
        raise HubSilentError(outcome)
    return outcome


def cache_folder() -> Path:
    """Return where the hub's libraries keep what they downloaded."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser()
    home = os.environ.get("HF_HOME")
    if not home:
        home = f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    return Path(home).expanduser() / "hub"


def _is_revision(revision: str | None) -> bool:
    return revision is None or all(_is_word(part, 128) for part in revision.split("/"))


def _is_word(text: str, longest: int) -> bool:
    """Say whether a text is harmless in a path and an address."""
    plain = bool(text) and len(text) <= longest and _WORD.issuperset(text[0])
    return plain and ".." not in text and (_WORD | {".", "-"}).issuperset(text)


def _commit(place: Path, revision: str | None) -> str | None:
    """Return the commit that a revision stands for in a repository's cache."""
    snapshots = place / "snapshots"
    if revision and commit_in(revision) and (snapshots / revision).is_dir():
        return revision
    reference = place / "refs" / (revision or "main")
    if reference.is_file():
        return commit_in(reference.read_text(encoding="utf-8"))
    if revision or not snapshots.is_dir():
        return None
    found = [folder.name for folder in snapshots.iterdir() if commit_in(folder.name)]
    return found[0] if len(found) == 1 else None


@cache  # a plan may be made several times over, and the hub is asked once
def _outcome(seconds: float, endpoint: str, name: str, revision: str) -> Answer | str:
    """Return the answer, or why there is none.

    It is asked for in a thread: no time limit of a socket covers the look-up of the host's name.
    """
    import threading

    from ftspec.compiler.facts.hub_request import ask as request

    outcomes: list[Answer | str] = []

    def ask() -> None:
        try:
            outcomes.append(request(f"{endpoint}/{name}", revision, seconds))
        except HubSilentError as error:
            outcomes.append(str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    late = f"{host(endpoint)} did not answer within {seconds:g} s"
    return outcomes[0] if outcomes else late


def host(address: str) -> str:
    """Return an address's host, without what may be secret in it."""
    return address.partition("://")[2].partition("/")[0].rpartition("@")[2][:60]


def commit_in(text: str | None) -> str | None:
    """Return the commit that a text is, None where it is none."""
    commit = (text or "").strip()
    return commit if 7 <= len(commit) <= 64 and _HEX.issuperset(commit) else None
