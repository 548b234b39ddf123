"""XMP packets in TIFF, BigTIFF, and what cameras build like them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from aescli.images.reading import take, take_number
from aescli.xmp.packet import take_packet

_XMP = 700
_BYTES = frozenset({1, 2, 7})  # types of which each value is one byte
_MOST_DIRECTORIES = 1000


@dataclass(frozen=True, slots=True)
class _Layout:
    """Byte order, and how many bytes an offset, the number of entries, and an entry have."""

    order: Literal["big", "little"]
    offset: int
    count: int
    entry: int


def tiff_packets(file: BinaryIO) -> Iterator[bytes]:
    """Yield the packets of a file's directories, that of the first picture first."""
    order: Literal["big", "little"] = "little" if take(file, 0, 2) == b"II" else "big"
    big = take_number(file, 2, 2, order) == 43
    layout = _Layout(order, 8, 8, 20) if big else _Layout(order, 4, 2, 12)
    at = take_number(file, layout.offset, layout.offset, order)
    seen: set[int] = set()
    while at and at not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(at)
        count = take_number(file, at, layout.count, order)
        entries = take_packet(file, at + layout.count, count * layout.entry)
        for entry in range(0, len(entries), layout.entry):
            if int.from_bytes(entries[entry : entry + 2], order) == _XMP:
                yield from _value(file, entries[entry : entry + layout.entry], layout)
        at = take_number(file, at + layout.count + len(entries), layout.offset, order)


def _value(file: BinaryIO, entry: bytes, layout: _Layout) -> Iterator[bytes]:
    kind = int.from_bytes(entry[2:4], layout.order)
    size = int.from_bytes(entry[4 : 4 + layout.offset], layout.order)
    if kind in _BYTES and size > layout.offset:
        yield take_packet(file, int.from_bytes(entry[-layout.offset :], layout.order), size)
