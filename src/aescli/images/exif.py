"""The Exif directory of a picture, of each format where it is kept; nothing is decoded."""

import io
from collections.abc import Mapping
from importlib import import_module
from typing import BinaryIO

from PIL import Image

from aescli.images import formats
from aescli.images.boxes import find_items, list_boxes
from aescli.images.reading import take, take_number

_DIRECTORY = 0x8769
_OPENED = frozenset({"JPEG", "TIFF", "PNG", "WEBP"})  # by Pillow, which reads no more than their heads
_IN_BOXES = frozenset({"HEIF", "AVIF"})
_LARGEST = 1 << 20  # bytes that are looked at: of EXIF with a thumbnail in it, of the head of a file
# Olympus and Panasonic begin a TIFF with letters of their own.
_TIFF_BY_OTHER_NAMES = {b"IIRO": b"II*\0", b"IIRS": b"II*\0", b"MMOR": b"MM\0*", b"IIU\0": b"II*\0"}
_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")


def read_exif(file: BinaryIO, name: str | None) -> Mapping[int, object]:
    """Return the Exif directory of a file of this format, as `formats.identify` calls it; empty where it has none.

    Raises:
        Exception: whatever Pillow raises on what is broken; EOFError.

    """
    if name == "RAW":
        return _read_raw(file)
    if name in _IN_BOXES:
        return _read_item(file)
    return _read_with_pillow(file, name) if name in _OPENED else {}


def _read_with_pillow(file: BinaryIO, name: str) -> Mapping[int, object]:
    import_module(f"PIL.{formats.PILLOW_PLUGINS[name]}ImagePlugin")
    file.seek(0)
    with Image.open(file, formats=[name]) as opened:
        return opened.getexif().get_ifd(_DIRECTORY)  # while it is open: a TIFF is read as it is asked


def _read_item(file: BinaryIO) -> Mapping[int, object]:
    """Return what the EXIF item of a `meta` box holds: where its TIFF begins, it says itself (ISO 23008-12, A.2.1)."""
    for box in list_boxes(file, 0, file.seek(0, 2)):
        for parts in find_items(file, box, lambda kind, _: kind == b"Exif") if box.kind == b"meta" else ():
            if sum(size for _, size in parts) <= _LARGEST:
                data = b"".join(take(file, at, size) for at, size in parts)
                return _parse(data[4 + int.from_bytes(data[:4], "big") :]).get_ifd(_DIRECTORY)
    return {}


def _read_raw(file: BinaryIO) -> Mapping[int, object]:
    """Return what a camera's own format holds: most are built like a TIFF."""
    head = take(file, 0, 16)
    if head[4:12] == b"ftypcrx ":
        return _read_canon(file)
    if head.startswith(b"FUJIFILMCCD-RAW"):  # a JPEG in it says it
        at, size = take_number(file, 84, 4), take_number(file, 88, 4)
        return _read_with_pillow(io.BytesIO(take(file, at, min(size, _LARGEST))), "JPEG")
    if head[:4] in _TIFF_BY_OTHER_NAMES:
        file.seek(4)
        return _parse(_TIFF_BY_OTHER_NAMES[head[:4]] + file.read(_LARGEST)).get_ifd(_DIRECTORY)
    return _read_with_pillow(file, "TIFF")


def _read_canon(file: BinaryIO) -> Mapping[int, object]:
    """Return what the box `CMT2` of a CR3 holds: a TIFF whose first directory is the Exif directory."""
    for movie in list_boxes(file, 0, file.seek(0, 2)):
        for box in list_boxes(file, movie.start, movie.stop) if movie.kind == b"moov" else ():
            if box.kind == b"uuid" and take(file, box.start, 16) == _CANON:
                for part in list_boxes(file, box.start + 16, box.stop):
                    if part.kind == b"CMT2" and part.stop - part.start <= _LARGEST:
                        return dict(_parse(take(file, part.start, part.stop - part.start)))
    return {}


def _parse(tiff: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(tiff)
    return exif
