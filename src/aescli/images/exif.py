"""The Exif directory of a picture, from wherever its format keeps it; no pixel is decoded."""

import io
from collections.abc import Collection, Iterator
from typing import BinaryIO

from aescli.images.blocks import application_segments, fujifilm_jpeg, png_chunks, raw_profile, webp_chunks
from aescli.images.boxes import find_items, list_boxes
from aescli.images.directories import Entry, first_directory, read_directory, read_layout
from aescli.images.reading import take, take_number

Values = dict[int, int | str]

_DIRECTORY = 0x8769
_LARGEST = 1 << 20  # bytes of EXIF, with a thumbnail in it
_LONGEST = 256  # bytes of a value
_NAME = b"Exif\0\0"
_TEXTS, _NUMBERS = frozenset({2, 7, 129}), frozenset({1, 3, 4})  # types
_FUJIFILM, _CANON = b"FUJIFILMCCD-RAW", bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")


def read_exif(file: BinaryIO, name: str | None, wanted: Collection[int]) -> Values:
    """Return tags of the Exif directory of a file: first numbers, and texts up to a NUL; those that it has.

    Args:
        file: the picture.
        name: its format, as `formats.identify` calls it.
        wanted: the tags.

    Raises:
        EOFError, ValueError: the file is built otherwise.

    """
    match name:
        case "JPEG":
            return _read_inside(_join(application_segments(file)), wanted)
        case "PNG":
            return _read_inside(next(_find_in_png(file), b""), wanted)
        case "WEBP":
            chunks = (_take(file, at, size) for kind, at, size in webp_chunks(file) if kind == b"EXIF")
            return _read_inside(next(chunks, b""), wanted)
        case "HEIF" | "AVIF":
            return _read_inside(next(_find_item(file), b""), wanted)
        case "TIFF":
            return _read_tiff(file, wanted)
        case "RAW":
            return _read_raw(file, wanted)
    return {}


def _join(segments: Iterator[bytes]) -> bytes:
    """Return what the segments of a JPEG say: what is too long for one goes on in the next."""
    return b"".join(each.removeprefix(_NAME) for each in segments if each.startswith(_NAME))


def _read_inside(tiff: bytes, wanted: Collection[int]) -> Values:
    """Return tags of a TIFF that stands inside of a picture, with or without a name before it."""
    tiff = tiff.removeprefix(_NAME)
    return _read_tiff(io.BytesIO(tiff), wanted) if tiff else {}


def _read_tiff(file: BinaryIO, wanted: Collection[int], *, inner: bool = True) -> Values:
    """Return tags of the directory that a TIFF's first one points to, or with `inner=False` of the first itself."""
    layout = read_layout(file)
    at = first_directory(file, layout)

    def read(entry: Entry) -> int | str | None:
        file.seek(entry.at)
        data = file.read(min(entry.size, _LONGEST))  # nothing, where it lies behind the end: the others are not lost
        if entry.kind in _NUMBERS and data:
            width = 4 if entry.kind == 4 else 2 if entry.kind == 3 else 1
            return int.from_bytes(data[:width], layout.order)
        return data.partition(b"\0")[0].decode("latin-1") if entry.kind in _TEXTS else None

    if inner:
        pointers = [entry for entry in read_directory(file, at, layout)[0] if entry.tag == _DIRECTORY]
        if not pointers:
            return {}
        at = take_number(file, pointers[0].at, min(pointers[0].size, layout.offset), layout.order)
    found = {entry.tag: read(entry) for entry in read_directory(file, at, layout)[0] if entry.tag in wanted}
    return {tag: value for tag, value in found.items() if value is not None}


def _find_in_png(file: BinaryIO) -> Iterator[bytes]:
    for kind, at, size in png_chunks(file):
        if kind == b"eXIf":
            yield _take(file, at, size)
        elif profile := raw_profile(file, kind, at, size, b"exif", 2 * _LARGEST):
            yield profile


def _find_item(file: BinaryIO) -> Iterator[bytes]:
    """Yield the EXIF items of a `meta` box: where its TIFF begins, each says itself (ISO 23008-12, A.2.1)."""
    for box in list_boxes(file, 0, file.seek(0, 2)):
        for parts in find_items(file, box, lambda kind, _: kind == b"Exif") if box.kind == b"meta" else ():
            if sum(size for _, size in parts) <= _LARGEST:
                data = b"".join(take(file, at, size) for at, size in parts)
                yield data[4 + int.from_bytes(data[:4], "big") :]


def _read_raw(file: BinaryIO, wanted: Collection[int]) -> Values:
    """Return what a camera's own format holds: most are built like a TIFF, whatever their third and fourth byte."""
    head = take(file, 0, 16)
    if head[4:12] == b"ftypcrx ":
        return _read_canon(file, wanted)
    if head.startswith(_FUJIFILM):
        return _read_inside(_join(application_segments(file, fujifilm_jpeg(file))), wanted)
    return _read_tiff(file, wanted) if head[:2] in (b"II", b"MM") else {}


def _read_canon(file: BinaryIO, wanted: Collection[int]) -> Values:
    """Return what the box `CMT2` of a CR3 holds: a TIFF whose first directory is the Exif directory."""
    for movie in list_boxes(file, 0, file.seek(0, 2)):
        for box in list_boxes(file, movie.start, movie.stop) if movie.kind == b"moov" else ():
            if box.kind == b"uuid" and take(file, box.start, 16) == _CANON:
                for part in list_boxes(file, box.start + 16, box.stop):
                    if part.kind == b"CMT2":
                        tiff = _take(file, part.start, part.stop - part.start)
                        return _read_tiff(io.BytesIO(tiff), wanted, inner=False)
    return {}


def _take(file: BinaryIO, at: int, size: int) -> bytes:
    if size > _LARGEST:
        raise EOFError
    return take(file, at, size)
