"""What is said of a picture in XMP: stars and a colour label, and who may have said it."""

import math
from dataclasses import dataclass

from aescli.names import escape
from aescli.xmp.embedded import find_packets
from aescli.xmp.files import list_sidecars, read_sidecar
from aescli.xmp.packet import XMP, read_properties

RATING, LABEL = (XMP, "Rating"), (XMP, "Label")


@dataclass(slots=True)
class Marks:
    """What a packet says: `rating` -1 or 0 to 5, `label` a colour or any word; None and empty where it says nothing."""

    rating: float | None = None
    label: str = ""

    def __bool__(self) -> bool:
        """Tell whether it says anything."""
        return self.rating is not None or bool(self.label)


def parse_packet(packet: bytes) -> Marks:
    """Return the marks of an XMP packet.

    Raises:
        ValueError: it is no XML, has a document type, its rating is none, or it has two that differ.

    """
    marks = Marks()
    for found in read_properties(packet):
        text = (found.value or "").strip()
        if found.name == RATING and (text or found.value is None):
            rating = _rating(found.value)
            if marks.rating not in (None, rating):
                raise ValueError(f"xmp:Rating is {marks.rating:g}, and in the same packet {rating:g}")
            marks.rating = rating
        elif found.name == LABEL:
            marks.label = text
    return marks


def read_marks(path: str) -> tuple[Marks, str]:
    """Return what is said of a picture, and which file says it.

    Sidecars go before the picture itself: whichever says a rating first gives the rating, and the same for the label.
    0 stars are no rating.

    Raises:
        ValueError: a packet cannot be read, and nothing before it says a rating.
        OSError: a file cannot be read.

    """
    marks, source = Marks(), path
    for where in (*list_sidecars(path), path):
        try:
            found = read_embedded(path) if where == path else read_marks_of(where)
        except ValueError:
            if marks.rating:
                break
            raise
        nothing_before = not (marks.rating or marks.label)
        if (found.rating and not marks.rating) or (found.label and nothing_before):
            source = where
        marks = Marks(marks.rating or found.rating, marks.label or found.label)
        if marks.rating and marks.label:
            break
    return marks, source


def read_marks_of(sidecar: str) -> Marks:
    """Return what a sidecar says.

    Raises:
        ValueError: it cannot be read; the message names it.
        OSError: it cannot be read.

    """
    packet = read_sidecar(sidecar)
    try:
        return parse_packet(packet)
    except ValueError as error:
        raise ValueError(f"{escape(sidecar)}: {error}") from error


def read_embedded(path: str) -> Marks:
    """Return what a picture says of itself.

    Raises:
        ValueError: a packet cannot be read.
        OSError: the file cannot be read.

    """
    marks = Marks()
    for packet in find_packets(path):
        found = parse_packet(packet)
        marks.rating = marks.rating or found.rating  # 0 is no rating
        marks.label = marks.label or found.label
    return marks


def _rating(text: str | None) -> float:
    if text is None:
        raise ValueError("xmp:Rating is no number but a structure")
    try:
        rating = float(text)
    except ValueError:
        raise ValueError(f"xmp:Rating is no number but {escape(text[:40])!r}") from None
    if not math.isfinite(rating):
        raise ValueError(f"xmp:Rating is not finite: {text}")
    if not -1 <= rating <= 5:
        raise ValueError(f"xmp:Rating is {rating:g}, not -1 or 0 to 5")
    return rating
