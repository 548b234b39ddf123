"""XMP packets: their properties, and a change that leaves every other byte as it was.

A packet is never written anew. The bytes of the properties that change are cut out and new attributes are put in, so
that comments, prefixes, order, edit histories and whatever we do not know survive byte for byte; what came out is read
again and compared before anybody writes it. XML with a document type is refused, so no entity is ever expanded.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from aescli.images.reading import take
from aescli.names import escape

XMP = "http://ns.adobe.com/xap/1.0/"
EXIF = "http://ns.adobe.com/exif/1.0/"
PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
AES = "urn:aescli:xmp:1.0/"

LARGEST = 32 << 20  # bytes: darktable keeps whole histories

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XML = "http://www.w3.org/XML/1998/namespace"
_PREFIXES = {XMP: "xmp", AES: "aes"}
_ATTRIBUTE = re.compile(rb"""\s+([^\s=/>]+)\s*=\s*("[^"]*"|'[^']*')""")
_TAG = re.compile(rb"""<(?:[^"'>]+|"[^"]*"|'[^']*')*>""")
_WHITE = b" \t\r\n"

Name = tuple[str, str]  # namespace and local name


@dataclass(frozen=True, slots=True)
class Property:
    """A property of the picture: where its bytes are, and its value if that is plain text, else None."""

    name: Name
    value: str | None
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Tag:
    """A start tag: where its bytes are, and the namespaces that are known in it, by prefix."""

    start: int
    stop: int
    prefixes: Mapping[str, str]


def read_properties(data: bytes) -> list[Property]:
    """Return the properties of a packet's picture, in order; those inside of structures are not the picture's.

    Raises:
        ValueError: it is no XML, too large, or has a document type.

    """
    return _scan(data).properties


def change_packet(data: bytes, values: Mapping[Name, str | None]) -> bytes:
    """Return a packet with some properties set to text, or removed where the value is None.

    Raises:
        ValueError: it is no XMP in UTF-8, or the change cannot be made without touching something else.

    """
    before = _scan(data)
    unicode = _unicode_of(data)
    if not unicode and before.encoding not in ("", "utf-8", "us-ascii"):
        raise ValueError(f"its XMP is in {before.encoding}: only Unicode is changed")
    edits = [(found.start, found.stop, b"") for found in before.properties if found.name in values]
    values = {name: None if value is None else _clean(value) for name, value in values.items()}
    wanted = {name: value for name, value in values.items() if value is not None}
    if wanted:
        edits.append(_addition(before, wanted))
    changed = _splice(before.data, edits)
    after = changed.decode().encode(unicode) if unicode else changed
    _refuse_other_changes(before, _scan(after), values)
    return after


def new_packet(values: Mapping[Name, str], tool: str) -> bytes:
    """Return a packet that says nothing else; `tool` is the program that writes it."""
    attributes = "".join(
        f"\n    {_PREFIXES[space]}:{local}={quoteattr(_clean(value))}" for (space, local), value in values.items()
    )
    spaces = "".join(f"\n    xmlns:{prefix}={quoteattr(space)}" for space, prefix in _PREFIXES.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk={quoteattr(_clean(tool))}>\n'
        f' <rdf:RDF xmlns:rdf="{_RDF}">\n'
        f'  <rdf:Description rdf:about=""{spaces}{attributes}/>\n'
        " </rdf:RDF>\n"
        "</x:xmpmeta>\n"
        '<?xpacket end="w"?>\n'
    ).encode()


