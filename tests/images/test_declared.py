"""What heads of files say and Pillow keeps to itself: through the pixels and flags that come of it."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from aescli.errors import ErrorCode, PictureError
from aescli.images.picture import Decoding, open_picture
from tests.conftest import encoded, photograph

SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
WIDE = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def png(samples: np.ndarray, kind: int, depth: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Write a PNG of packed rows of bytes, (height, bytes)."""
    width = samples.shape[1] * 8 // (depth * {0: 1, 2: 3}[kind])
    head = struct.pack(">IIBBBBB", width, len(samples), depth, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def flags(data: bytes) -> set[str]:
    picture = open_picture(data, Decoding())
    picture.whole(100)
    return picture.flags


@pytest.mark.parametrize(
    ("chunks", "told"),
    [
        ([], False),
        ([(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", struct.pack(">8I", *SRGB))], False),
        ([(b"gAMA", struct.pack(">I", 100000))], True),
        ([(b"gAMA", struct.pack(">I", 45455)), (b"cHRM", struct.pack(">8I", *WIDE))], True),
        ([(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))], False),
        ([(b"cICP", bytes([1, 13, 0, 1])), (b"gAMA", struct.pack(">I", 100000))], False),
        ([(b"cICP", bytes([9, 16, 0, 1])), (b"sRGB", b"\0")], True),
        ([(b"iCCP", b"x\0\0" + bytes(50))], True),
        ([(b"iCCP", b"x\0\0" + zlib.compress(b""))], True),
    ],
)
def test_a_png_of_other_colours_is_told(chunks: list[tuple[bytes, bytes]], told: bool) -> None:
    assert ("icc_ignored" in flags(png(np.full((4, 12), 99, np.uint8), 2, 8, *chunks))) == told


@pytest.mark.parametrize(("codes", "told"), [((1, 13), False), ((9, 16), True), ((12, 13), True), ((2, 2), False)])
def test_an_avif_of_other_colours_is_told(codes: tuple[int, int], told: bool) -> None:
    data = encoded(photograph(0, (64, 48)), "AVIF")
    at = data.index(b"nclx") + 4
    assert ("icc_ignored" in flags(data[:at] + struct.pack(">HH", *codes) + data[at + 4 :])) == told


def test_a_profile_that_a_jpeg_has_not_whole_is_told() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain, half = encoded(photograph(0, (64, 48)), "JPEG"), len(profile) // 2

    def with_parts(*parts: tuple[int, int, bytes]) -> bytes:
        made = (b"ICC_PROFILE\0" + bytes([number, count]) + part for number, count, part in parts)
        return plain[:2] + b"".join(b"\xff\xe2" + struct.pack(">H", len(each) + 2) + each for each in made) + plain[2:]

    assert "icc_ignored" not in flags(with_parts((1, 2, profile[:half]), (2, 2, profile[half:])))
    assert "icc_ignored" in flags(with_parts((1, 2, profile[:half])))
    assert "icc_ignored" in flags(with_parts((1, 1, profile), (1, 1, profile)))
    assert "icc_ignored" not in flags(plain)


def test_a_bmp_with_room_for_alpha_that_nobody_filled_is_opaque() -> None:
    pixels = np.asarray(photograph(0, (64, 48)).convert("RGB"))

    def bmp(alpha: np.ndarray) -> bytes:
        rows = np.dstack([pixels[::-1, :, ::-1], alpha]).tobytes()
        masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        head = struct.pack("<IiiHHIIiiII", 108, 64, 48, 1, 32, 3, len(rows), 2835, 2835, 0, 0) + masks + bytes(52)
        return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(rows), 0, 0, 14 + len(head)) + head + rows

    empty, half = np.zeros((48, 64), np.uint8), np.zeros((48, 64), np.uint8)
    half[:24] = 255
    assert np.array_equal(open_picture(bmp(empty), Decoding()).whole(100), pixels)
    assert (open_picture(bmp(half), Decoding()).whole(100)[:24] == 255).all()  # its rows are from the bottom


def test_an_avif_with_a_profile_is_told_by_that() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert "icc_ignored" not in flags(encoded(photograph(0, (64, 48)), "AVIF", icc_profile=profile))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_the_clear_level_of_a_shallow_png_has_its_depth(depth: int) -> None:
    packed = {1: 0b01000000, 2: 0b01100000, 4: 0x12, 8: 1}[depth]  # its first pixel, or its second, is 1
    row = np.array([[packed, 0]], np.uint8)
    picture = open_picture(png(row, 0, depth, (b"tRNS", struct.pack(">H", 1))), Decoding())
    first = picture.whole(100)[0, :, 0].tolist()
    place = {1: 1, 2: 0, 4: 0, 8: 0}[depth]
    assert first[place] == 255
    assert first[-1] == 0


def test_the_clear_colour_of_a_deep_png_is_found() -> None:
    row = np.array([[300, 4660, 43981, 9000, 9000, 9000]], ">u2").view(np.uint8)
    clear = (b"tRNS", struct.pack(">3H", 300, 4660, 43981))
    picture = open_picture(png(row, 2, 16, clear), Decoding())
    assert picture.whole(100)[0].tolist() == [[255, 255, 255], [35, 35, 35]]


@pytest.mark.parametrize("suffix", [{}, {"no_jp2": True}])
def test_deep_colours_of_jpeg_2000_are_refused(suffix: dict[str, bool]) -> None:
    data = encoded(photograph(0, (64, 48)), "JPEG2000", **suffix)
    open_picture(data, Decoding()).whole(100)
    at = data.index(b"\xff\x4f\xff\x51") + 42
    with pytest.raises(PictureError) as raised:
        open_picture(data[:at] + b"\x0f" + data[at + 1 :], Decoding())
    assert raised.value.code == ErrorCode.UNSUPPORTED_FORMAT


def test_deep_greys_of_jpeg_2000_are_taken() -> None:
    grey = np.asarray(photograph(0, (64, 48)).convert("L")).astype(np.uint16) * 257
    data = encoded(Image.fromarray(grey), "JPEG2000", irreversible=False)
    assert np.array_equal(open_picture(data, Decoding()).whole(100)[..., 0], grey >> 8)
