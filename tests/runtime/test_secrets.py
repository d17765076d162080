"""Tokens reach no log, no event, no ledger."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from troubled import troubled

from ftspec.runtime.secrets import Secrets
from ftspec.runtime.supervise import supervise

TOKEN = "hf_NotARealTokenJustForThisTest"
OTHER = "q7-made-up-4f"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"token {TOKEN}!", "token ***!"),
        (f"key={OTHER};", "key=***;"),
        ("https://me:pa55@host/x", "https://***@host/x"),
        ("git+https://abc@host/x.git", "git+https://***@host/x.git"),
        (
            "GET https://s3/x?X-Amz-Signature=ab12&part=3&token=zz HTTP",
            "GET https://s3/x?X-Amz-Signature=***&part=3&token=*** HTTP",
        ),
        ("Authorization: Bearer abcdef.ghij", "Authorization: Bearer ***"),
        ("step 12: 1,234 tokens/s, key 3", "step 12: 1,234 tokens/s, key 3"),
        ("mail me@host about https://host/a?b=c", "mail me@host about https://host/a?b=c"),
        ("false 1 /home/me/token", "false 1 /home/me/token"),
    ],
)
def test_what_is_hidden_and_what_stays(text: str, shown: str) -> None:
    environment = {
        "HF_TOKEN": TOKEN,
        "WANDB_API_KEY": OTHER,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_TOKEN_PATH": "/home/me/token",
        "X_KEY": "1",
    }
    assert Secrets(environment).hide(text) == shown


def test_what_is_printed_is_cleaned_on_its_way(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = (
        "import os, sys, time\n"
        f"os.write(1, b'a {TOKEN[:9]}'); time.sleep(0.3); os.write(1, b'{TOKEN[9:]}\\nb')\n"
        "os.write(1, b'\\xff 10%\\r 20%\\r')\n"
    )
    scrub = subprocess.Popen(
        [sys.executable, "-m", "ftspec.runtime.scrub", str(log)], stdin=subprocess.PIPE
    )
    subprocess.run([sys.executable, "-c", program], stdout=scrub.stdin, check=True)
    scrub.communicate()
    assert log.read_bytes() == b"a ***\nb\xff 10%\r 20%\r"


class Silent:
    def event(self, event: object) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_run_leaves_no_token_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("MY_SECRET", OTHER)
    url = f"401 for https://user:{OTHER}@hub/x?token={TOKEN}"
    ended = supervise(troubled(tmp_path, {"fails": 78, "at": 1, "says": url}), Silent())
    assert ended.exit == 78
    assert "401 for https://***@hub/x?token=***" in ended.words
    for path in ended.run.path.rglob("*"):
        text = path.read_text() if path.is_file() else ""
        assert TOKEN not in text and OTHER not in text, path
