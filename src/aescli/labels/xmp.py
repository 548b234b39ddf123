"""Ratings of a photo library: `xmp:Rating` and `xmp:Label` in sidecars and in the pictures themselves.

A sidecar is `x.jpg.xmp` (darktable, digiKam) or `x.xmp` (Lightroom, Bridge, Capture One). Stars are 1 to 5, -1 is
rejected and counts as 0, and 0 is unrated: no label (XMP part 1). XML with a document type is refused, so no entity is
ever expanded.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from aescli.images.find import Selection, find
from aescli.images.formats import SUFFIXES
from aescli.labels.columns import number
from aescli.labels.values import OVERALL, Labelled, Problem
from aescli.names import escape

_NAMESPACE = "http://ns.adobe.com/xap/1.0/"
_LARGEST_SIDECAR = 32 << 20  # bytes: darktable keeps whole histories
_SCANNED = 1 << 20  # bytes from either end of a picture; its packet stands near one of them
_BEGIN, _END = (b"<x:xmpmeta", b"<rdf:RDF"), (b"</x:xmpmeta>", b"</rdf:RDF>")
_PLAIN = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"})


@dataclass(slots=True)
class Marks:
    """What a packet says: `rating` -1 or 0 to 5, `label` a colour or any word; None and empty where it says nothing."""

    rating: float | None = None
    label: str = ""


def read_library(folder: Path, colours: Mapping[str, float]) -> Iterator[Labelled | Problem]:
    """Yield the rated pictures of a folder; a sidecar goes before what the picture itself says.

    Args:
        folder: walked as `aes score` walks it.
        colours: what a label is worth where there are no stars; names are compared without case.

    """
    worth = {name.lower(): value for name, value in colours.items()}
    for found in find((str(folder),), Selection()):
        if found.problem:
            yield Problem(found.path, found.problem.message)
            continue
        try:
            marks, source = _read_marks(found.path)
        except (ValueError, OSError) as error:
            yield Problem(escape(found.path), str(error))
            continue
        score = _score(marks, worth)
        if score is not None:
            yield Labelled(found.path, {OVERALL: score}, columns=_columns(marks), source=escape(source))


def parse_packet(packet: bytes) -> Marks:
    """Return the marks of an XMP packet.

    Raises:
        ValueError: it is no XML, has a document type, or its rating is none.

    """
    reader = _Reader()
    try:
        reader.parser.Parse(packet, True)  # noqa: FBT003
    except expat.ExpatError as error:
        raise ValueError(f"its XMP is no XML: {error}") from error
    return reader.marks


def _read_marks(path: str) -> tuple[Marks, str]:
    """Return what is said of a picture, and which file says it."""
    for sidecar in _sidecars(path):
        packet = _read_sidecar(sidecar)
        try:
            marks = parse_packet(packet)
        except ValueError as error:
            raise ValueError(f"{escape(sidecar)}: {error}") from error
        if marks.rating is not None or marks.label:
            return marks, sidecar
    embedded = find_packet(path)
    return (parse_packet(embedded) if embedded else Marks()), path


def _sidecars(path: str) -> list[str]:
    stem, suffix = os.path.splitext(path)  # noqa: PTH122 - bytes stay exact
    names = [f"{path}.xmp", f"{path}.XMP"]
    # Beside a camera's raw file, x.xmp is that file's, and not of the x.jpg that lies there too.
    if suffix.lower() not in _PLAIN or not _has_raw_twin(stem):
        names += [f"{stem}.xmp", f"{stem}.XMP"]
    return [name for name in names if os.path.isfile(name)]  # noqa: PTH113


def _has_raw_twin(stem: str) -> bool:
    raw = [suffix for suffix in SUFFIXES - _PLAIN if suffix[1:2] != "j"]
    return any(os.path.isfile(f"{stem}{form(each)}") for each in raw for form in (str.lower, str.upper))  # noqa: PTH113


def _read_sidecar(sidecar: str) -> bytes:
    with open(sidecar, "rb") as file:  # noqa: PTH123 - bytes stay exact
        packet = file.read(_LARGEST_SIDECAR + 1)
    if len(packet) > _LARGEST_SIDECAR:
        raise ValueError(f"{escape(sidecar)} has more than {_LARGEST_SIDECAR >> 20} MB")
    return packet


def find_packet(path: str) -> bytes:
    """Return the XMP packet inside a picture of any format, found by its own marks as the standard intends; or none."""
    with open(path, "rb") as file:  # noqa: PTH123
        size = os.fstat(file.fileno()).st_size
        parts = [file.read(_SCANNED)]
        if size > _SCANNED:
            file.seek(max(_SCANNED, size - _SCANNED))
            parts.append(file.read(_SCANNED))
    for part in parts:
        for begin, end in zip(_BEGIN, _END, strict=True):
            start = part.find(begin)
            stop = part.find(end, start)
            if 0 <= start < stop:
                return part[start : stop + len(end)]
    return b""


@dataclass(slots=True)
class _Reader:
    """Reads one packet; both spellings of a property: an attribute of rdf:Description, and an element of its own."""

    marks: Marks = field(default_factory=Marks)
    parser: Any = field(default_factory=lambda: expat.ParserCreate(namespace_separator=" "))
    _element: str = ""
    _text: str = ""

    def __post_init__(self) -> None:
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._finish
        self.parser.CharacterDataHandler = self._add

    def _refuse(self, *_: object) -> None:
        raise ValueError("its XMP has a document type, which no camera or program writes")

    def _begin(self, name: str, attributes: Mapping[str, str]) -> None:
        self._element, self._text = name, ""
        for key, value in attributes.items():
            self._take(key, value)

    def _add(self, text: str) -> None:
        self._text += text if len(self._text) < 1000 else ""

    def _finish(self, name: str) -> None:
        if name == self._element:
            self._take(name, self._text)
        self._element = ""

    def _take(self, name: str, text: str) -> None:
        match name:
            case _ if name == f"{_NAMESPACE} Rating" and text.strip():
                rating = number(text.strip(), "xmp:Rating")
                if not -1 <= rating <= 5:
                    raise ValueError(f"xmp:Rating is {rating:g}, not -1 or 0 to 5")
                self.marks.rating = rating
            case _ if name == f"{_NAMESPACE} Label":
                self.marks.label = text.strip()


def _score(marks: Marks, worth: Mapping[str, float]) -> float | None:
    if marks.rating:  # neither unrated nor absent
        return max(marks.rating, 0.0)
    return worth.get(marks.label.lower()) if marks.label else None


def _columns(marks: Marks) -> dict[str, str]:
    return {"label": marks.label} if marks.label else {}
