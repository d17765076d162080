"""The hub: its cache on this machine, and a server here that plays it. The network is not used."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from world import LLAMA, write_tokenizer

from ftspec.compiler.facts import hub
from ftspec.compiler.facts.catalogue import known_config, known_parameters
from ftspec.compiler.facts.hub_request import MOST_BYTES
from ftspec.compiler.facts.model import ModelFacts, ModelUnreadableError, resolve_model

COMMIT, OTHER = "a" * 40, "b" * 40
NAME = "nobody/nothing-7b"
TOKEN = "hf_secret"


class Server:
    """A hub of one's own: path -> (status, headers, body, seconds to wait), and what was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes, float]] = {}
        self.asked: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers.get("Authorization")))
                status, headers, body, wait = server.pages.get(self.path, (404, {}, b"", 0.0))
                time.sleep(wait)
                with suppress(ConnectionError):  # a client that heard enough goes away
                    self.send_response(status)
                    for key, value in headers.items():
                        self.send_header(key, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def page(
        self,
        path: str = f"/{NAME}/resolve/main/config.json",
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        body: bytes = json.dumps(LLAMA).encode(),
        wait: float = 0.0,
    ) -> None:
        self.pages[path] = (status, headers or {}, body, wait)

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture(autouse=True)
def _nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("no_proxy", "*")
    hub._outcome.cache_clear()


def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    yield server
    server.close()


server = pytest.fixture(serve, name="server")
other = pytest.fixture(serve, name="other")


def snapshot(home: Path, name: str, commit: str = COMMIT, config: Any = LLAMA) -> Path:
    """Lay a snapshot into the cache as huggingface_hub does, without its links."""
    place = home / "hub" / f"models--{name.replace('/', '--')}"
    folder = place / "snapshots" / commit
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / "main").write_text(commit)
    return folder


def unknown(tmp_path: Path, revision: str | None = None) -> str:
    """Resolve a name that the hub does not give; return the note."""
    facts = resolve_model(NAME, tmp_path, revision)
    assert (facts.source, facts.shape, facts.config) == ("unknown", None, None)
    assert "not in the catalogue, no local folder, not in the hub's cache" in facts.note
    return facts.note


def test_only_the_config_is_asked_for(server: Server, tmp_path: Path) -> None:
    server.page(headers={"X-Repo-Commit": COMMIT})
    facts = resolve_model(NAME, tmp_path)
    assert (facts.source, facts.revision, facts.config) == ("hub", COMMIT, LLAMA)
    assert facts.shape is not None and facts.parameters == facts.shape.parameters
    assert not facts.local and not facts.tokenizer_known
    assert server.asked == [(f"/{NAME}/resolve/main/config.json", None)]


def test_a_revision_is_asked_for(server: Server, tmp_path: Path) -> None:
    server.page(f"/{NAME}/resolve/refs%2Fpr%2F1/config.json", headers={"X-Repo-Commit": OTHER})
    assert resolve_model(NAME, tmp_path, "refs/pr/1").revision == OTHER
    assert "no such model" in unknown(tmp_path, "v2")
    assert "`../../x` is no revision" in unknown(tmp_path, "../../x")
    assert len(server.asked) == 2


def test_a_commit_that_is_none_is_not_recorded(server: Server, tmp_path: Path) -> None:
    server.page(headers={"X-Repo-Commit": "main; rm -rf"})
    assert resolve_model(NAME, tmp_path).revision is None


def test_a_renamed_model_is_followed(server: Server, tmp_path: Path) -> None:
    headers = {"Location": "/somebody/new/resolve/main/config.json", "X-Repo-Commit": COMMIT}
    server.page(status=307, headers=headers)
    server.page("/somebody/new/resolve/main/config.json")
    assert resolve_model(NAME, tmp_path).revision == COMMIT


