import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from aescli.images import colour
from tests.conftest import encoded, photograph
from tests.tiff import tiff


def grey(seed: int = 0) -> np.ndarray:
    return np.asarray(photograph(seed, (60, 40)).convert("L"))


def flat(picture: Image.Image) -> np.ndarray:
    return np.asarray(colour.flatten(picture)[0])


@pytest.mark.parametrize("spread", [lambda x: x * 257, lambda x: x << 8])
def test_sixteen_bits_are_scaled_and_never_clipped_to_white(spread: object) -> None:
    wide = spread(grey().astype(np.uint16))  # type: ignore[operator]
    assert np.array_equal(flat(Image.fromarray(wide)), grey())


def test_floats_are_taken_as_zero_to_one_and_stretched_outside_with_a_flag() -> None:
    inside = Image.fromarray(grey().astype(np.float32) / 255)
    assert np.array_equal(flat(inside), grey())
    assert colour.flatten(inside)[1] is None
    outside = Image.fromarray(grey().astype(np.float32) * 3 - 20)
    stretched, flag = colour.flatten(outside)
    assert flag == colour.RANGE_STRETCHED
    assert np.asarray(stretched).min() == 0
    assert np.asarray(stretched).max() == 255
    broken = grey().astype(np.float32)
    broken[0, 0] = np.nan
    broken[1, 1] = np.inf
    assert colour.flatten(Image.fromarray(broken))[1] == colour.RANGE_STRETCHED


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert flat(clear).min() == 255
    half = Image.new("LA", (4, 4), (0, 128))
    assert abs(int(flat(half)[0, 0]) - 127) <= 1
    palette = Image.new("P", (4, 4), 1)
    palette.info["transparency"] = 1
    assert flat(palette).min() == 255
    keyed = Image.new("RGB", (4, 4), (1, 2, 3))
    keyed.info["transparency"] = (1, 2, 3)
    assert flat(keyed).min() == 255


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]
)
def test_every_mode_becomes_rgb(mode: str) -> None:
    picture = Image.new(mode, (5, 3))
    base, _ = colour.flatten(picture)
    srgb, _ = colour.to_srgb(base, None)
    assert srgb.mode == "RGB"
    assert srgb.size == (5, 3)


def test_a_profile_is_followed_and_a_broken_one_ignored_with_a_flag() -> None:
    picture = photograph(0, (32, 32))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same, flag = colour.to_srgb(picture, srgb)
    assert flag is None
    assert np.abs(np.asarray(same).astype(int) - np.asarray(picture)).max() <= 1
    for broken in (b"junk", srgb[:200], bytes(5000)):
        unchanged, flag = colour.to_srgb(picture, broken)
        assert flag == colour.ICC_IGNORED
        assert unchanged == picture


def test_a_profile_of_another_colour_space_is_ignored_with_a_flag() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert colour.to_srgb(Image.new("CMYK", (4, 4)), srgb)[1] == colour.ICC_IGNORED


def test_lab_is_converted_by_its_meaning() -> None:
    srgb, _ = colour.to_srgb(Image.merge("LAB", [Image.new("L", (2, 2), level) for level in (255, 128, 128)]), None)
    assert np.asarray(srgb).min() > 250


def test_white_is_zero_is_no_negative() -> None:
    wide = Image.fromarray(grey().astype(np.uint16) * 257)
    reopened = Image.open(io.BytesIO(encoded(wide, "TIFF", tiffinfo={262: 0})))
    assert np.array_equal(flat(reopened), 255 - grey())


def test_floats_that_count_from_white_are_turned_round() -> None:
    inside = Image.fromarray(grey().astype(np.float32) / 255)
    assert np.array_equal(flat(Image.open(io.BytesIO(encoded(inside, "TIFF", tiffinfo={262: 0})))), 255 - grey())


def test_premultiplied_grey_is_laid_on_white_and_stays_grey_for_its_profile() -> None:
    half = Image.merge("LA", [Image.fromarray(grey()), Image.new("L", (60, 40), 255)])
    whole, _ = colour.flatten(half)
    assert whole.mode == "L"
    assert np.array_equal(np.asarray(whole), grey())
    assert np.array_equal(flat(half.convert("La")), grey())


def test_signed_samples_of_eight_bits_use_their_whole_range() -> None:
    tags = {
        256: (4, [60]), 257: (4, [40]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1]), 277: (3, [1]), 278: (4, [40]),
        279: (4, [2400]), 339: (3, [2]),
    }  # fmt: skip
    half = Image.open(io.BytesIO(tiff(tags, (grey() >> 1).tobytes())))
    assert np.abs(flat(half).astype(int) - grey()).max() <= 1
    below, flag = colour.flatten(Image.open(io.BytesIO(tiff(tags, (grey() - 128).astype(np.int8).tobytes()))))
    assert flag == colour.RANGE_STRETCHED
    assert np.array_equal(np.argsort(np.asarray(below), None, "stable"), np.argsort(grey(), None, "stable"))


@pytest.mark.parametrize(("bits", "kind", "shift"), [(32, "u4", 24), (32, "i4", 23), (16, "u2", 8), (16, "i2", 7)])
def test_signed_and_unsigned_integers_use_their_whole_range(bits: int, kind: str, shift: int) -> None:
    data = (grey().astype(f"<{kind}") << shift).astype(f"<{kind}").tobytes()
    tags = {
        256: (4, [60]), 257: (4, [40]), 258: (3, [bits]), 259: (3, [1]), 262: (3, [1]), 277: (3, [1]), 278: (4, [40]),
        279: (4, [len(data)]), 339: (3, [2 if kind[0] == "i" else 1]),
    }  # fmt: skip
    assert np.array_equal(flat(Image.open(io.BytesIO(tiff(tags, data)))), grey())


@pytest.mark.parametrize("kind", ["u4", "i4"])
def test_few_levels_in_a_wide_type_are_stretched_and_not_black(kind: str) -> None:
    data = grey().astype(f"<{kind}").tobytes()
    tags = {
        256: (4, [60]), 257: (4, [40]), 258: (3, [32]), 259: (3, [1]), 262: (3, [1]), 277: (3, [1]), 278: (4, [40]),
        279: (4, [len(data)]), 339: (3, [2 if kind[0] == "i" else 1]),
    }  # fmt: skip
    found, flag = colour.flatten(Image.open(io.BytesIO(tiff(tags, data))))
    assert flag == colour.RANGE_STRETCHED
    assert np.asarray(found).max() == 255


def test_a_transparent_level_of_sixteen_bits_is_laid_on_white() -> None:
    wide = Image.fromarray(np.array([[1000, 1001]], np.uint16))
    wide.info["transparency"] = 1000
    assert flat(wide).tolist() == [[255, 3]]
