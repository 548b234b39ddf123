"""When a picture was taken, as its EXIF says, else its XMP: what programs export may hold the latter alone."""

import os
from dataclasses import replace
from datetime import UTC, datetime

from aescli.images.taken import Capture, read_capture
from aescli.xmp.embedded import find_packets
from aescli.xmp.packet import EXIF, PHOTOSHOP, read_properties

_MOMENTS = ((EXIF, "DateTimeOriginal"), (PHOTOSHOP, "DateCreated"))  # of the shutter; xmp:CreateDate may be the file's


def read_moment(path: str) -> Capture:
    """Return what a picture says of its moment."""
    found = read_capture(path)
    if found.taken is not None or not os.path.isfile(path):  # noqa: PTH113 - a FIFO would never end
        return found
    said: dict[tuple[str, str], str] = {}
    try:
        for packet in find_packets(path):
            for each in read_properties(packet):
                if each.name in _MOMENTS and each.value:
                    said.setdefault(each.name, each.value.strip())
    except (ValueError, OSError):
        return found
    moment = next((moment for name in _MOMENTS if (moment := _moment(said.get(name, "")))), found)
    return replace(moment, bracketed=found.bracketed)


def _moment(text: str) -> Capture | None:
    """Return the moment of an XMP date (ISO 8601), None where it is none or says no time of the day."""
    if "T" not in text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        offset = moment.utcoffset()
        taken = moment.replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
    return Capture(taken, offset=None if offset is None else offset.total_seconds())
