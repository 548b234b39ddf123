"""Moments of pictures, from wherever each format keeps them."""

import os
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aescli.images.boxes import find_items, list_boxes
from aescli.images.taken import read_capture
from tests.conftest import encoded, needs_posix, photograph
from tests.exif import taken
from tests.tiff import directory, directory_size, tiff


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png", ".webp", ".avif", ".heic"])
def test_when_a_picture_was_taken(tmp_path: Path, suffix: str) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif", reason="only the encoder package can write HEIC").register_heif_opener()
    file = taken(tmp_path, "a", "1970:01:01 00:01:00", suffix, "25")
    assert read_capture(str(file)).taken == 60.25


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def raw_files(folder: Path, moment: str) -> dict[str, bytes]:
    """Return files as cameras build them, as far as the moment is concerned."""
    exif, inner = Image.Exif(), Image.Exif()
    exif.get_ifd(0x8769)[36867] = inner[36867] = moment
    outer = {}
    for exif.endian in ("<", ">"):
        outer[exif.endian] = exif.tobytes().removeprefix(b"Exif\0\0")[4:]
    canon = (
        bytes.fromhex("85c0b687820f11e08111f4ce462b6a48") + box(b"CNCV", b"1") + box(b"CMT1", b"II*\0\x08\0\0\0\0\0")
    )
    canon += box(b"CMT2", inner.tobytes().removeprefix(b"Exif\0\0"))
    jpeg = taken(folder, "in raw", moment).read_bytes()
    return {
        "cr3": box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", box(b"uuid", canon)) + box(b"mdat", bytes(99)),
        "raf": b"FUJIFILMCCD-RAW ".ljust(84, b"\0") + (92).to_bytes(4, "big") + len(jpeg).to_bytes(4, "big") + jpeg,
        "rw2": b"IIU\0" + outer["<"],
        "old.orf": b"MMOR" + outer[">"],
        "orf": b"IIRO" + outer["<"],
    }


