"""A real browser looks at a page."""

import shutil
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome to look at the page with")


def look(page: Path, size: tuple[int, int], home: Path) -> tuple[str, np.ndarray]:
    """Return a page's document as it stands in the browser, and its pixels, (height, width, 3).

    Fails where the browser complains of anything: what is blocked, what cannot be fetched, what went wrong in a script.
    """
    shot = home / "shot.png"
    done = _run("--virtual-time-budget=2000", "--dump-dom", page.as_uri(), home=home)
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]  # the browser's own services may miss their network
    _run(f"--screenshot={shot}", f"--window-size={size[0]},{size[1]}", "--hide-scrollbars", page.as_uri(), home=home)
    with Image.open(shot) as opened:
        pixels = np.asarray(opened.convert("RGB"), int)
    assert pixels.shape[:2] == size[::-1]
    return done.stdout, pixels


def _run(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--enable-logging=stderr", f"--user-data-dir={home / 'browser'}", "--disable-background-networking",
        "--proxy-server=127.0.0.1:9",
    ]  # fmt: skip
    run = partial(subprocess.run, [*command, *words], capture_output=True, text=True, timeout=120, check=True)
    for _ in range(2):  # a first start on a busy machine may not get through
        with suppress(subprocess.SubprocessError):
            return run()
    return run()
