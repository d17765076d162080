"""A page in a real browser, driven over Chromium's DevTools pipe: real keys, its own policy kept.

https://chromedevtools.github.io/devtools-protocol/: JSON messages that end in a zero byte, on the
descriptors 3 (to the browser) and 4 (from it), with --remote-debugging-pipe.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

SECONDS = 120  # the first start of a browser on a busy machine
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Backspace": 8}


class Page:
    """A page; what it threw, and what its policy refused, is in `errors`."""

    def __init__(self, program: str, profile: Path, downloads: Path) -> None:
        to_browser, ours_out = os.pipe()
        ours_in, from_browser = os.pipe()
        self._out, self._in = os.fdopen(ours_out, "wb", 0), ours_in
        self._left, self._number, self.errors = b"", 0, list[str]()
        self._session: str | None = None
        self._process = _start(program, profile, to_browser, from_browser)
        os.close(to_browser)
        os.close(from_browser)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.call("Page.enable")
        self.call("Runtime.enable")
        self.call("Log.enable")
        behaviour = {"behavior": "allow", "downloadPath": str(downloads)}
        self.call("Browser.setDownloadBehavior", **behaviour)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session and not method.startswith("Browser."):
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, path: Path) -> None:
        """Open a file, and wait until it is loaded."""
        self.call("Page.navigate", url=path.as_uri())
        until = time.monotonic() + SECONDS
        while self.run("document.readyState") != "complete" or not self.run("location.href"):
            assert time.monotonic() < until, "the page does not load"
            time.sleep(0.05)

    def run(self, code: str) -> Any:
        """Return the value of an expression in the page; a promise is waited for."""
        words = {"expression": code, "returnByValue": True, "awaitPromise": True}
        found = self.call("Runtime.evaluate", **words)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys, as a person does."""
        for key in keys:
            text = {} if key in KEYS else {"text": key}
            code = KEYS.get(key) or ord(key.upper())
            for kind in ("keyDown", "keyUp"):
                words = {"type": kind, "key": key, "windowsVirtualKeyCode": code}
                self.call("Input.dispatchKeyEvent", **words, **(text if kind == "keyDown" else {}))

    def give_file(self, selector: str, path: Path) -> None:
        """Choose a file in an input, as a person does in the dialog."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def look(self, width: int, height: int, scheme: str, *, mobile: bool = False) -> None:
        """Give the window a size, and the system a colour scheme."""
        words = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **words)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def picture(self, path: Path) -> None:
        """Write what is seen, down to the page's end, as a PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        self._out.close()
        os.close(self._in)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            some = os.read(self._in, 1 << 16)
            assert some, "the browser has gone"
            self._left += some
        line, _, self._left = self._left.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        told = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(told["exceptionDetails"]))
        if message.get("method") == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(told["entry"]["text"])
        return message


def _start(
    program: str, profile: Path, to_browser: int, from_browser: int
) -> subprocess.Popen[bytes]:
    # The shell puts the pipes where the browser looks for them.
    pipes = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$0" "$@"'
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    options += [f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    return subprocess.Popen(
        ["bash", "-c", pipes, program, *options],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
