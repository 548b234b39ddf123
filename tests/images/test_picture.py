import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aescli.errors import ErrorCode, PictureError
from aescli.images.picture import Decoding, open_picture
from aescli.images.view import Pixels
from tests.conftest import encoded, photograph
from tests.tiff import tiff

ORIENTATION = 0x0112
UNDO = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def squeezed(data: bytes, side: int = 64, **decoding: object) -> Pixels:
    return open_picture(data, Decoding(**decoding)).squeeze(side, side)  # type: ignore[arg-type]


def turned(picture: Image.Image, orientation: int, format: str, **options: object) -> bytes:
    """Store a picture so that `orientation` makes it upright."""
    undo = UNDO[orientation]
    stored = picture if undo is None else picture.transpose(undo)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(stored, format, exif=exif, **options)


def code_of(data: bytes, **decoding: object) -> ErrorCode:
    with pytest.raises(PictureError) as caught:
        opened = open_picture(data, Decoding(**decoding))  # type: ignore[arg-type]
        opened.squeeze(32, 32)
        opened.luma(64)
    return caught.value.code


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("size", [(301, 200), (150, 431)])
def test_the_eight_orientations_of_a_lossless_picture_are_one(
    orientation: int, format: str, size: tuple[int, int]
) -> None:
    picture = photograph(1, size)
    options = {"lossless": True} if format == "WEBP" else {}
    upright = open_picture(encoded(picture), Decoding())
    stored = open_picture(turned(picture, orientation, format, **options), Decoding())
    assert np.array_equal(stored.squeeze(96, 96), upright.squeeze(96, 96))
    assert np.array_equal(stored.luma(128), upright.luma(128))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_picture_is_turned_after_the_resize_and_nearly_the_same(orientation: int) -> None:
    picture = photograph(1, (2411, 1733))
    upright, stored = squeezed(encoded(picture)), squeezed(turned(picture, orientation, "PNG", compress_level=1))
    assert np.abs(stored.astype(int) - upright).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_jpeg_is_turned_after_the_resize(orientation: int) -> None:
    picture = photograph(2, (1600, 1008))
    data = turned(picture, orientation, "JPEG", quality=95, subsampling=0)
    opened = open_picture(data, Decoding())
    expected = squeezed(encoded(picture))
    assert np.abs(opened.squeeze(64, 64).astype(int) - expected).mean() < 2
    assert opened.luma(400).shape == (252, 400)


def test_reduced_decoding_uses_the_box_on_sides_that_no_scale_divides() -> None:
    picture = photograph(3, (3997, 2995))
    data = encoded(picture, "JPEG", quality=95)
    exact, reduced = squeezed(data, exact=True), squeezed(data)
    assert 0 < np.abs(exact.astype(int) - reduced).mean() < 0.5
    assert np.array_equal(squeezed(encoded(picture)), squeezed(encoded(picture), exact=True))


def test_luma_is_measured_on_a_full_decode_whatever_was_asked_for_before() -> None:
    data = encoded(photograph(3, (3200, 1600)), "JPEG", quality=95)
    first, after = open_picture(data, Decoding()), open_picture(data, Decoding())
    after.squeeze(64, 64)
    assert first.luma(1536).shape == (768, 1536)
    assert np.array_equal(first.luma(1536), after.luma(1536))
    full = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert np.abs(first.luma(5000).astype(int) - full).mean() < 0.5


def test_a_small_picture_keeps_its_own_size_for_detail() -> None:
    assert open_picture(encoded(photograph(0, (90, 60))), Decoding()).luma(1536).shape == (60, 90)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3000, 1), (3, 3), (2, 7)])
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_tiny_and_narrow_pictures_are_pictures(size: tuple[int, int], format: str) -> None:
    opened = open_picture(encoded(Image.new("RGB", size, (200, 100, 50)), format), Decoding())
    assert opened.squeeze(32, 32).shape == (32, 32, 3)
    assert min(opened.luma(1536).shape) >= 1
    assert ("extreme_aspect" in opened.flags) == (max(size) > 20 * min(size))


def test_a_sixteen_bit_twin_is_its_eight_bit_picture() -> None:
    grey = photograph(4).convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    for format in ("PNG", "TIFF"):
        assert np.array_equal(squeezed(encoded(wide, format)), squeezed(encoded(grey)))


