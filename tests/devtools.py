"""A real browser, driven through the pipe that Chromium offers for it: no library stands between test and page."""

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
SECONDS = 60.0  # for an answer: a first start on a busy machine takes long

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome to look at the page with")


@dataclass
class Page:
    """One page: what it says to its console, and what it asked the network for."""

    _into: BinaryIO
    _from: int
    session: str = ""
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _number: int = 0
    _buffer: bytes = b""

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self._into.write(json.dumps(message).encode() + b"\0")
        self._into.flush()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            answer = self._read(until)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)
        raise TimeoutError(f"the browser does not answer to {method}")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, awaited, in the page."""
        done = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def open(self, file: Path) -> None:
        """Open a file from disk and wait until its script has run and it was painted."""
        self.ask("Page.navigate", url=file.as_uri())
        until = time.monotonic() + SECONDS
        while self.evaluate("document.readyState") != "complete" or "://" not in self.evaluate("location.href"):
            assert time.monotonic() < until, "the page does not load"
        self.settle()

    def settle(self) -> None:
        """Wait for two frames."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def press(self, key: str) -> None:
        text = key if len(key) == 1 else "\r" if key == "Enter" else ""
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.settle()

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", stop), ("mouseReleased", stop)):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def _read(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return {}
            data = os.read(self._from, 1 << 16)
            assert data, "the browser has gone"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled":
                self.complaints.append(json.dumps(message["params"])[:1000])


@contextmanager
def browse(home: Path, width: int = 1200, height: int = 800) -> Iterator[Page]:
    """Start a headless browser with a home of its own and give a page; it has no network."""
    to_browser, from_us = os.pipe()
    from_browser, to_us = os.pipe()
    child = [fcntl.fcntl(each, fcntl.F_DUPFD, 20) for each in (to_browser, to_us)]  # out of the way of 3 and 4

    def connect() -> None:
        os.dup2(child[0], 3)
        os.dup2(child[1], 4)

    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--remote-debugging-pipe", f"--user-data-dir={home / 'browser'}", f"--window-size={width},{height}",
        "--disable-background-networking", "--proxy-server=127.0.0.1:9", "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False,
        preexec_fn=connect,  # noqa: PLW1509 - nothing else gives a child these two numbers
    )  # fmt: skip
    for each in (to_browser, to_us, *child):
        os.close(each)
    try:
        with os.fdopen(from_us, "wb") as into:
            page = Page(into, from_browser)
            target = page.ask("Target.createTarget", url="about:blank")["targetId"]
            page.session = page.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                page.ask(f"{domain}.enable")
            page.ask("Page.bringToFront")
            page.ask(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
            yield page
    finally:
        process.kill()
        process.wait(30)
        with contextlib.suppress(OSError):
            os.close(from_browser)
