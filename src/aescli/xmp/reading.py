"""Bytes of a file that should be there."""

import os
from typing import BinaryIO, Literal

from aescli.xmp.packet import LARGEST


def take(file: BinaryIO, at: int, size: int) -> bytes:
    """Return `size` bytes from `at` on.

    Raises:
        EOFError: the file ends before.

    """
    if at > os.fstat(file.fileno()).st_size:  # farther than a system can be asked to go, it may be
        raise EOFError
    file.seek(at)
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


def take_number(file: BinaryIO, at: int, size: int, order: Literal["big", "little"] = "big") -> int:
    """Return the number without a sign that stands at `at`.

    Raises:
        EOFError: the file ends before.

    """
    return int.from_bytes(take(file, at, size), order)


def take_packet(file: BinaryIO, at: int, size: int) -> bytes:
    """Return `size` bytes of XMP, or of a table that leads to it.

    Raises:
        EOFError: the file ends before.
        ValueError: it is too large.

    """
    if size > LARGEST:
        raise ValueError(f"its XMP has more than {LARGEST >> 20} MB")
    return take(file, at, size)
