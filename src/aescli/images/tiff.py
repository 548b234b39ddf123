"""What the first directory of a TIFF says, and Pillow keeps to itself or decodes wrongly (TIFF 6.0, BigTIFF)."""

import io
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aescli.images.directories import SIZES

if TYPE_CHECKING:
    from PIL import Image

_NEW_SUBFILE_TYPE, _WIDTH, _BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLES = 254, 256, 258, 262, 277
_COMPRESSION, _WEBP = 259, 50001
_PLANAR_CONFIGURATION, _TILE_WIDTH, _TILE_LENGTH, _SUB_IFDS = 284, 322, 323, 330
_SAMPLE_FORMAT, _DNG_VERSION = 339, 50706
_OFFSETS_AND_SIZES = ((273, 279), (324, 325))  # of strips, of tiles
_WHITE_IS_ZERO, _IN_PLANES, _SIGNED = 0, 2, 2
_KINDS = {1: "integers", _SIGNED: "signed integers", 3: "floats"}
_MOST = 1_000_000  # strips or tiles that are looked at
_NUMBERS = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


def is_camera_raw(data: bytes) -> bool:
    """Tell a camera's RAW from a plain TIFF: Pillow would open its thumbnail as if it were the picture.

    A DNG says so by its version tag; the others (NEF, ARW, PEF, SRW, 3FR...) begin with a reduced-resolution
    directory (NewSubfileType bit 0) that points to the real picture in a sub-directory.
    """
    try:
        entries = {tag: (kind, count, at) for tag, kind, count, at in _list_entries(data)}
        subfile = next(iter(_read_numbers(data, *entries.get(_NEW_SUBFILE_TYPE, (0, 0, 0)))), 0)
    except struct.error:
        return False
    return _DNG_VERSION in entries or (_SUB_IFDS in entries and bool(subfile & 1))


def is_cut(data: bytes) -> bool:
    """Tell whether the first directory, or anything that it points to, lies behind the end."""
    numbers: dict[int, tuple[int, ...]] = {}
    pointed_to = {tag for pair in _OFFSETS_AND_SIZES for tag in pair}
    try:
        for tag, kind, count, at in _list_entries(data):
            if at + SIZES.get(kind, 0) * count > len(data):
                return True
            if tag in pointed_to and tag not in numbers:
                numbers[tag] = _read_numbers(data, kind, count, at)
    except struct.error:
        return True
    return any(
        offset + size > len(data)
        for offsets, sizes in _OFFSETS_AND_SIZES
        for offset, size in zip(numbers.get(offsets, ()), numbers.get(sizes, ()), strict=False)
    )


def holds_webp(data: bytes) -> bool:
    """Tell whether the picture is compressed as WebP, which few builds of libtiff read."""
    try:
        return any(
            tag == _COMPRESSION and _read_numbers(data, kind, count, at)[:1] == (_WEBP,)
            for tag, kind, count, at in _list_entries(data)
        )
    except struct.error:
        return False


def describe_samples(data: bytes) -> str | None:
    """Return in words what samples a TIFF has, None where its directory cannot be read."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    file = io.BytesIO(data)
    try:
        directory = ImageFileDirectory_v2(file.read(16 if _is_big(data) else 8))
        file.seek(directory.next)
        directory.load(file)
        count, bits = int(directory.get(_SAMPLES, 1)), directory[_BITS_PER_SAMPLE]
        kind = _KINDS.get(_first_of(directory.get(_SAMPLE_FORMAT, 1)), "samples")
        deepest = max(bits) if isinstance(bits, tuple) else int(bits)
        int(directory[_WIDTH])
    except Exception:  # noqa: BLE001 - what is no directory raises anything
        return None
    return f"{count} x {deepest} bits as {kind}"


def tile_size(picture: "Image.Image") -> tuple[int, int]:
    """Return width and height of a tile, 0 where there are none."""
    tags = _tags_of(picture)
    return int(tags.get(_TILE_WIDTH, 0)), int(tags.get(_TILE_LENGTH, 0))


def has_deep_planes(picture: "Image.Image") -> bool:
    """Tell whether samples of more than eight bits lie in planes: Pillow takes these for 8-bit ones, without a word."""
    return _tags_of(picture).get(_PLANAR_CONFIGURATION) == _IN_PLANES and max(bits_per_sample(picture)) > 8


def bits_per_sample(picture: "Image.Image") -> tuple[int, ...]:
    """Return the depth that is declared for each sample; 16 where nothing is declared, or the picture is no TIFF."""
    declared = _tags_of(picture).get(_BITS_PER_SAMPLE, (16,))
    return declared if isinstance(declared, tuple) else (int(declared),)


def is_signed(picture: "Image.Image") -> bool:
    return _first_of(_tags_of(picture).get(_SAMPLE_FORMAT, 1)) == _SIGNED


def counts_from_white(picture: "Image.Image") -> bool:
    return bool(_tags_of(picture).get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def _list_entries(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield tag, type and count of each entry of the first directory, and where its values are.

    Raises:
        struct.error: the directory lies behind the end.

    """
    order = "<" if data[:2] == b"II" else ">"
    first, head, entry = ("8xQ", "Q", "HHQ8x") if _is_big(data) else ("4xI", "H", "HHI4x")
    field = 8 if _is_big(data) else 4
    (start,) = _unpack(order + first, data, 0)
    (entries,) = _unpack(order + head, data, start)
    at = start + struct.calcsize(order + head)
    for _ in range(entries):
        tag, kind, count = _unpack(order + entry, data, at)
        at += struct.calcsize(order + entry)
        where = at - field
        if SIZES.get(kind, 0) * count > field:
            (where,) = _unpack(f"{order}{'Q' if field == 8 else 'I'}", data, where)
        yield tag, kind, count, where


def _read_numbers(data: bytes, kind: int, count: int, at: int) -> tuple[int, ...]:
    order, letter = "<" if data[:2] == b"II" else ">", _NUMBERS.get(kind)
    return _unpack(f"{order}{min(count, _MOST)}{letter}", data, at) if letter else ()


def _unpack(form: str, data: bytes, at: int) -> tuple[int, ...]:
    if at > len(data):  # by up to 2 ** 64 in a BigTIFF, which `struct` could not even count
        raise struct.error
    return struct.unpack_from(form, data, at)


def _is_big(data: bytes) -> bool:
    return b"+" in data[2:4]


def _tags_of(picture: "Image.Image") -> Mapping[int, Any]:
    return getattr(picture, "tag_v2", {})


def _first_of(values: int | tuple[int, ...]) -> int:
    return values[0] if isinstance(values, tuple) else values
