"""Zeros where a file's pixels were: of a copy that was interrupted, or of a disk that lost a part.

Decoders take them for pixels and complain of nothing. What compresses pixels writes few zeros in a row: at most 15
bytes in 11,000 photographs as JPEG, and 10 in a hundred as lossy WebP, 83 as AVIF. Left out is what writes more where
a picture is of one colour: progressive JPEG, JPEG with codes that were made for one picture, lossless WebP.
"""

import io
import re
from collections.abc import Iterator

from aescli.images.blocks import SCAN, jpeg_segments, webp_chunks
from aescli.images.boxes import find_items, list_boxes

_HOLE = bytes(64)
_LARGE_HOLE = bytes(512)
_BASELINE, _CODES = (0xC0, 0xC1), 0xC4
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_END_OF_BLOCK = 0
_CODED = frozenset({b"av01", b"hvc1", b"hev1"})  # items of pixels, whole or a tile


def has_no_end(data: bytes) -> bool:
    """Tell whether nothing ends the pixels of a JPEG; zeros may stand for the rest."""
    last, start, _ = next(reversed(list(jpeg_segments(data))), (0, 0, 0))
    return last == SCAN and data.rfind(b"\xff\xd9") < start


def has_hole(name: str, data: bytes) -> bool:
    """Tell whether zeros stand for a part of the pixels where the format `name` would not have written them."""
    if _HOLE not in data:
        return False
    try:
        match name:
            case "JPEG":
                return _scan_has_hole(data)
            case "WEBP":
                chunks = webp_chunks(io.BytesIO(data))
                return any(data.find(_HOLE, at, at + size) >= 0 for kind, at, size in chunks if kind == b"VP8 ")
            case "AVIF" | "HEIF":
                return any(data.find(_LARGE_HOLE, at, at + size) >= 0 for at, size in _coded_parts(data))
    except EOFError:
        pass  # what is cut off or built otherwise is a decoder's matter
    return False


def _scan_has_hole(data: bytes) -> bool:
    """Tell whether zeros in the first scan of a baseline JPEG would be coefficients, not blocks of one colour."""
    segments = list(jpeg_segments(data))
    if not segments or segments[-1][0] != SCAN or not any(marker in _BASELINE for marker, _, _ in segments):
        return False
    codes = [data[start:stop] for marker, start, stop in segments if marker == _CODES]
    start, pixels = segments[-1][1:]
    used = {data[start + 2 + 2 * component] & 15 for component in range(data[start])}
    shortest = _shortest_codes(codes)
    if all(shortest.get(table) == _END_OF_BLOCK for table in used):
        return False
    behind = _MARKER.search(data, pixels)
    return data.find(_HOLE, pixels, behind.start() if behind else len(data)) >= 0


def _shortest_codes(segments: list[bytes]) -> dict[int, int]:
    """Return the symbol whose code is all zeros, for each table of codes for coefficients (ITU-T T.81, B.2.4.2)."""
    found = {}
    for segment in segments:
        at = 0
        while at + 17 < len(segment):
            kind, table = divmod(segment[at], 16)
            if kind == 1:
                found[table] = segment[at + 17]
            at += 17 + sum(segment[at + 1 : at + 17])
    return found


def _coded_parts(data: bytes) -> Iterator[tuple[int, int]]:
    file = io.BytesIO(data)
    for box in list_boxes(file, 0, len(data)):
        if box.kind == b"meta":
            for parts in find_items(file, box, lambda kind, _: kind in _CODED):
                yield from parts
