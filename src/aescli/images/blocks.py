"""Formats that are a row of blocks, each with its length: where blocks stand in a JPEG, a PNG and a WebP."""

from collections.abc import Iterator
from typing import BinaryIO

from aescli.images.reading import take, take_number

_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG's markers without a segment
_APP1, _SCAN, _END = 0xE1, 0xDA, 0xD9


def application_segments(file: BinaryIO, start: int = 0) -> Iterator[bytes]:
    """Yield what the APP1 segments of a JPEG that begins at `start` hold, up to where its pixels begin.

    Raises:
        EOFError: the file ends before, or is built otherwise.

    """
    at = start + 2
    while (mark := take(file, at, 2))[1] not in (_SCAN, _END):
        if mark[0] != 0xFF:
            raise EOFError
        if mark[1] == 0xFF or mark[1] in _ALONE:
            at += 1 if mark[1] == 0xFF else 2
            continue
        size = max(2, take_number(file, at + 2, 2))
        if mark[1] == _APP1:
            yield take(file, at + 4, size - 2)
        at += 2 + size


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
