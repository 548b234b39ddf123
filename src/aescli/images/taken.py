"""When a picture was taken and whether as one of a bracket, as its EXIF says; nothing is decoded."""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from aescli.images import formats
from aescli.images.exif import read_exif

_TAKEN, _FRACTION, _EXPOSURE_MODE = 36867, 37521, 41986
_OFFSETS = (36881, 36880)  # of DateTimeOriginal from UTC, and of DateTime
_WANTED = frozenset({_TAKEN, _FRACTION, _EXPOSURE_MODE, *_OFFSETS})
_AUTO_BRACKET = 2  # of the exposure modes
_HEAD = 4096  # bytes that tell the format


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
    """Return what EXIF says of the moment."""
    if not os.path.isfile(path):  # noqa: PTH113 - a FIFO would never end
        return Capture()
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - bytes stay exact
            said = read_exif(file, formats.identify(file.read(_HEAD)), _WANTED)
            taken = _seconds(str(said.get(_TAKEN, "")), str(said.get(_FRACTION, "")))
            offset = next((found for tag in _OFFSETS if (found := _offset(str(said.get(tag, "")))) is not None), None)
            return Capture(taken, said.get(_EXPOSURE_MODE) == _AUTO_BRACKET, offset)
    except (OSError, EOFError, ValueError, OverflowError):
        return Capture()


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
