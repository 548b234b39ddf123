"""Directories of TIFF, BigTIFF and of what cameras build like them, where a file keeps them (TIFF 6.0)."""

from dataclasses import dataclass
from typing import BinaryIO, Literal

from aescli.images.reading import take, take_number

_LARGEST = 1 << 20  # bytes of a directory: eighty thousand entries
# Bytes of a value of each type; of others there is nothing to be read.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte order, and how many bytes an offset, the number of entries, and an entry have."""

    order: Literal["big", "little"]
    offset: int
    count: int
    entry: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A tag of a directory: the type of its values, where they are, and how many bytes they have."""

    tag: int
    kind: int
    at: int
    size: int


def read_layout(file: BinaryIO) -> Layout:
    """Return how a file's directories are written; what is no BigTIFF is read as a TIFF, whatever it calls itself.

    Raises:
        EOFError: the file ends before.

    """
    order: Literal["big", "little"] = "little" if take(file, 0, 2) == b"II" else "big"
    return Layout(order, 8, 8, 20) if take_number(file, 2, 2, order) == 43 else Layout(order, 4, 2, 12)


def first_directory(file: BinaryIO, layout: Layout) -> int:
    """Return where a file's first directory is.

    Raises:
        EOFError: the file ends before.

    """
    return take_number(file, layout.offset, layout.offset, layout.order)


def read_directory(file: BinaryIO, at: int, layout: Layout) -> tuple[list[Entry], int]:
    """Return the entries of a directory, and where the next one is: 0 behind the last, which need not say so.

    Raises:
        EOFError: the file ends before, or it has too many.

    """
    size = take_number(file, at, layout.count, layout.order) * layout.entry
    if size > _LARGEST:
        raise EOFError
    first = at + layout.count
    listed = take(file, first, size)
    found = []
    for place in range(0, size, layout.entry):
        tag, kind, count = (
            int.from_bytes(listed[place + start : place + stop], layout.order)
            for start, stop in ((0, 2), (2, 4), (4, 4 + layout.offset))
        )
        length, field = count * SIZES.get(kind, 0), place + 4 + layout.offset
        inside = length <= layout.offset
        where = first + field if inside else int.from_bytes(listed[field : field + layout.offset], layout.order)
        found.append(Entry(tag, kind, where, length))
    file.seek(first + size)
    return found, int.from_bytes(file.read(layout.offset), layout.order)