@pytest.mark.parametrize("kind", ["cr3", "raf", "rw2", "old.orf", "orf"])
def test_cameras_own_formats_say_when_they_were_taken(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"a.{kind}"
    whole = raw_files(tmp_path, "1970:01:01 00:01:00")[kind]
    file.write_bytes(whole)
    assert read_capture(str(file)).taken == 60.0
    for cut in range(0, len(whole), max(1, len(whole) // 60)):
        file.write_bytes(whole[:cut])
        read_capture(str(file))  # whatever it says


@pytest.mark.parametrize("moment", ["0000:00:00 00:00:00", "yesterday", "    :  :     :  :  ", None])
def test_a_moment_that_is_none(tmp_path: Path, moment: str | None) -> None:
    assert read_capture(str(taken(tmp_path, "a", moment))).taken is None
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff\xe1\xff\xffExif")
    assert read_capture(str(tmp_path / "b.jpg")).taken is None
    assert read_capture(str(tmp_path / "gone.jpg")).taken is None


@given(cut=st.integers(0, 2000), at=st.integers(0, 700), byte=st.integers(0, 255))
def test_boxes_that_lie_say_nothing(tmp_path_factory: pytest.TempPathFactory, cut: int, at: int, byte: int) -> None:
    whole = taken(tmp_path_factory.mktemp("boxes"), "a", "1970:01:01 00:01:00", ".avif")
    data = bytearray(whole.read_bytes())
    data[at] = byte
    whole.write_bytes(data[: cut if cut else None])
    read_capture(str(whole))  # whatever it says


def test_a_table_of_places_that_take_no_room(tmp_path: Path) -> None:
    """Items with 65,535 parts of no size each: four hundred of them would take half a minute."""
    entry = box(b"infe", b"\2\0\0\0" + b"\0\1\0\0Exif\0")
    places = b"\0\0\0\0" + b"\0\0" + (60_000).to_bytes(2, "big") + (b"\0\1\0\0\xff\xff") * 60_000
    meta = box(b"meta", bytes(4) + box(b"iinf", bytes(4) + b"\0\1" + entry) + box(b"iloc", places))
    file = tmp_path / "a.heic"
    file.write_bytes(box(b"ftyp", b"heic\0\0\0\0mif1heic") + meta)
    with file.open("rb") as opened, pytest.raises(EOFError):
        list(find_items(opened, [*list_boxes(opened, 0, file.stat().st_size)][1], lambda kind, _: kind == b"Exif"))
    assert read_capture(str(file)).taken is None


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_no_pixel_is_decoded_for_a_moment(tmp_path: Path) -> None:
    """A PNG of 14 GB in a hundred bytes, which says nothing, or behind its pixels."""
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0))
    head += chunk(b"IDAT", zlib.compress(bytes(1000)))
    file = tmp_path / "a.png"
    file.write_bytes(head + chunk(b"IEND", b""))
    assert read_capture(str(file)).taken is None
    exif = Image.Exif()
    exif.get_ifd(0x8769)[36867] = "1970:01:01 00:01:00"
    file.write_bytes(head + chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + chunk(b"IEND", b""))
    assert read_capture(str(file)).taken == 60.0


@pytest.mark.parametrize("kind", [b"zTXt", b"tEXt"])
def test_a_png_as_older_writers_kept_exif(tmp_path: Path, kind: bytes) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[36867] = "1970:01:01 00:01:00"
    data = exif.tobytes()
    profile = b"\nexif\n%8d\n" % len(data) + data.hex().encode() + b"\n"
    text = b"Raw profile type exif\0" + (b"\0" + zlib.compress(profile) if kind == b"zTXt" else profile)
    file = tmp_path / "a.png"
    photograph(1, (40, 30)).save(file)
    whole = file.read_bytes()
    file.write_bytes(whole[:33] + chunk(kind, text) + whole[33:])
    assert read_capture(str(file)).taken == 60.0
    file.write_bytes(whole[:33] + chunk(kind, text[:-40]) + whole[33:])
    assert read_capture(str(file)).taken is None


@pytest.mark.parametrize(("photometric", "compression"), [(32803, 1), (34892, 7), (32803, 65535)])
def test_a_raw_file_whose_first_picture_is_the_sensors(tmp_path: Path, photometric: int, compression: int) -> None:
    """As phones, drones and Pentax write: no decoder of TIFF opens it."""
    tags = {
        256: (4, [8]), 257: (4, [6]), 258: (3, [16]), 259: (3, [compression]), 262: (3, [photometric]), 277: (3, [1]),
        278: (4, [6]), 279: (4, [96]), 34665: (4, [0]), 50706: (1, [1, 4, 0, 0]),
    }  # fmt: skip
    at = 8 + directory_size({**tags, 273: (4, [0])}) + 96
    inner = directory({36867: (2, b"1970:01:01 00:01:00\0")}, at)
    file = tmp_path / "a.dng"
    file.write_bytes(tiff({**tags, 34665: (4, [at])}, bytes(96) + inner))
    assert read_capture(str(file)).taken == 60.0


def segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def test_segments_of_a_jpeg_are_read_as_one(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[36867] = "1970:01:01 00:01:00"
    whole, file = encoded(photograph(1, (40, 30)), "JPEG"), tmp_path / "a.jpg"
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    for parts in ([b"", data], [data[:30], data[30:]], [data]):
        file.write_bytes(whole[:2] + b"".join(segment(b"Exif\0\0" + part) for part in parts) + whole[2:])
        assert read_capture(str(file)).taken == 60.0


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\xd0"])
def test_a_jpeg_of_markers_alone_says_nothing(tmp_path: Path, filler: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe1\x00\x02" + filler * 3_000_000)
    assert read_capture(str(tmp_path / "a.jpg")).taken is None


def test_tags_that_all_point_to_one_place_are_not_copied(tmp_path: Path) -> None:
    """Values of 60,000 tags, 200 kB each, would be 12 GB."""
    at = 8 + 2 + 12 * 60_000 + 4
    entries = b"".join(struct.pack("<HHII", tag, 7, 200_000, at) for tag in range(1, 60_001) if tag != 0x8769)
    entries += struct.pack("<HHII", 0x8769, 4, 1, at + 200_000)
    inner = struct.pack("<H", 60_000) + entries[: 12 * 59_999]
    inner += struct.pack("<HHII", 36867, 2, 20, 16) + bytes(4)
    file = tmp_path / "a.tif"
    file.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", 60_000) + entries + bytes(4) + bytes(200_000) + inner)
    assert read_capture(str(file)).taken is None


@needs_posix
def test_what_is_no_file_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert read_capture(str(tmp_path / "a.jpg")).taken is None
    assert read_capture(str(tmp_path)).taken is None


def test_a_directory_need_not_say_that_it_is_the_last(tmp_path: Path) -> None:
    """And a value behind the end loses that one alone."""
    inner = struct.pack("<H", 2) + struct.pack("<HHII", 36867, 2, 20, 26) + struct.pack("<HHII", 37521, 2, 20, 9_999)
    outer = b"II*\0" + struct.pack("<I", 46) + bytes(18) + b"1970:01:01 00:01:00\0"
    outer += struct.pack("<H", 1) + struct.pack("<HHII", 0x8769, 4, 1, 46 + 2 + 12 + 4) + bytes(4)
    file = tmp_path / "a.tif"
    file.write_bytes(outer + inner)
    assert read_capture(str(file)).taken == 60.0
