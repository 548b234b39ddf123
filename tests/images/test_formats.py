import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aescli.images import formats
from tests.conftest import encoded, photograph

WRITABLE = ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000"]


@pytest.mark.parametrize("name", WRITABLE)
def test_the_content_tells_the_format(name: str) -> None:
    data = encoded(photograph(size=(64, 48)), name)
    assert formats.identify(data) == name
    assert not formats.is_cut(name, data)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_a_cut_file_is_told(name: str) -> None:
    data = encoded(photograph(size=(64, 48)), name)
    assert formats.is_cut(name, data[: len(data) // 2])


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF", "EPS"),
        (b"<?xml version='1.0'?><svg>", "SVG"),
        (b"\xef\xbb\xbf  <svg/>", "SVG"),
        (b"8BPS", "PSD"),
        (b"\xff\x0a", "JPEG XL"),
        (b"P6\n3 3\n255\n", "Netpbm"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "HEIF"),
        (b"\0\0\0\x18ftypcrx ", "RAW"),
        (b"<!DOCTYPE html><title>404</title>", None),
        (b"", None),
        (b"\0" * 100, None),
    ],
)
def test_what_is_refused_is_recognised(data: bytes, name: str | None) -> None:
    assert formats.identify(data) == name


def test_a_camera_raw_is_no_tiff() -> None:
    assert formats.identify(encoded(photograph(size=(8, 8)), "TIFF")) == "TIFF"
    for order in "<>":
        assert formats.identify(directory(order, [(256, 4, 100)])) == "TIFF"
        assert formats.identify(directory(order, [(50706, 1, 0x01040000)])) == "RAW"
        assert formats.identify(directory(order, [(254, 4, 1), (330, 4, 1000)])) == "RAW"
        assert formats.identify(directory(order, [(254, 4, 0), (330, 4, 1000)])) == "TIFF"
        assert formats.identify(directory(order, [(254, 4, 1)])) == "TIFF"


def directory(order: str, tags: list[tuple[int, int, int]]) -> bytes:
    """Return a TIFF of one directory that holds nothing but these tags."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return head + b"".join(struct.pack(f"{order}HHII", tag, kind, 1, value) for tag, kind, value in tags) + bytes(4)


def test_suffixes() -> None:
    assert formats.matches_suffix("JPEG", ".jpeg")
    assert not formats.matches_suffix("PNG", ".jpg")
    assert formats.matches_suffix("RAW", ".nef")
    assert not formats.matches_suffix("RAW", ".jpg")


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(data: bytes) -> None:
    name = formats.identify(data)
    if name:
        formats.is_cut(name, data)


@given(st.binary(max_size=100))
def test_no_tiff_directory_is_too_strange(data: bytes) -> None:
    assert formats.identify(b"II*\0" + data) in {"TIFF", "RAW"}
    assert formats.identify(b"MM\0*" + data) in {"TIFF", "RAW"}
