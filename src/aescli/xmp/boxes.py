"""XMP packets in boxes: HEIC and AVIF (an item of the `meta` box), JPEG 2000 and Canon's CR3 (a box of their own)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from aescli.xmp.packet import LARGEST
from aescli.xmp.reading import take, take_number, take_packet

_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_TYPE = b"application/rdf+xml\0"


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    start: int  # where its content begins
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


def box_packets(file: BinaryIO) -> Iterator[bytes]:
    """Yield the packets of a file that is a row of boxes."""
    for box in _boxes(file, 0, file.seek(0, 2)):
        if box.kind == b"uuid" and take(file, box.start, 16) == _UUID:
            yield take_packet(file, box.start + 16, box.stop - box.start - 16)
        elif box.kind == b"meta":
            yield from _items(file, box)


def _boxes(file: BinaryIO, at: int, stop: int) -> Iterator[_Box]:
    while at + 8 <= stop:
        size, kind, head = take_number(file, at, 4), take(file, at + 4, 4), 8
        if size == 1:
            size, head = take_number(file, at + 8, 8), 16
        end = at + size if size else stop
        if (size and size < head) or end > stop:
            raise EOFError
        yield _Box(kind, at + head, end)
        at = end


def _items(file: BinaryIO, meta: _Box) -> Iterator[bytes]:
    boxes = {box.kind: box for box in _boxes(file, meta.start + 4, meta.stop)}
    if not {b"iinf", b"iloc"} <= boxes.keys():
        return
    wanted = set(_xmp_items(file, boxes[b"iinf"]))
    if not wanted:
        return
    table = _Table(take_packet(file, boxes[b"iloc"].start, boxes[b"iloc"].stop - boxes[b"iloc"].start))
    inside = boxes[b"idat"].start if b"idat" in boxes else 0
    for item, extents in _places(table, inside):
        if item in wanted:
            if sum(size for _, size in extents) > LARGEST:
                raise ValueError(f"its XMP has more than {LARGEST >> 20} MB")
            yield b"".join(take(file, at, size) for at, size in extents)


def _xmp_items(file: BinaryIO, iinf: _Box) -> Iterator[int]:
    """Yield the numbers of items that are XMP."""
    head = 6 if take(file, iinf.start, 1) == b"\0" else 8
    for box in _boxes(file, iinf.start + head, iinf.stop):
        entry = _Table(take_packet(file, box.start, box.stop - box.start))
        version = entry.number(1)
        entry.number(3)
        item = entry.number(4 if version == 3 else 2)
        entry.number(2)
        _, _, content = entry.data[entry.at + 4 :].partition(b"\0")  # behind the item's name
        if entry.data[entry.at : entry.at + 4] == b"mime" and content.startswith(_TYPE):
            yield item


def _places(table: _Table, inside: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield each item's number and where its bytes are: (start, size) in the file; `inside` is where `idat` begins."""
    version = table.number(1)
    table.number(3)
    sizes, more = table.number(1), table.number(1)
    for _ in range(table.number(4 if version == 2 else 2)):
        item = table.number(4 if version == 2 else 2)
        method = table.number(2) & 15 if version else 0
        table.number(2)
        base = table.number(more >> 4) + (inside if method == 1 else 0)
        extents = []
        for _ in range(table.number(2)):
            table.number(more & 15 if version else 0)
            extents.append((base + table.number(sizes >> 4), table.number(sizes & 15)))
        yield item, extents
