"""XMP packets in boxes: HEIC and AVIF (an item of the `meta` box), JPEG 2000 and Canon's CR3 (a box of their own)."""

from collections.abc import Iterator
from typing import BinaryIO

from aescli.images.boxes import find_items, list_boxes
from aescli.images.reading import take
from aescli.xmp.packet import LARGEST, take_packet

_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_TYPE = b"application/rdf+xml\0"


def box_packets(file: BinaryIO) -> Iterator[bytes]:
    """Yield the packets of a file that is a row of boxes."""
    for box in list_boxes(file, 0, file.seek(0, 2)):
        if box.kind == b"uuid" and take(file, box.start, 16) == _UUID:
            yield take_packet(file, box.start + 16, box.stop - box.start - 16)
        elif box.kind == b"meta":
            for parts in find_items(file, box, _is_xmp):
                if sum(size for _, size in parts) > LARGEST:
                    raise ValueError(f"its XMP has more than {LARGEST >> 20} MB")
                yield b"".join(take(file, at, size) for at, size in parts)


def _is_xmp(kind: bytes, content: bytes) -> bool:
    return kind == b"mime" and content.startswith(_TYPE)
