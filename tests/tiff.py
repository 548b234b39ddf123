"""TIFF files with any tags, for what no writer would write."""

import struct
from collections.abc import Mapping

Tags = Mapping[int, tuple[int, object]]


def tiff(tags: Tags, data: bytes) -> bytes:
    """Return a little-endian TIFF of one directory; StripOffsets (273) is set to where `data` stands."""
    at = 8 + directory_size({**tags, 273: (4, [0])})
    return b"II*\0" + struct.pack("<I", 8) + directory({**tags, 273: (4, [at])}, 8) + data


_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 10: 8}


def _packed(kind: int, values: object) -> bytes:
    if isinstance(values, bytes):
        return values
    assert isinstance(values, list)
    if kind == 10:
        return b"".join(struct.pack("<ii", *pair) for pair in values)
    return struct.pack(f"<{len(values)}{ {1: 'B', 3: 'H', 4: 'I'}[kind] }", *values)


def directory_size(tags: Tags) -> int:
    extra = sum(len(_packed(*tag)) + 4 for tag in tags.values() if len(_packed(*tag)) > 4)
    return 2 + 12 * len(tags) + 4 + extra


def directory(tags: Tags, at: int) -> bytes:
    head, tail = struct.pack("<H", len(tags)), b""
    extra_at = at + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        packed = _packed(kind, values)
        field = packed.ljust(4, b"\0")
        if len(packed) > 4:
            field = struct.pack("<I", extra_at + len(tail))
            tail += packed.ljust(-(-len(packed) // 4) * 4, b"\0")
        head += struct.pack("<HHI", tag, kind, len(packed) // _SIZES[kind]) + field
    return (head + bytes(4) + tail).ljust(directory_size(tags), b"\0")