@dataclass(slots=True)
class _Scan:
    """Walks one packet and remembers where things stand."""

    data: bytes
    properties: list[Property] = field(default_factory=list)
    encoding: str = ""
    rdf: _Tag | None = None
    rdf_stop: int = 0  # where its end tag begins
    node: _Tag | None = None  # the first description in it
    about: str = ""
    _depth: int = 0
    _rdf_depth: int = 0  # 0 outside of it
    _prefixes: dict[str, list[str]] = field(default_factory=dict)
    _element: _Tag | None = None  # the property that is open
    _text: list[str] | None = None
    _parser: Any = None

    def run(self, encoding: str | None) -> None:
        self._parser = expat.ParserCreate(encoding, " ")
        self._parser.StartDoctypeDeclHandler = _refuse_doctype
        self._parser.XmlDeclHandler = self._declare
        self._parser.StartNamespaceDeclHandler = self._bind
        self._parser.EndNamespaceDeclHandler = lambda prefix: self._prefixes[prefix or ""].pop()
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._finish
        self._parser.CharacterDataHandler = self._add
        try:
            self._parser.Parse(self.data, True)  # noqa: FBT003
        except expat.ExpatError as error:
            raise ValueError(f"its XMP is no XML: {error}") from error
        finally:
            self._parser = None

    def _declare(self, _version: str, encoding: str | None, _standalone: int) -> None:
        self.encoding = (encoding or "").lower()

    def _bind(self, prefix: str | None, space: str | None) -> None:
        self._prefixes.setdefault(prefix or "", []).append(space or "")

    def _begin(self, name: str, attributes: Mapping[str, str]) -> None:
        inside = self._depth - self._rdf_depth if self._rdf_depth else -1
        self._depth += 1
        if inside < 0:
            if name == f"{_RDF} RDF" and self.rdf is None:
                self.rdf, self._rdf_depth = self._tag(), self._depth
        elif inside == 0:
            self._take_attributes(self._tag(), attributes)
        elif inside == 1:
            self._element, self._text = self._tag(), []
        else:
            self._text = None  # a structure

    def _add(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _finish(self, name: str) -> None:
        self._depth -= 1
        if not self._rdf_depth:
            return
        if self._depth == self._rdf_depth + 1 and self._element:
            self._take_element(self._element, name)
            self._element = self._text = None
        elif self._depth < self._rdf_depth:
            self.rdf_stop, self._rdf_depth = self._parser.CurrentByteIndex, 0

    def _tag(self) -> _Tag:
        start = self._parser.CurrentByteIndex
        prefixes = {prefix: spaces[-1] for prefix, spaces in self._prefixes.items() if spaces}
        return _Tag(start, _end_of_tag(self.data, start), prefixes)

    def _take_attributes(self, tag: _Tag, attributes: Mapping[str, str]) -> None:
        self.node = self.node or tag
        self.about = attributes.get(f"{_RDF} about", self.about)
        for found in _ATTRIBUTE.finditer(self.data, tag.start, tag.stop):
            prefix, colon, local = found[1].decode(errors="replace").partition(":")
            space = tag.prefixes.get(prefix, "") if colon else ""
            if space not in ("", _RDF, _XML):
                value = attributes[f"{space} {local}"]
                self.properties.append(Property((space, local), value, found.start(), found.end()))

    def _take_element(self, tag: _Tag, name: str) -> None:
        stop = tag.stop if _is_empty(self.data, tag) else self.data.index(b">", self._parser.CurrentByteIndex) + 1
        start = tag.start
        while start and self.data[start - 1] in _WHITE:  # its line goes with it
            start -= 1
        space, _, local = name.rpartition(" ")
        value = None if self._text is None else "".join(self._text)
        self.properties.append(Property((space, local), value, start, stop))


def take_packet(file: BinaryIO, at: int, size: int) -> bytes:
    """Return `size` bytes of XMP, or of a table that leads to it.

    Raises:
        EOFError: the file ends before.
        ValueError: it is too large.

    """
    if size > LARGEST:
        raise ValueError(f"its XMP has more than {LARGEST >> 20} MB")
    return take(file, at, size)


def _scan(data: bytes) -> _Scan:
    if len(data) > LARGEST:
        raise ValueError(f"its XMP has more than {LARGEST >> 20} MB")
    utf8 = _as_utf8(data)
    scan = _Scan(utf8)
    scan.run("utf-8" if utf8 is not data else None)
    return scan


def _refuse_doctype(*_: object) -> None:
    raise ValueError("its XMP has a document type, which no camera or program writes")


def _unicode_of(data: bytes) -> str:
    """Return how a packet in UTF-16 or UTF-32 is written, nothing for UTF-8."""
    # A mark at its head is taken for a character of it, and so stays where it is.
    head = data[:4].replace(b"\xff\xfe\0\0", b"<\0\0\0").replace(b"\0\0\xfe\xff", b"\0\0\0<")
    if head in (b"<\0\0\0", b"\0\0\0<"):
        return "utf-32-le" if head[0] else "utf-32-be"
    return {b"\xff\xfe": "utf-16-le", b"<\0": "utf-16-le", b"\xfe\xff": "utf-16-be", b"\0<": "utf-16-be"}.get(
        head[:2], ""
    )


def _as_utf8(data: bytes) -> bytes:
    """Return the same bytes, or those of a packet in UTF-16 or UTF-32 as UTF-8."""
    unicode = _unicode_of(data)
    try:
        return data.decode(unicode).encode() if unicode else data
    except UnicodeError as error:
        raise ValueError(f"its XMP is no XML: {error}") from error


def _end_of_tag(data: bytes, start: int) -> int:
    """Return where the tag at `start` ends; a `>` in quotes is a part of it."""
    found = _TAG.match(data, start)
    if not found:
        raise ValueError("its XMP is no XML: a tag has no end")
    return found.end()


def _is_empty(data: bytes, tag: _Tag) -> bool:
    return data[tag.stop - 2 : tag.stop] == b"/>"


def _addition(scan: _Scan, values: Mapping[Name, str]) -> tuple[int, int, bytes]:
    """Return where attributes with these values go, and their bytes: (start, stop, what stands between)."""
    if scan.rdf is None:
        raise ValueError("its XMP has no rdf:RDF")
    if scan.node is None:
        return _first_node(scan, scan.rdf, values)
    tag = scan.node
    stop = tag.stop - (2 if _is_empty(scan.data, tag) else 1)
    found = [*_ATTRIBUTE.finditer(scan.data, tag.start, stop)]
    gap = scan.data[found[-1].start() : found[-1].start(1)].decode() if found else " "
    stop = found[-1].end() if found else stop
    return stop, stop, _attributes(values, tag.prefixes, gap).encode()


def _first_node(scan: _Scan, rdf: _Tag, values: Mapping[Name, str]) -> tuple[int, int, bytes]:
    name = next((prefix for prefix, space in rdf.prefixes.items() if space == _RDF and prefix), "")
    if not name:
        raise ValueError("its XMP has no prefix for RDF")
    node = f"<{name}:Description {name}:about={quoteattr(scan.about)}{_attributes(values, rdf.prefixes, ' ')}/>"
    if not _is_empty(scan.data, rdf):
        return scan.rdf_stop, scan.rdf_stop, node.encode()
    return rdf.stop - 2, rdf.stop, f">{node}</{name}:RDF>".encode()


def _attributes(values: Mapping[Name, str], known: Mapping[str, str], gap: str) -> str:
    """Return attributes, after declarations of the namespaces that are not known yet."""
    prefixes = {space: prefix for prefix, space in known.items() if prefix}
    declared = []
    for space in dict.fromkeys(space for space, _ in values):
        if space in prefixes:
            continue
        wanted = _PREFIXES.get(space, "ns")
        free = next(name for name in (wanted, *(f"{wanted}{at}" for at in range(1, 1000))) if name not in known)
        prefixes[space] = free
        declared.append(f"{gap}xmlns:{free}={quoteattr(space)}")
    return "".join([
        *declared, *(f"{gap}{prefixes[space]}:{local}={quoteattr(value)}" for (space, local), value in values.items())
    ])  # fmt: skip


def _splice(data: bytes, edits: Iterable[tuple[int, int, bytes]]) -> bytes:
    parts, at = [], 0
    for start, stop, text in sorted(edits, key=lambda edit: edit[:2]):
        parts += [data[at:start], text]
        at = stop
    return b"".join([*parts, data[at:]])


def _refuse_other_changes(before: _Scan, after: _Scan, values: Mapping[Name, str | None]) -> None:
    """Check by reading what was written: everything else has its own bytes, and the values are those that were set."""

    def others(scan: _Scan) -> list[tuple[Name, bytes]]:
        return [(one.name, scan.data[one.start : one.stop]) for one in scan.properties if one.name not in values]

    found = {one.name: one.value for one in after.properties if one.name in values}
    if others(before) != others(after) or found != {name: value for name, value in values.items() if value is not None}:
        raise ValueError("its XMP cannot be changed without touching something else")


def _clean(value: str) -> str:
    """Return text that XML can hold, on one line."""
    return escape(value).replace("\ufffe", "?").replace("\uffff", "?")
