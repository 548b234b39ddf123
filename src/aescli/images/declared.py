"""What the head of a file declares and Pillow does not tell: colours that are not sRGB, and how deep samples are."""

import io
import struct
from collections.abc import Iterator

from PIL import Image

from aescli.images import tiff
from aescli.images.blocks import jpeg_segments
from aescli.images.boxes import Box, list_boxes, list_properties

# Codes of ITU-T H.273 whose colours differ little from sRGB's: BT.709, BT.601, unspecified; and, of transfers, sRGB.
_USUAL_PRIMARIES = frozenset({1, 2, 5, 6})
_USUAL_TRANSFERS = frozenset({1, 2, 6, 13, 14, 15})
_SRGB_GAMMA, _GAMMA_BIT = 0.45455, 0.01
# x and y of white, red, green and blue (IEC 61966-2-1), and how far a file's may lie beside.
_SRGB_CHROMATICITIES, _CHROMATICITY_BIT = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06), 0.01
_DEEP_GREYS = frozenset({"I;16", "I;16B", "I", "F"})
_PNG_DEPTH_AT = 24  # behind signature, length, IHDR, width and height
_CODESTREAM = b"\xff\x4f\xff\x51"  # of JPEG 2000: its start, and the marker of its size
_APP2, _PROFILE = 0xE2, b"ICC_PROFILE\0"
_COMPONENTS_AT = 40  # where it says how many there are, three bytes for each behind it


def has_other_colours(picture: Image.Image, data: bytes) -> bool:
    """Tell whether a file says in another way than by an ICC profile that its colours are not sRGB.

    PNG has gAMA and cHRM, or cICP; AVIF and HEIC have nclx. Nor is a profile followed that Pillow does not give, since
    it is damaged or stands there in parts of which one is missing.
    """
    has_profile = bool(picture.info.get("icc_profile"))
    if picture.format == "PNG":
        return _png_has_others(dict(_list_chunks(data)), has_profile=has_profile)
    if picture.format in ("JPEG", "MPO"):
        return not has_profile and any(
            marker == _APP2 and data.startswith(_PROFILE, start) for marker, start, _ in jpeg_segments(data)
        )
    if picture.format in ("AVIF", "HEIF") and not has_profile:
        return any(not _is_usual(*struct.unpack(">HH", said[4:8])) for said in _list_nclx(data))
    return False


def find_misread(picture: Image.Image, data: bytes) -> str | None:
    """Return in words what Pillow would decode to other pixels, without a word; None where it is right."""
    if picture.format == "TIFF" and tiff.has_deep_planes(picture):
        return "TIFF: 16-bit samples in separate planes"
    # Rounded up to eight bits, the brightest colours become black. Deep greys are right.
    if picture.format == "JPEG2000" and picture.mode not in _DEEP_GREYS and _jpeg2000_depth(data) > 8:
        return "JPEG 2000: colours of more than 8 bits"
    return None


def scale_clear_level(picture: Image.Image, data: bytes) -> None:
    """Bring the transparent sample of a PNG, which has the file's depth, to that of Pillow's samples."""
    depth, clear = data[_PNG_DEPTH_AT], picture.info.get("transparency")
    if picture.mode == "L" and isinstance(clear, int):
        picture.info["transparency"] = clear * 255 // ((1 << depth) - 1)
    elif picture.mode == "RGB" and isinstance(clear, tuple) and depth == 16:
        picture.info["transparency"] = tuple(each >> 8 for each in clear)


def _jpeg2000_depth(data: bytes) -> int:
    """Return bits of the deepest component of a JPEG 2000 file, 0 where it has no codestream."""
    start = data.find(_CODESTREAM)
    if start < 0:
        return 0
    count = int.from_bytes(data[start + _COMPONENTS_AT : start + _COMPONENTS_AT + 2], "big")
    first = start + _COMPONENTS_AT + 2
    return max(((each & 0x7F) + 1 for each in data[first : first + 3 * count : 3]), default=0)


def _png_has_others(chunks: dict[bytes, bytes], *, has_profile: bool) -> bool:
    """Follow the order of precedence of PNG (third edition, 4.3): cICP, iCCP, sRGB, then gAMA and cHRM."""
    if len(said := chunks.get(b"cICP", b"")) >= 2:
        return not _is_usual(said[0], said[1])
    if b"iCCP" in chunks:
        return not has_profile
    if b"sRGB" in chunks:
        return False
    gamma = _fixed(chunks.get(b"gAMA", b""))
    whites = _fixed(chunks.get(b"cHRM", b""))
    return (len(gamma) == 1 and abs(gamma[0] - _SRGB_GAMMA) > _GAMMA_BIT) or (
        len(whites) == len(_SRGB_CHROMATICITIES)
        and any(abs(a - b) > _CHROMATICITY_BIT for a, b in zip(whites, _SRGB_CHROMATICITIES, strict=True))
    )


def _is_usual(primaries: int, transfer: int) -> bool:
    return primaries in _USUAL_PRIMARIES and transfer in _USUAL_TRANSFERS


def _fixed(data: bytes) -> tuple[float, ...]:
    """Return numbers that are kept as hundred thousandths, four bytes each."""
    return tuple(number / 100_000 for (number,) in struct.iter_unpack(">I", data[: len(data) // 4 * 4]))


def _list_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of a PNG in front of its pixels."""
    at = 8
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"IDAT":
            return
        yield kind, data[at + 8 : at + 8 + size]
        at += 12 + size


def _list_nclx(data: bytes) -> list[bytes]:
    """Return what an AVIF or a HEIC says of its colours in codes: of the picture, or of its tiles if that says none."""
    file = io.BytesIO(data)
    try:
        meta = next((box for box in list_boxes(file, 0, len(data)) if box.kind == b"meta"), None)
        found, own = list_properties(file, meta) if meta else ([], [])
    except EOFError:
        return []

    def read(boxes: list[Box]) -> list[bytes]:
        colours = (data[box.start : box.stop] for box in boxes if box.kind == b"colr")
        return [each for each in colours if each[:4] == b"nclx" and len(each) >= 8]

    return read(own) or read(found)
