"""Each measured dimension falls as its fault grows, on drawn photographs and, where they are at hand, on real ones."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from aescli.images.picture import Decoding, open_picture
from aescli.models import technical
from tests.conftest import encoded, photograph

REAL = Path(os.environ.get("AES_PHOTOGRAPHS", "../shared/data/oasis/images"))
PICTURES = [photograph(seed, (500, 400)) for seed in range(3)] + [
    Image.open(path).convert("RGB") for path in sorted(REAL.glob("*.jpg"))[::45]
]
ALL = [dimension.name for dimension in technical.DIMENSIONS]


def measured(picture: Image.Image, *names: str) -> dict[str, float]:
    opened = open_picture(encoded(picture), Decoding())
    return technical.measure(opened, opened.squeeze(256, 256), names or ALL)


def falls(values: list[float], slack: float = 1e-6) -> bool:
    return all(later <= earlier + slack for earlier, later in pairwise(values))


def samples(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(np.float64)


def picture_of(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


@pytest.mark.parametrize("picture", PICTURES)
def test_sharpness_falls_as_blur_grows(picture: Image.Image) -> None:
    values = [measured(picture, "sharpness")["sharpness"]]
    values += [
        measured(picture.filter(ImageFilter.GaussianBlur(radius)), "sharpness")["sharpness"]
        for radius in (1, 2, 3, 5, 8)
    ]
    assert falls(values)
    assert values[-1] < 0.4 * values[0]


@pytest.mark.parametrize("picture", PICTURES)
def test_exposure_falls_as_a_picture_darkens(picture: Image.Image) -> None:
    values = [
        measured(picture_of(samples(picture) * light), "exposure")["exposure"] for light in (1, 0.7, 0.5, 0.3, 0.15, 0)
    ]
    assert falls(values)
    assert values[-1] == 0


@pytest.mark.parametrize("picture", PICTURES)
def test_exposure_falls_as_a_picture_burns_out(picture: Image.Image) -> None:
    values = [measured(picture_of(samples(picture) * light), "exposure")["exposure"] for light in (4, 8, 16, 64)]
    assert falls(values)


@pytest.mark.parametrize("picture", PICTURES)
def test_noise_falls_as_noise_grows(picture: Image.Image) -> None:
    grain = np.random.default_rng(0).normal(size=samples(picture).shape)
    values = [
        measured(picture_of(samples(picture) + deviation * grain), "noise")["noise"]
        for deviation in (0, 3, 6, 12, 25, 50)
    ]
    assert falls(values)
    assert values[-1] < 1


@pytest.mark.parametrize("picture", PICTURES)
def test_contrast_and_colorfulness_fall_as_they_are_taken_away(picture: Image.Image) -> None:
    grey = samples(picture.convert("L").convert("RGB"))
    contrasts, colours = [], []
    for share in (1, 0.7, 0.4, 0.1, 0):
        contrasts.append(measured(picture_of(128 + share * (samples(picture) - 128)), "contrast")["contrast"])
        colours.append(measured(picture_of(grey + share * (samples(picture) - grey)), "colorfulness")["colorfulness"])
    assert falls(contrasts)
    assert falls(colours, slack=0.02)  # rounding to whole levels
    assert contrasts[-1] == 0
    assert colours[-1] == pytest.approx(0, abs=1e-6)


def test_bokeh_is_no_fault() -> None:
    sharp = photograph(1, (600, 400))
    blurred = sharp.filter(ImageFilter.GaussianBlur(8))
    bokeh = blurred.copy()
    bokeh.paste(sharp.crop((200, 100, 400, 300)), (200, 100))
    assert measured(bokeh)["sharpness"] > 0.85 * measured(sharp)["sharpness"]
    assert measured(blurred)["sharpness"] < 0.3 * measured(sharp)["sharpness"]


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_a_flat_picture_has_no_detail_and_no_noise(level: int) -> None:
    values = measured(Image.new("RGB", (300, 200), (level, level, level)))
    assert values["sharpness"] == pytest.approx(0, abs=1e-9)
    assert values["noise"] == 10
    assert values["contrast"] == pytest.approx(0, abs=1e-6)
    assert values["colorfulness"] == pytest.approx(0, abs=1e-6)
    assert values["exposure"] == pytest.approx(0, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_every_size_gives_numbers_from_0_to_10(width: int, height: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for value in measured(Image.fromarray(values)).values():
        assert 0 <= value <= 10


def test_known_values() -> None:
    """Hasler and Suesstrunk's M3 and Peli's contrast, worked out by hand on two halves."""
    halves = np.zeros((2, 2, 3), np.uint8)
    halves[0] = (255, 0, 0)
    # rg: 255, 0 -> mean 127.5, deviation 127.5; yb: 127.5, 0 -> mean 63.75, deviation 63.75
    spread, distance = np.hypot(127.5, 63.75), np.hypot(127.5, 63.75)
    assert technical.colorfulness(halves) == pytest.approx(min(10.0, 10 * (spread + 0.3 * distance) / 109))
    grey = np.zeros((2, 2, 3), np.uint8)
    grey[0] = 100
    assert technical.contrast(grey) == pytest.approx(10 * (50 / 255) / 0.33)


def test_the_deviation_of_white_noise_is_found() -> None:
    for deviation in (2.0, 5.0, 15.0):
        noise = 128 + np.random.default_rng(1).normal(0, deviation, (512, 512))
        found = technical.noise_deviation(np.clip(np.rint(noise), 0, 255).astype(np.uint8))
        assert found == pytest.approx(deviation, rel=0.1)
