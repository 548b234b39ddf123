"""Sidecars: which of them are a picture's, and what is in them.

A sidecar is `x.jpg.xmp` (darktable, digiKam) or `x.xmp` (Lightroom, Bridge, Capture One).
"""

import os
from pathlib import Path

from aescli.images.formats import SUFFIXES
from aescli.names import escape
from aescli.xmp.packet import LARGEST

SUFFIX = ".xmp"
SPELLINGS = (".xmp", ".XMP", ".Xmp")

_PLAIN = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"})
_RAW = tuple(suffix for suffix in sorted(SUFFIXES - _PLAIN) if suffix[1:2] != "j")


def list_sidecars(path: str) -> list[str]:
    """Return a picture's sidecars, `x.jpg.xmp` before `x.xmp`."""
    names = [f"{path}{spelling}" for spelling in SPELLINGS]
    if owns_short_name(path):
        stem = os.path.splitext(path)[0]  # noqa: PTH122 - bytes stay exact
        names += [f"{stem}{spelling}" for spelling in SPELLINGS]
    found: list[str] = []
    for name in names:
        if os.path.isfile(name) and not any(os.path.samefile(name, each) for each in found):  # noqa: PTH113, PTH121
            found.append(name)
    return found


def owns_short_name(path: str) -> bool:
    """Tell whether `x.xmp` may be a picture's: beside a camera's raw file it is that file's, not that of the x.jpg.

    Of `x.jpg.webp` it is `x.jpg.xmp`, which belongs to an x.jpg that is there.
    """
    stem, suffix = os.path.splitext(path)  # noqa: PTH122
    if os.path.splitext(stem)[1].lower() in SUFFIXES and os.path.isfile(stem):  # noqa: PTH113, PTH122
        return False
    return suffix.lower() not in _PLAIN or not _has_raw_twin(stem)


def is_raw(path: str) -> bool:
    """Tell by the suffix whether a picture is a camera's raw file."""
    return os.path.splitext(path)[1].lower() in _RAW  # noqa: PTH122


def read_sidecar(sidecar: str) -> bytes:
    """Return a sidecar's bytes.

    Raises:
        ValueError: it is too large, or no regular file.
        OSError: it cannot be read.

    """
    if not os.path.isfile(sidecar):  # noqa: PTH113 - a FIFO would never end
        raise ValueError(f"{escape(sidecar)} is no regular file")
    with Path(sidecar).open("rb") as file:
        packet = file.read(LARGEST + 1)
    if len(packet) > LARGEST:
        raise ValueError(f"{escape(sidecar)} has more than {LARGEST >> 20} MB")
    return packet


def _has_raw_twin(stem: str) -> bool:
    return any(os.path.isfile(f"{stem}{form(each)}") for each in _RAW for form in (str.lower, str.upper))  # noqa: PTH113
