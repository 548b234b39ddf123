"""Scores as one page to look at: a gallery that sorts, filters and groups in the browser, from disk, without network.

The page forbids itself everything but its own script and style sheet, by hash, and pictures that lie where it lies.
Everything from outside is data in a JSON block and becomes text nodes: nothing in a name can be markup.
"""

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from html import escape as quote
from pathlib import Path
from typing import Any

from aescli.names import escape
from aescli.reporting.gallery import Gallery

_PARTS = Path(__file__).with_name("pages")

_KEYS = (
    ("← → ↑ ↓", "move"), ("Enter", "open, close"), ("S", "sort by the next"), ("R", "turn round"),
    ("G", "group by the next"), ("B", "a group side by side"), ("/", "search"), ("C", "clear filters"),
)  # fmt: skip


def write_gallery(gallery: Gallery) -> bytes:
    """Return the page, UTF-8."""
    style, script = (_read(f"gallery.{kind}") for kind in ("css", "js"))
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src 'self' file:; base-uri 'none'; form-action 'none'"
    )
    title, keys = _text(gallery.title), " ".join(f"<kbd>{key}</kbd>&nbsp;{what}" for key, what in _KEYS)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head>\n<body>"
        f"<header><h1>{title}</h1>"
        '<label>sort <select id="sorting"></select></label>'
        '<button id="turn" title="turn the order round">↓</button>'
        '<label>group <select id="grouping"><option value="">nothing</option></select></label>'
        '<label>size <input id="size" type="range" min="120" max="600" value="220"></label>'
        '<input id="search" type="search" placeholder="name or flag" aria-label="search names and flags">'
        '<button id="clear">clear</button><output id="shown"></output></header>'
        '<aside><div id="plots"></div><p id="keys">Drag over a histogram to filter, double-click to clear.<br>'
        f"{keys}</p></aside>"
        '<main id="main" tabindex="0"><div id="sheet"></div><noscript>This page needs its own script.</noscript></main>'
        '<dialog id="dialog"><div id="beside"></div><div id="facts"></div></dialog>'
        f'<script type="application/json" id="data">{_dump(_columns(gallery))}</script>'
        f"<script>{script}</script></body></html>\n"
    ).encode()


def _columns(gallery: Gallery) -> dict[str, Any]:
    return {
        "paths": [escape(path) for path in gallery.paths],
        "links": list(gallery.links),
        "small": list(gallery.small),
        "thumbs": gallery.thumbs,
        "errors": [escape(error) for error in gallery.errors],
        "notes": list(gallery.notes),
        "numbers": [{"name": name, "values": list(map(_short, values))} for name, values in gallery.numbers.items()],
        "scores": list(gallery.scores),
        "words": [{"name": name, **_coded(values)} for name, values in gallery.words.items()],
        "sort": next(iter(gallery.numbers), ""),
        "group": gallery.group,
    }  # fmt: skip


def _coded(values: Sequence[str]) -> dict[str, Any]:
    names = {name: at for at, name in enumerate(dict.fromkeys(values))}
    return {"names": [escape(name) for name in names], "codes": [names[value] for value in values]}


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 3)


def _dump(value: object) -> str:
    """Return JSON that no browser takes for the end of its block."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _read(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8").strip()


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _text(text: str) -> str:
    return quote(escape(text))
