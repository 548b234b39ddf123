"""Boxes of the ISO base media format, and the items of its `meta` box: how HEIC, AVIF and CR3 are built (ISO 14496-12).

Nothing is decoded: only heads of boxes and tables of items are read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from aescli.images.reading import take, take_number

_LARGEST = 32 << 20  # bytes of a table of items
_MOST = 100_000  # boxes of a box, and parts of all items: a picture in tiles has hundreds


@dataclass(frozen=True, slots=True)
class Box:
    """A box: its kind, and where its content begins and ends."""

    kind: bytes
    start: int
    stop: int


@dataclass(slots=True)
class _Table:
    """Numbers of a table, read one behind the other."""

    data: bytes
    at: int = 0

    def number(self, size: int) -> int:
        self.at += size
        if self.at > len(self.data):
            raise EOFError
        return int.from_bytes(self.data[self.at - size : self.at], "big")


def list_boxes(file: BinaryIO, at: int, stop: int) -> Iterator[Box]:
    """Yield the boxes between two places of a file.

    Raises:
        EOFError: there are none or too many, or the file ends before one of them does.

    """
    for _ in range(_MOST):
        if at + 8 > stop:
            return
        size, kind, head = take_number(file, at, 4), take(file, at + 4, 4), 8
        if size == 1:
            size, head = take_number(file, at + 8, 8), 16
        end = at + size if size else stop
        if (size and size < head) or end > stop:
            raise EOFError
        yield Box(kind, at + head, end)
        at = end
    raise EOFError


def find_items(
    file: BinaryIO, meta: Box, wanted: Callable[[bytes, bytes], bool]
) -> Iterator[tuple[tuple[int, int], ...]]:
    """Yield where the bytes of items of a `meta` box are, (start, size) of each of their parts in the file.

    Args:
        file: a row of boxes.
        meta: one of them.
        wanted: tells by an item's type, such as `Exif` or `mime`, and what its entry says behind its name.

    Raises:
        EOFError: the file ends before, or is built otherwise.

    """
    boxes = {box.kind: box for box in list_boxes(file, meta.start + 4, meta.stop)}
    if not {b"iinf", b"iloc"} <= boxes.keys():
        return
    items = {item for item, kind, content in _entries(file, boxes[b"iinf"]) if wanted(kind, content)}
    if not items:
        return
    inside = boxes[b"idat"].start if b"idat" in boxes else 0
    for item, parts in _places(_read_table(file, boxes[b"iloc"]), inside):
        if item in items:
            yield parts


def list_properties(file: BinaryIO, meta: Box) -> tuple[list[Box], list[Box]]:
    """Return the properties that a `meta` box has, and those of them that are the picture's own.

    The others belong to its thumbnail, its tiles, a map of gains or of depths.

    Raises:
        EOFError: the file ends before, or is built otherwise.

    """
    boxes = {box.kind: box for box in list_boxes(file, meta.start + 4, meta.stop)}
    if b"iprp" not in boxes:
        return [], []
    inside = list(list_boxes(file, boxes[b"iprp"].start, boxes[b"iprp"].stop))
    properties = [box for each in inside if each.kind == b"ipco" for box in list_boxes(file, each.start, each.stop)]
    if b"pitm" not in boxes:
        return properties, []
    head = _read_table(file, boxes[b"pitm"])
    version = head.number(1)
    head.number(3)
    primary = head.number(4 if version else 2)
    tables = (_read_table(file, each) for each in inside if each.kind == b"ipma")
    places = {place for table in tables for item, place in _associations(table) if item == primary}
    return properties, [box for place, box in enumerate(properties, 1) if place in places]


def _read_table(file: BinaryIO, box: Box) -> _Table:
    if box.stop - box.start > _LARGEST:
        raise EOFError
    return _Table(take(file, box.start, box.stop - box.start))


def _entries(file: BinaryIO, iinf: Box) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield each item's number, its type, and what its entry says behind its name."""
    head = 6 if take(file, iinf.start, 1) == b"\0" else 8
    for box in list_boxes(file, iinf.start + head, iinf.stop):
        entry = _read_table(file, box)
        version = entry.number(1)
        entry.number(3)
        item = entry.number(4 if version == 3 else 2)
        entry.number(2)
        kind, (_, _, content) = entry.data[entry.at : entry.at + 4], entry.data[entry.at + 4 :].partition(b"\0")
        yield item, kind, content


def _associations(table: _Table) -> Iterator[tuple[int, int]]:
    """Yield each item's number with the place of each of its properties, from 1 on."""
    version, flags = table.number(1), table.number(3)
    size = 2 if flags & 1 else 1
    for _ in range(table.number(4)):
        item = table.number(4 if version else 2)
        for _ in range(table.number(1)):
            yield item, table.number(size) & (0x7F if size == 1 else 0x7FFF)  # the first bit: essential


def _places(table: _Table, inside: int) -> Iterator[tuple[int, tuple[tuple[int, int], ...]]]:
    """Yield each item's number and where its bytes are: (start, size) in the file; `inside` is where `idat` begins."""
    version = table.number(1)
    table.number(3)
    sizes, more = table.number(1), table.number(1)
    left = _MOST
    for _ in range(table.number(4 if version == 2 else 2)):
        item = table.number(4 if version == 2 else 2)
        method = table.number(2) & 15 if version else 0
        table.number(2)
        base = table.number(more >> 4) + (inside if method == 1 else 0)
        parts = []
        count = table.number(2)
        left -= 1 + count
        if left < 0:  # their numbers may have no size at all
            raise EOFError
        for _ in range(count):
            table.number(more & 15 if version else 0)
            parts.append((base + table.number(sizes >> 4), table.number(sizes & 15)))
        yield item, tuple(parts)
