"""The Exif directory of a picture, from wherever its format keeps it; no pixel is decoded."""

import io
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from aescli.images.blocks import application_segments, png_chunks, webp_chunks
from aescli.images.boxes import find_items, list_boxes
from aescli.images.reading import take, take_number

_DIRECTORY = 0x8769
_LARGEST = 1 << 20  # bytes of EXIF, with a thumbnail in it
_NAME = b"Exif\0\0"
# Olympus and Panasonic begin a TIFF with letters of their own.
_TIFF_BY_OTHER_NAMES = {b"IIRO": b"II*\0", b"IIRS": b"II*\0", b"MMOR": b"MM\0*", b"IIU\0": b"II*\0"}
_FUJIFILM, _CANON = b"FUJIFILMCCD-RAW", bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_PROFILE = b"Raw profile type exif"  # ImageMagick's and older exiv2's way with a PNG
_DIGITS = re.compile(rb"\s*exif\s+\d+\s([0-9a-fA-F\s]*)")


def read_exif(file: BinaryIO, name: str | None) -> Mapping[int, object]:
    """Return the Exif directory of a file of this format, as `formats.identify` calls it; empty where it has none.

    Raises:
        EOFError, ValueError, TypeError, SyntaxError, struct.error, zlib.error: the file is built otherwise.

    """
    match name:
        case "JPEG":
            return _read_first(each for each in application_segments(file) if each.startswith(_NAME))
        case "PNG":
            return _read_first(_find_in_png(file))
        case "WEBP":
            return _read_first(_take(file, at, size) for kind, at, size in webp_chunks(file) if kind == b"EXIF")
        case "HEIF" | "AVIF":
            return _read_first(_find_item(file))
        case "TIFF":
            return _read_tiff(file)
        case "RAW":
            return _read_raw(file)
    return {}


def _read_first(found: Iterator[bytes]) -> Mapping[int, object]:
    """Return the Exif directory of the first of some TIFFs."""
    tiff = next(found, b"").removeprefix(_NAME)
    return _read_tiff(io.BytesIO(tiff)) if tiff else {}


def _read_tiff(file: BinaryIO, begin: bytes = b"", *, inner: bool = True) -> Mapping[int, object]:
    """Return the Exif directory that the first directory of a TIFF points to, or with `inner=False` the first itself.

    Args:
        file: the TIFF.
        begin: what its first four bytes should be, where they are others.
        inner: whether there is a directory inside.

    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    begin = begin or take(file, 0, 4)
    head = begin + take(file, 4, 12 if b"+" in begin else 4)  # BigTIFF's has more
    outer = ImageFileDirectory_v2(head)
    file.seek(outer.next)
    outer.load(file)
    if not inner:
        return outer
    at = outer.get(_DIRECTORY)
    if not isinstance(at, int):
        return {}
    directory = ImageFileDirectory_v2(head, group=_DIRECTORY)
    file.seek(at)
    directory.load(file)
    return directory


def _find_in_png(file: BinaryIO) -> Iterator[bytes]:
    for kind, at, size in png_chunks(file):
        if kind == b"eXIf":
            yield _take(file, at, size)
        elif kind in (b"zTXt", b"tEXt") and size > len(_PROFILE) and take(file, at, len(_PROFILE)) == _PROFILE:
            text = _take(file, at, size)[len(_PROFILE) + 1 :]
            plain = zlib.decompressobj().decompress(text[1:], 4 * _LARGEST) if kind == b"zTXt" else text
            if found := _DIGITS.match(plain):
                yield bytes.fromhex(found[1].decode())


def _find_item(file: BinaryIO) -> Iterator[bytes]:
    """Yield the EXIF items of a `meta` box: where its TIFF begins, each says itself (ISO 23008-12, A.2.1)."""
    for box in list_boxes(file, 0, file.seek(0, 2)):
        for parts in find_items(file, box, lambda kind, _: kind == b"Exif") if box.kind == b"meta" else ():
            if sum(size for _, size in parts) <= _LARGEST:
                data = b"".join(take(file, at, size) for at, size in parts)
                yield data[4 + int.from_bytes(data[:4], "big") :]


def _read_raw(file: BinaryIO) -> Mapping[int, object]:
    """Return what a camera's own format holds: most are built like a TIFF."""
    head = take(file, 0, 16)
    if head[4:12] == b"ftypcrx ":
        return _read_canon(file)
    if head.startswith(_FUJIFILM):  # a JPEG in it says it
        found = application_segments(file, take_number(file, 84, 4))
        return _read_first(each for each in found if each.startswith(_NAME))
    return _read_tiff(file, _TIFF_BY_OTHER_NAMES.get(head[:4], b""))


def _read_canon(file: BinaryIO) -> Mapping[int, object]:
    """Return what the box `CMT2` of a CR3 holds: a TIFF whose first directory is the Exif directory."""
    for movie in list_boxes(file, 0, file.seek(0, 2)):
        for box in list_boxes(file, movie.start, movie.stop) if movie.kind == b"moov" else ():
            if box.kind == b"uuid" and take(file, box.start, 16) == _CANON:
                for part in list_boxes(file, box.start + 16, box.stop):
                    if part.kind == b"CMT2":
                        return _read_tiff(io.BytesIO(_take(file, part.start, part.stop - part.start)), inner=False)
    return {}


def _take(file: BinaryIO, at: int, size: int) -> bytes:
    if size > _LARGEST:
        raise EOFError
    return take(file, at, size)
