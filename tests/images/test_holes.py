"""Zeros where pixels were are no pixels; zeros that a picture is made of are."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageFile

from aescli.errors import ErrorCode
from aescli.images.picture import Decoding, open_picture
from tests.conftest import encoded, photograph
from tests.images.test_picture import code_of, squeezed


def test_zeros_for_the_rest_of_a_jpeg_are_no_pixels() -> None:
    """As where a copy was interrupted after its room had been set aside: no decoder complains of zeros."""
    plain = encoded(picture := photograph(5, (160, 120)), "JPEG")
    preview = encoded(photograph(6, (32, 24)), "JPEG")  # has an end of its own
    with_preview = plain[:2] + b"\xff\xe2" + struct.pack(">H", len(preview) + 2) + preview + plain[2:]
    for data in (plain, encoded(picture, "JPEG", progressive=True), with_preview):
        half = data[: len(data) * 3 // 4]
        assert code_of(half + bytes(len(data) - len(half))) is ErrorCode.TRUNCATED
        padded = open_picture(data + bytes(4096), Decoding())  # behind the end of the pixels zeros are no fault
        assert np.array_equal(padded.squeeze(64, 64), squeezed(data))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("start", [0.3, 0.5, 0.8])
def test_zeros_in_the_middle_of_a_jpeg_are_no_pixels(mode: str, start: float) -> None:
    data = encoded(photograph(5, (320, 240)).convert(mode), "JPEG")
    assert code_of(with_zeros(data, start, 100)) is ErrorCode.TRUNCATED


@pytest.mark.parametrize(("format", "size"), [("WEBP", 200), ("AVIF", 800)])
@pytest.mark.parametrize("start", [0.4, 1.0])
def test_zeros_in_other_formats_are_no_pixels(format: str, size: int, start: float) -> None:
    rng = np.random.default_rng(3)
    noisy = Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8))
    data = encoded(noisy, format, quality=80)
    assert code_of(with_zeros(data, start, size)) is ErrorCode.TRUNCATED


@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"optimize": True, "subsampling": 0}, {"progressive": True}]
)
@pytest.mark.parametrize("ground", [0, 127, 255])
def test_a_jpeg_of_one_colour_is_a_picture(
    options: dict[str, object], ground: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 1 << 22)  # what is made smaller at once must fit in one
    picture = Image.new("RGB", (2000, 1500), (ground,) * 3)
    picture.paste(photograph(5, (160, 120)), (700, 700))
    data = encoded(picture, "JPEG", **options)
    assert bool(options) == (bytes(64) in data)  # codes that were made for this picture write zeros for its ground
    assert squeezed(data).shape == (64, 64, 3)


def test_a_lossless_webp_of_one_colour_is_a_picture() -> None:
    lines = np.zeros((1500, 2000, 3), np.uint8)
    lines[::97] = 255
    data = encoded(Image.fromarray(lines), "WEBP", lossless=True, method=0)
    assert bytes(64) in data
    assert squeezed(data).shape == (64, 64, 3)


def test_zeros_in_metadata_are_no_hole() -> None:
    """Writers leave room for words that come later."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\0" + bytes(4_000)
    for format in ("JPEG", "WEBP", "AVIF"):
        data = encoded(photograph(5, (160, 120)), format, exif=exif)
        assert bytes(64) in data
        assert squeezed(data).shape == (64, 64, 3)


def with_zeros(data: bytes, start: float, size: int) -> bytes:
    """Return the bytes with `size` zeros from a share of the way on, or in front of the end."""
    at = min(int(len(data) * start), len(data) - size)
    return data[:at] + bytes(size) + data[at + size :]
