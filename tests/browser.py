"""A real browser looks at a page."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.devtools import browse


def look(file: Path, size: tuple[int, int], home: Path) -> tuple[str, np.ndarray]:
    """Return a page's document as it stands in the browser, and its pixels, (height, width, 3).

    Fails where the browser complains of anything: what is blocked, what cannot be fetched, what went wrong in a script.
    """
    with browse(home, *size) as page:
        page.ask("Emulation.setScrollbarsHidden", hidden=True)
        page.open(file)
        text = page.evaluate("document.documentElement.outerHTML")
        shot = page.ask("Page.captureScreenshot", format="png")["data"]
        assert not page.complaints
    with Image.open(io.BytesIO(base64.b64decode(shot))) as opened:
        pixels = np.asarray(opened.convert("RGB"), int)
    assert pixels.shape[:2] == size[::-1]
    return text, pixels