def test_animations_and_pages_show_their_first_frame() -> None:
    frames = [photograph(seed, (64, 64)) for seed in range(3)]
    for format in ("PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if format == "WEBP" else {}
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert np.array_equal(squeezed(data), np.asarray(frames[0]))


def test_several_pictures_in_one_jpeg_show_the_first() -> None:
    data = encoded(photograph(0), "MPO", save_all=True, append_images=[photograph(1)])
    assert np.abs(squeezed(data).astype(int) - squeezed(encoded(photograph(0)))).mean() < 3


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_before_decoding() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    assert code_of(bomb) is ErrorCode.TOO_MANY_PIXELS
    assert code_of(encoded(photograph()), max_pixels=1000) is ErrorCode.TOO_MANY_PIXELS


def test_a_text_bomb_is_bad_metadata() -> None:
    text = b"note\0\0" + zlib.compress(bytes(70_000_000))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    data = encoded(photograph(size=(8, 8)))
    assert code_of(data[:33] + chunk + data[33:]) is ErrorCode.BAD_METADATA


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_a_truncated_file_is_never_a_picture(format: str) -> None:
    picture = photograph(5, (160, 120))
    options = {"compression": "tiff_adobe_deflate"} if format == "TIFF" else {}
    data = encoded(picture, format, **options)
    whole = squeezed(data)
    for cut in range(1, len(data), max(1, len(data) // 60)):
        try:
            opened = open_picture(data[:cut], Decoding())
            same = np.array_equal(opened.squeeze(64, 64), whole)
        except PictureError as error:
            assert error.code in {ErrorCode.TRUNCATED, ErrorCode.NOT_AN_IMAGE, ErrorCode.CORRUPT}
        else:
            assert same, f"{format} cut at {cut} of {len(data)} was decoded to other pixels"


def test_what_is_no_picture_and_what_is_not_supported() -> None:
    assert code_of(b"<html>404</html>") is ErrorCode.NOT_AN_IMAGE
    assert code_of(b"%!PS-Adobe-3.0 EPSF-3.0\n") is ErrorCode.UNSUPPORTED_FORMAT
    assert code_of(b"8BPS\0\1") is ErrorCode.UNSUPPORTED_FORMAT
    assert code_of(b"\xff\xd8\xff\xe0") is ErrorCode.TRUNCATED


def test_a_broken_exif_block_costs_nothing_but_a_flag_at_most() -> None:
    data = encoded(photograph(0), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(40))
    assert squeezed(data).shape == (64, 64, 3)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000"]))
def test_flipped_bytes_end_in_pixels_or_a_code(seed: int, format: str) -> None:
    data = bytearray(encoded(photograph(0, (40, 30)), format))
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, len(data), 4):
        data[at] = rng.integers(0, 256)
    try:
        opened = open_picture(bytes(data), Decoding(max_pixels=1_000_000))
        assert opened.squeeze(16, 16).shape == (16, 16, 3)
        assert opened.luma(32).ndim == 2
    except PictureError as error:
        assert isinstance(error.code, ErrorCode)


@pytest.mark.parametrize("mode", ["LAB", "CMYK", "I;16", "F", "P", "1", "LA"])
def test_every_mode_has_luma_and_pixels(mode: str) -> None:
    format = "TIFF" if mode in ("LAB", "CMYK", "F") else "PNG"
    opened = open_picture(encoded(Image.new(mode, (40, 30)), format), Decoding())
    assert opened.luma(1536).shape == (30, 40)
    assert opened.squeeze(8, 8).shape == (8, 8, 3)


def test_planes_of_sixteen_bits_are_refused_rather_than_misread() -> None:
    tags = {
        256: (4, [4]), 257: (4, [4]), 258: (3, [16] * 3), 259: (3, [1]), 262: (3, [2]), 277: (3, [3]), 278: (4, [4]),
        279: (4, [32 * 3]), 284: (3, [2]),
    }  # fmt: skip
    assert code_of(tiff(tags, bytes(96))) is ErrorCode.UNSUPPORTED_FORMAT


def test_an_avif_is_not_turned_by_its_xmp() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    picture = photograph(2, (96, 64))
    assert np.array_equal(squeezed(encoded(picture, "AVIF", xmp=xmp)), squeezed(encoded(picture, "AVIF")))


def test_a_huge_tile_is_refused_before_decoding() -> None:
    tags = {256: (4, [9]), 257: (4, [9]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1]), 277: (3, [1]), 278: (4, [9])}
    tiles = {322: (4, [60_000]), 323: (4, [60_000]), 324: (4, [8]), 325: (4, [81])}
    assert code_of(tiff({**tags, **tiles, 279: (4, [81])}, bytes(81))) is ErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize("compression", ["tiff_adobe_deflate", "tiff_lzw", "packbits", "raw"])
def test_a_cut_tiff_is_truncated_whatever_its_compression(compression: str) -> None:
    data = encoded(photograph(0, (80, 60)), "TIFF", compression=compression)
    assert code_of(data[: len(data) * 2 // 3]) is ErrorCode.TRUNCATED


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_a_file_of_several_frames_says_that_the_first_was_taken(format: str) -> None:
    frames = [photograph(seed, (64, 48)) for seed in range(3)]
    alone = open_picture(encoded(frames[0], format), Decoding())
    several = open_picture(encoded(frames[0], format, save_all=True, append_images=frames[1:]), Decoding())
    assert alone.flags == set()
    assert several.flags == {"first_frame"}
    if format in ("PNG", "TIFF"):
        assert np.array_equal(alone.squeeze(32, 32), several.squeeze(32, 32))
