"""XMP packets in TIFF, BigTIFF, and what cameras build like them."""

from collections.abc import Iterator
from typing import BinaryIO

from aescli.images.directories import first_directory, read_directory, read_layout
from aescli.xmp.packet import take_packet

_XMP = 700
_BYTES = frozenset({1, 2, 7})  # types of which each value is one byte
_MOST_DIRECTORIES = 1000


def tiff_packets(file: BinaryIO) -> Iterator[bytes]:
    """Yield the packets of a file's directories, that of the first picture first."""
    layout = read_layout(file)
    at = first_directory(file, layout)
    seen: set[int] = set()
    while at and at not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(at)
        entries, at = read_directory(file, at, layout)
        for entry in entries:
            if entry.tag == _XMP and entry.kind in _BYTES and entry.size > layout.offset:
                yield take_packet(file, entry.at, entry.size)
