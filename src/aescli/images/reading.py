"""Bytes of a file that should be there."""

import os
from typing import BinaryIO, Literal


def take(file: BinaryIO, at: int, size: int) -> bytes:
    """Return `size` bytes from `at` on.

    Raises:
        EOFError: the file ends before.

    """
    if at > file.seek(0, os.SEEK_END):  # farther than a system can be asked to go, it may be
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
