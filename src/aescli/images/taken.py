"""When a picture was taken and whether as one of a bracket, as its EXIF says; nothing is decoded."""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from aescli.images import formats
from aescli.images.boxes import find_items, list_boxes
from aescli.images.reading import take

_EXIF_IFD, _TAKEN, _FRACTION, _EXPOSURE_MODE = 0x8769, 36867, 37521, 41986
_OFFSETS = (36881, 36880)  # of DateTimeOriginal from UTC, and of DateTime
_AUTO_BRACKET = 2  # of the exposure modes
_HEAD = 4096  # bytes that tell the format
_OPENED = frozenset({"JPEG", "TIFF", "PNG", "WEBP"})  # by Pillow, which reads no more than their heads
_IN_BOXES = frozenset({"HEIF", "AVIF"})
_LARGEST = 1 << 20  # bytes of EXIF, with a thumbnail in it


@dataclass(frozen=True, slots=True)
class Capture:
    """What a picture says of its moment.

    Args:
        taken: seconds since 1970 by the camera's own clock, as if that were UTC; None where a picture does not say.
        bracketed: it is one of several exposures.
        offset: by how many seconds that clock is before UTC; None where a picture does not say.

    """

    taken: float | None = None
    bracketed: bool = False
    offset: float | None = None


def read_capture(path: str) -> Capture:
    """Return what EXIF says of the moment. Camera raw files that are built like a TIFF say it too."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - bytes stay exact
            name = formats.identify(file.read(_HEAD))
            inner = _read_exif(file, "TIFF" if name == "RAW" else name)
            taken = _seconds(str(inner.get(_TAKEN, "")), str(inner.get(_FRACTION, "")))
            offset = next((found for tag in _OFFSETS if (found := _offset(str(inner.get(tag, "")))) is not None), None)
            return Capture(taken, inner.get(_EXPOSURE_MODE) == _AUTO_BRACKET, offset)
    except (OSError, UnidentifiedImageError, ValueError, TypeError, KeyError, SyntaxError, struct.error):
        return Capture()
    except (OverflowError, IndexError, AttributeError, EOFError, Image.DecompressionBombError):
        return Capture()


def _read_exif(file: BinaryIO, name: str | None) -> Mapping[int, object]:
    if name in _IN_BOXES:
        return _read_boxes(file).get_ifd(_EXIF_IFD)
    if name not in _OPENED:
        return {}
    import_module(f"PIL.{formats.PILLOW_PLUGINS[name]}ImagePlugin")
    file.seek(0)
    with Image.open(file, formats=[name]) as opened:
        return opened.getexif().get_ifd(_EXIF_IFD)  # while it is open: a TIFF is read as it is asked


def _read_boxes(file: BinaryIO) -> Image.Exif:
    """Return the EXIF item of a `meta` box: where its TIFF begins stands in four bytes before (ISO 23008-12, A.2.1)."""
    exif = Image.Exif()
    for box in list_boxes(file, 0, file.seek(0, 2)):
        for parts in find_items(file, box, lambda kind, _: kind == b"Exif") if box.kind == b"meta" else ():
            if sum(size for _, size in parts) <= _LARGEST:
                data = b"".join(take(file, at, size) for at, size in parts)
                exif.load(data[4 + int.from_bytes(data[:4], "big") :])
                return exif
    return exif


def _seconds(taken: str, fraction: str) -> float | None:
    text = taken.strip("\0 ")
    if not text:
        return None
    seconds = datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    digits = fraction.strip("\0 ")
    return seconds + (float(f"0.{digits}") if digits.isdigit() else 0.0)


def _offset(text: str) -> float | None:
    found = re.fullmatch(r"([+-])(\d\d):([0-5]\d)", text.strip("\0 "))
    return float(f"{found[1]}{int(found[2]) * 3600 + int(found[3]) * 60}") if found else None
