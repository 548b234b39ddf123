"""When a picture was taken, as its EXIF says; nothing is decoded."""

import struct
from datetime import UTC, datetime
from importlib import import_module

from PIL import Image, UnidentifiedImageError

from aescli.images import formats

_EXIF_IFD, _TAKEN, _FRACTION = 0x8769, 36867, 37521
_HEAD = 4096  # bytes that tell the format
_READABLE = frozenset({"JPEG", "TIFF", "PNG", "WEBP"})


def read_taken(path: str) -> float | None:
    """Return seconds since 1970 of EXIF's DateTimeOriginal, taken for UTC; None where a picture does not say.

    Camera raw files that are built like a TIFF say it too.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - bytes stay exact
            name = formats.identify(file.read(_HEAD))
            name = "TIFF" if name == "RAW" else name
            if name not in _READABLE:
                return None
            import_module(f"PIL.{formats.PILLOW_PLUGINS[name]}ImagePlugin")
            file.seek(0)
            with Image.open(file, formats=[name]) as opened:
                inner = opened.getexif().get_ifd(_EXIF_IFD)
                return _seconds(str(inner.get(_TAKEN, "")), str(inner.get(_FRACTION, "")))
    except (OSError, UnidentifiedImageError, ValueError, TypeError, KeyError, SyntaxError, struct.error):
        return None
    except (OverflowError, IndexError, AttributeError, EOFError, Image.DecompressionBombError):
        return None


def _seconds(taken: str, fraction: str) -> float | None:
    text = taken.strip("\0 ")
    if not text:
        return None
    seconds = datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    digits = fraction.strip("\0 ")
    return seconds + (float(f"0.{digits}") if digits.isdigit() else 0.0)
