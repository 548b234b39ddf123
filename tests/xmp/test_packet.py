import xml.etree.ElementTree as ET
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aescli.xmp.marks import RATING, parse_packet
from aescli.xmp.packet import AES, XMP, change_packet, new_packet, read_properties
from tests.xmp.generated import RDF, draw

STARS, SCORE, LABEL = (AES, "Stars"), (AES, "Score"), (XMP, "Label")
VALUES: dict[tuple[str, str], str | None] = {RATING: "4", STARS: "4", SCORE: "7.1234"}
HEAD = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}" xmlns:xmp="{XMP}">'
TAIL = "</rdf:RDF></x:xmpmeta>"


def facts(data: bytes) -> Counter[str]:
    """Return what another parser finds: each property of the picture, as canonical XML or as text."""
    found: Counter[str] = Counter()
    for node in ET.fromstring(data.decode("utf-8-sig")).iter(f"{{{RDF}}}RDF"):
        for description in node:
            found.update(f"{name}={value}" for name, value in description.attrib.items() if RDF not in name)
            for each in description:
                plain = not len(each) and not each.attrib
                found[
                    f"{each.tag}={each.text or ''}" if plain else ET.canonicalize(ET.tostring(each, "unicode").strip())
                ] += 1
    return found


def without_ours(found: Counter[str]) -> Counter[str]:
    ours = tuple(f"{{{space}}}{name}=" for space, name in VALUES)
    return Counter({fact: count for fact, count in found.items() if not fact.startswith(ours)})


@pytest.mark.parametrize("seed", range(300))
def test_what_another_parser_finds_is_what_was_there_and_what_was_set(seed: int) -> None:
    sidecar = draw(seed)
    assert parse_packet(sidecar.data).rating == sidecar.rating
    changed = change_packet(sidecar.data, VALUES)
    before, after = facts(sidecar.data), facts(changed)
    assert without_ours(after) == without_ours(before)
    assert after - without_ours(after) == Counter(
        f"{{{space}}}{name}={value}" for (space, name), value in VALUES.items()
    )
    assert change_packet(changed, VALUES).count(b"7.1234") == 1
    removed = change_packet(changed, dict.fromkeys(VALUES))
    assert facts(removed) == without_ours(before)
    if sidecar.rating is None:  # byte for byte: all stood, and something was put in; an empty <rdf:RDF/> was opened
        kept = _shared(sidecar.data, changed) + _shared(sidecar.data[::-1], changed[::-1])
        assert kept >= len(sidecar.data) - 1


def _shared(one: bytes, other: bytes) -> int:
    """Return how many bytes two strings begin with in common."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def test_both_spellings_of_a_property_are_replaced_once() -> None:
    twice = (
        f'{HEAD}<rdf:Description rdf:about="" xmp:Rating="0"/>'
        '<rdf:Description rdf:about=""><xmp:Rating>0</xmp:Rating><xmp:CreatorTool>x</xmp:CreatorTool></rdf:Description>'
        f"{TAIL}"
    ).encode()
    changed = change_packet(twice, {RATING: "5"})
    assert changed.count(b"Rating") == 1
    assert b"<xmp:CreatorTool>x</xmp:CreatorTool>" in changed
    assert parse_packet(changed).rating == 5


def test_a_rating_inside_a_structure_is_another_pictures() -> None:
    inner = "<xmp:Derived><rdf:Description><xmp:Rating>2</xmp:Rating></rdf:Description></xmp:Derived>"
    packet = f"{HEAD}<rdf:Description rdf:about=''>{inner}</rdf:Description>{TAIL}".encode()
    assert parse_packet(packet).rating is None
    changed = change_packet(packet, {RATING: "4"})
    assert inner.encode() in changed
    assert parse_packet(changed).rating == 4


def test_a_prefix_that_means_something_else_is_not_taken() -> None:
    packet = f'{HEAD}<rdf:Description xmlns:aes="http://other.example/" aes:Stars="9" rdf:about="x"/>{TAIL}'.encode()
    changed = change_packet(packet, {STARS: "4"})
    found = {one.name: one.value for one in read_properties(changed)}
    assert found == {STARS: "4", ("http://other.example/", "Stars"): "9"}


def test_no_description_yet() -> None:
    for packet in (f"{HEAD}{TAIL}", f'<rdf:RDF xmlns:rdf="{RDF}"/>', f'<q:RDF xmlns:q="{RDF}"></q:RDF>'):
        assert parse_packet(change_packet(packet.encode(), {RATING: "4", SCORE: "1"})).rating == 4


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (b"", "no XML"),
        (b"<a/>", "no rdf:RDF"),
        (HEAD.encode(), "no XML"),
        ((f"<!DOCTYPE a [<!ENTITY b 'c'>]>{HEAD}{TAIL}").encode(), "document type"),
        ((HEAD + TAIL).encode("utf-16")[:-1], "no XML"),
        (b"\xff\xfe<\0\0\xd8/\0>\0", "no XML"),
        ((f'<?xml version="1.0" encoding="ISO-8859-1"?>{HEAD}{TAIL}').encode(), "iso-8859-1"),
        (f'<RDF xmlns="{RDF}"></RDF>'.encode(), "prefix"),
        (b"\0" * 100, "no XML"),
        (b"<" * 100_000, "no XML"),
    ],
)
def test_what_cannot_be_changed_safely_is_refused(packet: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        change_packet(packet, {RATING: "4"})


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("seed", range(0, 300, 15))
def test_other_unicode_is_changed_as_utf_8_is_and_stays_what_it_was(seed: int, mark: str, coding: str) -> None:
    sidecar = draw(seed)
    text = mark + sidecar.data.decode("utf-8-sig").replace('encoding="UTF-8"', f'encoding="{coding[:6]}"')
    changed = change_packet(text.encode(coding), VALUES)
    assert changed.decode(coding) == change_packet(
        text.replace(f'"{coding[:6]}"', '"UTF-8"').encode(), VALUES
    ).decode().replace('encoding="UTF-8"', f'encoding="{coding[:6]}"')
    assert parse_packet(changed).rating == 4


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(TEXTS)
def test_any_text_is_a_value(text: str) -> None:
    packet = new_packet({LABEL: text, SCORE: "1"}, text)
    assert ET.fromstring(packet.decode()).tag.endswith("xmpmeta")
    found = {one.name: one.value for one in read_properties(change_packet(packet, {STARS: text}))}
    assert found[LABEL] == found[STARS]
    if text.isprintable() and not set(text) & set("\ufffe\uffff"):
        assert found[LABEL] == text


@given(st.integers(0, 5000), st.integers(0, 10_000), st.sampled_from([b"", b"<", b">", b'"', b"'", b"&", b"\0", b"/>"]))
def test_a_broken_packet_is_refused_or_keeps_everything_else(seed: int, at: int, put: bytes) -> None:
    data = draw(seed).data
    at %= len(data)
    broken = data[:at] + put + data[at + 1 :]
    try:
        before = read_properties(broken)
        changed = change_packet(broken, VALUES)
    except ValueError:
        return
    others = [(one.name, one.value) for one in before if one.name not in VALUES]
    assert [(one.name, one.value) for one in read_properties(changed) if one.name not in VALUES] == others
