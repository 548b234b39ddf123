"""Formats that are a row of blocks, each with its length: where blocks stand in a JPEG, a PNG and a WebP."""

import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from aescli.images.reading import take, take_number

_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG's markers without a segment
SCAN = 0xDA  # JPEG's marker of what pixels follow
_APP1, _END = 0xE1, 0xD9
_MOST_MARKERS = 10_000  # before the pixels: a file of nothing else would take a second for each megabyte

_DIGITS = re.compile(rb"\s*\w+\s+\d+\s([0-9a-fA-F\s]*)")


def application_segments(file: BinaryIO, start: int = 0) -> Iterator[bytes]:
    """Yield what the APP1 segments of a JPEG that begins at `start` hold, up to where its pixels begin.

    Raises:
        EOFError: the file ends before, or is built otherwise.

    """
    at = start + 2
    for _ in range(_MOST_MARKERS):
        mark = take(file, at, 2)
        if mark[0] != 0xFF:
            raise EOFError
        if mark[1] in (SCAN, _END):
            return
        if mark[1] == 0xFF or mark[1] in _ALONE:
            at += 1 if mark[1] == 0xFF else 2
            continue
        size = max(2, take_number(file, at + 2, 2))
        if mark[1] == _APP1:
            yield take(file, at + 4, size - 2)
        at += 2 + size
    raise EOFError


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment of a JPEG up to the first scan's, and where its content begins and ends."""
    at = 2
    for _ in range(_MOST_MARKERS):
        if at + 4 > len(data) or data[at] != 0xFF:
            return
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        stop = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if stop > len(data):
            return
        yield marker, at + 4, stop
        if marker == SCAN:
            return
        at = stop


def fujifilm_jpeg(file: BinaryIO) -> int:
    """Return where the JPEG in a raw file of Fujifilm's begins.

    Raises:
        EOFError: the file ends before.

    """
    return take_number(file, 84, 4)


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each chunk of a PNG, before or behind its pixels, where its content begins, and its size.

    Raises:
        EOFError: the file ends before.

    """
    at, kind = 8, b""
    while kind != b"IEND":
        size, kind = take_number(file, at, 4), take(file, at + 4, 4)
        yield kind, at + 8, size
        at += size + 12


def webp_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each chunk of a WebP, where its content begins, and its size.

    Raises:
        EOFError: the file ends before.

    """
    at, end = 12, 8 + take_number(file, 4, 4, "little")
    while at + 8 <= end:
        kind, size = take(file, at, 4), take_number(file, at + 4, 4, "little")
        yield kind, at + 8, size
        at += 8 + size + size % 2


def raw_profile(file: BinaryIO, kind: bytes, at: int, size: int, name: bytes, most: int) -> bytes:
    """Return what a PNG's chunk holds as ImageMagick and older exiv2 keep it, in digits; empty where it is another.

    Args:
        file: the PNG.
        kind: of the chunk.
        at: where its content begins.
        size: of its content.
        name: of the profile, such as `xmp`.
        most: bytes of the digits.

    Raises:
        EOFError: the file ends before.
        ValueError: it is damaged, or larger.

    """
    keyword = b"Raw profile type " + name + b"\0"
    if kind not in (b"zTXt", b"tEXt") or take(file, at, min(size, len(keyword))) != keyword:
        return b""
    if size > most:
        raise ValueError(f"its XMP or Exif has more than {most >> 20} MB")
    text = take(file, at, size)[len(keyword) :]
    found = _DIGITS.match(inflate(text[1:], most) if kind == b"zTXt" else text)
    return bytes.fromhex(found[1].decode()) if found else b""


def inflate(data: bytes, most: int) -> bytes:
    """Return what a chunk's bytes were before they were made smaller.

    Raises:
        ValueError: they are damaged, or it is more than `most` bytes.

    """
    try:
        found = zlib.decompressobj().decompress(data, most + 1)
    except zlib.error as error:
        raise ValueError(f"its XMP or Exif is damaged: {error}") from error
    if len(found) > most:
        raise ValueError(f"its XMP or Exif has more than {most >> 20} MB")
    return found
