"""When a picture was taken and whether as one of a bracket, as its EXIF says; nothing is decoded."""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module

from PIL import Image, UnidentifiedImageError

from aescli.images import formats

_EXIF_IFD, _TAKEN, _FRACTION, _EXPOSURE_MODE = 0x8769, 36867, 37521, 41986
_AUTO_BRACKET = 2  # of the exposure modes
_HEAD = 4096  # bytes that tell the format
_READABLE = frozenset({"JPEG", "TIFF", "PNG", "WEBP"})


@dataclass(frozen=True, slots=True)
class Capture:
    """`taken` in seconds since 1970, None where a picture does not say; `bracketed`: one of several exposures."""

    taken: float | None = None
    bracketed: bool = False


def read_taken(path: str) -> float | None:
    """Return seconds since 1970 of EXIF's DateTimeOriginal, taken for UTC; None where a picture does not say."""
    return read_capture(path).taken


def read_capture(path: str) -> Capture:
    """Return what EXIF says of the moment. Camera raw files that are built like a TIFF say it too."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - bytes stay exact
            name = formats.identify(file.read(_HEAD))
            name = "TIFF" if name == "RAW" else name
            if name not in _READABLE:
                return Capture()
            import_module(f"PIL.{formats.PILLOW_PLUGINS[name]}ImagePlugin")
            file.seek(0)
            with Image.open(file, formats=[name]) as opened:
                inner = opened.getexif().get_ifd(_EXIF_IFD)
                taken = _seconds(str(inner.get(_TAKEN, "")), str(inner.get(_FRACTION, "")))
                return Capture(taken, inner.get(_EXPOSURE_MODE) == _AUTO_BRACKET)
    except (OSError, UnidentifiedImageError, ValueError, TypeError, KeyError, SyntaxError, struct.error):
        return Capture()
    except (OverflowError, IndexError, AttributeError, EOFError, Image.DecompressionBombError):
        return Capture()


def _seconds(taken: str, fraction: str) -> float | None:
    text = taken.strip("\0 ")
    if not text:
        return None
    seconds = datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    digits = fraction.strip("\0 ")
    return seconds + (float(f"0.{digits}") if digits.isdigit() else 0.0)
