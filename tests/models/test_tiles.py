import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aescli.images.opening import Opener
from aescli.images.picture import Decoding, open_picture
from aescli.models.tiles import MEAN, STD, Tiling, choose_grid, cut, normalize
from tests.conformance import FOLDER, needs_conformance
from tests.conftest import encoded, photograph

SIDES = st.integers(1, 8000)


@needs_conformance
def test_grids_are_those_of_the_original() -> None:
    listed = json.loads((FOLDER / "tiles" / "grids.json").read_text())["rows"]
    assert len(listed) > 100
    for width, height, most, columns, rows, tiles in listed:
        assert choose_grid(width, height, Tiling(most)) == (columns, rows), (width, height, most)
        assert tiles == columns * rows + (columns * rows > 1)


@given(SIDES, SIDES, st.integers(1, 12))
def test_no_allowed_grid_is_nearer(width: int, height: int, most: int) -> None:
    columns, rows = choose_grid(width, height, Tiling(most))
    assert 1 <= columns * rows <= most
    distance = abs(width / height - columns / rows)
    for other in range(1, most + 1):
        for down in range(1, most // other + 1):
            assert distance <= abs(width / height - other / down)


@given(SIDES, SIDES)
def test_a_turned_picture_has_a_turned_grid_or_one_as_near(width: int, height: int) -> None:
    columns, rows = choose_grid(width, height, Tiling(1))
    assert (columns, rows) == (1, 1)
    columns, rows = choose_grid(width, width, Tiling(12))
    assert columns == rows  # a square stays square, however many tiles


def test_of_two_equal_ratios_the_larger_needs_pixels_for_half_of_it() -> None:
    assert choose_grid(448, 448, Tiling(12)) == (1, 1)
    assert choose_grid(634, 634, Tiling(12)) == (2, 2)  # 401,956 pixels, just more than 2 * 448 * 448
    assert choose_grid(633, 633, Tiling(12)) == (1, 1)


def test_tiles_are_the_parts_of_one_resize_and_the_thumbnail_is_the_whole() -> None:
    picture = photograph(3, (1000, 500))
    tiles = cut(open_picture(encoded(picture), Decoding()), Tiling(4, side=56))
    whole = np.asarray(picture.resize((112, 56), Image.Resampling.BICUBIC))
    assert tiles.shape == (3, 56, 56, 3)
    assert np.array_equal(np.concatenate([tiles[0], tiles[1]], axis=1), whole)
    assert np.array_equal(tiles[2], np.asarray(picture.resize((56, 56), Image.Resampling.BICUBIC)))


def test_one_tile_has_no_thumbnail() -> None:
    assert cut(open_picture(encoded(photograph(3, (100, 100))), Decoding()), Tiling(1)).shape == (1, 448, 448, 3)


@pytest.mark.parametrize("isolate", ["on", "off"])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_sideways_picture_is_cut_upright(isolate: str, format: str) -> None:
    upright = photograph(1, (1200, 600))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = encoded(upright.transpose(Image.Transpose.ROTATE_90), format, exif=exif)
    with Opener(Decoding(exact=True), isolate) as opener, opener.open(stored) as view:
        assert view.size() == (1200, 600)
        assert cut(view, Tiling(2, side=28)).shape == (3, 28, 28, 3)


def test_samples_are_centred_on_those_of_imagenet() -> None:
    tiles = np.full((1, 2, 2, 3), 255, np.uint8)
    assert normalize(tiles)[0, :, 0, 0] == pytest.approx([(1 - m) / s for m, s in zip(MEAN, STD, strict=True)])
    assert normalize(tiles).dtype == np.float32
