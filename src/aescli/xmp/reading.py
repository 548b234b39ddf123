"""XMP of a file that should be there."""

from typing import BinaryIO

from aescli.images.reading import take
from aescli.xmp.packet import LARGEST


def take_packet(file: BinaryIO, at: int, size: int) -> bytes:
    """Return `size` bytes of XMP, or of a table that leads to it.

    Raises:
        EOFError: the file ends before.
        ValueError: it is too large.

    """
    if size > LARGEST:
        raise ValueError(f"its XMP has more than {LARGEST >> 20} MB")
    return take(file, at, size)