def test_the_token_goes_to_the_endpoint_alone(
    other: Server, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", f" {TOKEN}\n")
    target = "/somebody/new/resolve/main/config.json"
    server.page(status=307, headers={"Location": target})
    server.page(target, status=302, headers={"Location": f"{other.address}/elsewhere"})
    other.page("/elsewhere")
    facts = resolve_model(NAME, tmp_path)
    assert facts.source == "hub" and TOKEN not in repr(facts)
    assert [token for _, token in server.asked] == [f"Bearer {TOKEN}"] * 2
    assert other.asked == [("/elsewhere", None)]


@pytest.mark.parametrize("token", ["hf_se\ncret", "hf_sécret", "hf_se cret", "hf_se\x7fcret"])
def test_a_token_that_is_none_is_neither_sent_nor_shown(
    token: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    server.page(status=401)
    note = unknown(tmp_path)
    assert "cret" not in note and server.asked[0][1] is None


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, "", r"no such model, or it is gated or private \(401\): HF_TOKEN is not set"),
        (403, "GatedRepo", r"gated or private \(403\)"),
        (404, "RepoNotFound", r"no such model, or it has no config.json \(404\)"),
        (404, "EntryNotFound", "has it, but without a config.json"),
        (404, "RevisionNotFound", "knows no such revision of it"),
        (429, "", "answered with status 429"),
        (503, "", "answered with status 503"),
    ],
)
def test_a_refusal_is_told(
    status: int, kind: str, words: str, server: Server, tmp_path: Path
) -> None:
    server.page(status=status, headers={"X-Error-Code": kind}, body=b"<html>")
    assert re.search(words, unknown(tmp_path))


def test_a_token_that_does_not_help_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.page(status=403)
    note = unknown(tmp_path)
    assert "HF_TOKEN does not open it" in note and TOKEN not in note


def test_redirects_end(server: Server, tmp_path: Path) -> None:
    path = f"/{NAME}/resolve/main/config.json"
    server.page(status=302, headers={"Location": path})
    assert "answered with status 302" in unknown(tmp_path)


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/x", "gopher://x"])
def test_a_redirect_to_another_scheme_is_not_followed(
    place: str, server: Server, tmp_path: Path
) -> None:
    server.page(status=302, headers={"Location": place})
    assert "answered with status 302" in unknown(tmp_path)


