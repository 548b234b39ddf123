"""XMP packets inside of pictures, found by the structure of each format, wherever in the file they stand.

Nothing is decoded, and but for the packets only headers are read. Where a format keeps its packet says XMP part 3
(Adobe, 2020). What has another structure, or a broken one, is searched from end to end for a packet's own marks.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from aescli.images.formats import identify
from aescli.xmp.blocks import fujifilm_packets, gif_packets, jpeg_packets, png_packets, webp_packets
from aescli.xmp.boxes import box_packets
from aescli.xmp.directories import tiff_packets
from aescli.xmp.packet import LARGEST

_HEAD = 4096  # bytes that tell the format
_SCANNED = 1 << 20  # bytes at once
_MARKS = ((b"<x:xmpmeta", b"</x:xmpmeta>"), (b"<rdf:RDF", b"</rdf:RDF>"))

_Reader = Callable[[BinaryIO], Iterator[bytes]]
_READERS: dict[str, _Reader] = {
    "JPEG": jpeg_packets, "PNG": png_packets, "WEBP": webp_packets, "GIF": gif_packets, "TIFF": tiff_packets,
    "HEIF": box_packets, "AVIF": box_packets, "JPEG2000": box_packets,
}  # fmt: skip


def find_packets(path: str) -> list[bytes]:
    """Return the XMP packets inside a picture, in their order.

    Raises:
        ValueError: one is too large.
        OSError: the file cannot be read.

    """
    found: list[bytes] = []
    with open(path, "rb") as file:  # noqa: PTH123 - bytes stay exact
        reader = _choose(file.read(_HEAD))
        if reader:
            try:
                found.extend(map(_trim, reader(file)))
            except EOFError:  # it is built otherwise, or ends too early
                reader = None
        return found if reader or found else [*_scan(file)]


def _choose(head: bytes) -> _Reader | None:
    name = identify(head)
    if name != "RAW":
        return _READERS.get(name or "")
    if head.startswith(b"FUJIFILM"):
        return fujifilm_packets
    if head[4:8] == b"ftyp":
        return box_packets
    # The others are built like a TIFF, whatever their third and fourth byte, but for Canon's CRW.
    return tiff_packets if head[:2] in (b"II", b"MM") and head[6:10] != b"HEAP" else None


def _scan(file: BinaryIO) -> Iterator[bytes]:
    for begin, end in _MARKS:
        start = _find(file, begin, 0)
        stop = _find(file, end, start) if start >= 0 else -1
        if stop >= 0:
            if stop - start > LARGEST:
                raise ValueError(f"its XMP has more than {LARGEST >> 20} MB")
            file.seek(start)
            yield file.read(stop + len(end) - start)
            return


def _find(file: BinaryIO, mark: bytes, start: int) -> int:
    """Return where a mark stands first from `start` on, or -1."""
    file.seek(start)
    kept = b""
    while chunk := file.read(_SCANNED):
        window = kept + chunk
        at = window.find(mark)
        if at >= 0:
            return start + at
        kept = window[1 - len(mark) :]
        start += len(window) - len(kept)
    return -1


def _trim(packet: bytes) -> bytes:
    """Return a packet without the padding behind it, which need not be XML."""
    for begin, end in _MARKS:
        start, stop = packet.find(begin), packet.rfind(end)
        if 0 <= start < stop:
            return packet[start : stop + len(end)]
    return (
        packet if packet.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0<" in packet[:4] else packet.rstrip(b"\0 \r\n\t")
    )