def test_the_hub_is_asked_once(server: Server, tmp_path: Path) -> None:
    server.page(status=503)
    assert unknown(tmp_path) == unknown(tmp_path)
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff\xfe\x00", b"[" * 99_999])
def test_an_answer_that_is_no_config_is_refused(
    body: bytes, server: Server, tmp_path: Path
) -> None:
    server.page(body=body)
    with pytest.raises(ModelUnreadableError, match=f"`{NAME}/config.json`"):
        resolve_model(NAME, tmp_path)


def test_an_answer_without_end_is_cut(server: Server, tmp_path: Path) -> None:
    server.page(body=b" " * (MOST_BYTES + 1))
    assert "more than 4,194,304 bytes" in unknown(tmp_path)


def test_nobody_there_is_told(tmp_path: Path) -> None:
    assert "127.0.0.1:9 could not be asked: Connection refused" in unknown(tmp_path)


def test_silence_is_not_waited_for(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "SECONDS", 0.2)
    server.page(wait=1.0)
    note = unknown(tmp_path)
    assert "did not answer within 0.2 s" in note or "timed out" in note


def test_a_name_server_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_: object, **__: object) -> list[Any]:
        time.sleep(1)
        raise socket.gaierror(-2, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(hub, "SECONDS", 0.1)
    assert "did not answer within 0.1 s" in unknown(tmp_path)


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_nothing_is_asked(
    variable: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "YES")
    server.page()
    assert f"the hub was not asked: {variable} is set" in unknown(tmp_path)
    assert not server.asked
    monkeypatch.setenv(variable, "0")
    assert resolve_model(NAME, tmp_path).source == "hub"


def test_an_endpoint_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    assert "HF_ENDPOINT is no http address" in unknown(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://user:word@127.0.0.1:9")
    assert "word" not in unknown(tmp_path)


@pytest.mark.parametrize("name", ["a b", "a--b/c", "ä/b", "a..b", "-a/b", "x" * 99, "a/b?c", "a\n"])
def test_what_is_no_id_is_not_asked_for(name: str, server: Server, tmp_path: Path) -> None:
    facts = resolve_model(name, tmp_path)
    assert facts.source == "unknown" and "has not the form of a hub id" in facts.note
    assert hub.cached(name) is None and not server.asked


def test_what_was_downloaded_works_offline(tmp_path: Path, server: Server) -> None:
    folder = snapshot(tmp_path / "home", NAME)
    write_tokenizer(folder)
    facts = resolve_model(NAME, tmp_path)
    assert (facts.source, facts.revision, facts.config) == ("hub", COMMIT, LLAMA)
    assert facts.tokenizer_file == folder / "tokenizer.json" and facts.tokenizer_known
    assert facts.chat_template and facts.special_tokens == {"eos_token": "<|end|>"}
    assert not facts.local and facts.folder is None  # the scripts name the hub id
    assert not server.asked


def test_a_config_that_was_downloaded_alone_says_nothing_of_the_tokenizer(tmp_path: Path) -> None:
    snapshot(tmp_path / "home", NAME)
    facts = resolve_model(NAME, tmp_path)
    assert (facts.tokenizer_file, facts.tokenizer_known) == (None, False)


def test_a_download_wins_over_the_catalogue(tmp_path: Path) -> None:
    known = known_config("gpt2")
    snapshot(tmp_path / "home", "gpt2", config=known)
    facts = resolve_model("gpt2", tmp_path)
    assert (facts.source, facts.revision) == ("hub", COMMIT)
    assert facts.parameters == known_parameters("gpt2")


def test_the_newest_main_counts_and_a_revision_is_found(tmp_path: Path) -> None:
    home = tmp_path / "home"
    snapshot(home, NAME, OTHER, LLAMA | {"vocab_size": 500})
    snapshot(home, NAME, COMMIT)

    def vocab(facts: ModelFacts) -> int | None:
        return facts.shape.vocab if facts.shape else None

    assert vocab(resolve_model(NAME, tmp_path)) == 400
    assert vocab(resolve_model(NAME, tmp_path, OTHER)) == 500
    refs = home / "hub" / f"models--{NAME.replace('/', '--')}" / "refs"
    (refs / "v1").write_text(OTHER)
    assert resolve_model(NAME, tmp_path, "v1").revision == OTHER
    assert "could not be asked" in unknown(tmp_path, "v2")
    (refs / "main").unlink()
    assert "could not be asked" in unknown(tmp_path)  # which of the two, nobody can say


def test_a_cache_of_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot(tmp_path, NAME)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert hub.cached(NAME) == hub.Snapshot(
        tmp_path / "hub" / f"models--{NAME.replace('/', '--')}" / "snapshots" / COMMIT, COMMIT
    )
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert hub.cache_folder() == tmp_path / "huggingface" / "hub"


@pytest.mark.parametrize("reference", ["", "../../../etc", "\udcff", "main"])
def test_a_cache_that_lies_is_no_cache(reference: str, tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "home", NAME)
    main = folder.parents[1] / "refs" / "main"
    main.write_bytes(reference.encode("utf-8", "surrogateescape"))
    assert hub.cached(NAME) is None


def test_a_broken_download_is_said(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "home", NAME, config=LLAMA | {"hidden_size": -1})
    with pytest.raises(ModelUnreadableError, match=f"`{NAME}/config.json`: `hidden_size` is -1"):
        resolve_model(NAME, tmp_path)
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(folder / "gone")
    assert hub.cached(NAME) is None
