"""What the recipe of `mini` does to photographs, and what it calculates on their pixels."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tests.conftest import photograph

torch = pytest.importorskip("torch")
damage: Any = importlib.import_module("damage")
kept: Any = importlib.import_module("kept")
views: Any = importlib.import_module("views")
measures: Any = importlib.import_module("measures")
network: Any = importlib.import_module("network")

SAME_FRAME = [each for each in damage.DAMAGES if each.name not in ("tilt", "crop")]


def distance(one: Any, other: Any) -> float:
    return float(np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64)).mean())


@pytest.mark.parametrize("kind", SAME_FRAME, ids=lambda kind: str(kind.name))
def test_a_stronger_damage_takes_a_picture_further_away(kind: Any) -> None:
    picture = photograph(3, (240, 180))
    spoilt = [kind.make(picture, strength, np.random.default_rng(1)) for strength in kind.strengths]
    away = [distance(picture, each) for each in spoilt]
    assert 0.5 < away[0] < away[1] < away[2]
    assert {each.size for each in spoilt} == {picture.size}


@settings(deadline=None, max_examples=40)
@given(st.integers(40, 300), st.integers(40, 300), st.floats(0.0, 0.9), st.integers(0, 2**32))
def test_a_crop_is_a_window_of_its_picture(width: int, height: int, lost: float, seed: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    found = np.asarray(damage.crop(Image.fromarray(pixels), lost, np.random.default_rng(seed)))
    down, across = found.shape[:2]
    assert (down, across) == (max(1, round(height * (1 - lost))), max(1, round(width * (1 - lost))))
    edges = {0, round((height - down) / 2), height - down}, {0, round((width - across) / 2), width - across}
    places = [(y, x) for y in edges[0] for x in edges[1]]
    assert any(np.array_equal(found, pixels[y : y + down, x : x + across]) for y, x in places)


@settings(deadline=None, max_examples=30)
@given(st.integers(60, 300), st.integers(60, 300), st.floats(1.0, 30.0), st.integers(0, 2**32))
def test_a_tilt_keeps_the_size_or_the_shape_without_bare_corners(
    width: int, height: int, degrees: float, seed: int
) -> None:
    white = Image.new("RGB", (width, height), (90, 90, 90))
    found = damage.tilt(white, degrees, np.random.default_rng(seed))
    if found.size != white.size:
        assert (np.asarray(found) == 90).all(axis=2)[1:-1, 1:-1].all()
        assert abs(found.width / found.height - width / height) < 0.15 * width / height


def test_views_are_the_same_each_time_and_as_strong_as_they_say(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    photograph(1, (160, 120)).save(file)
    repeats = views.Repeats(3, 3, in_order=True)
    first, again = (list(views.make_views(file, repeats)) for _ in range(2))
    names = views.view_names(repeats)
    assert len(first) == len(names)
    for (one, strength), (other, _), name in zip(first, again, names, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))
        assert (strength > 0) == (name in {each.name for each in damage.DAMAGES})
    for name in ("blur", "crop"):
        assert [strength for (_, strength), each in zip(first, names, strict=True) if each == name] == [0.5, 1.0, 1.5]
    assert distance(first[0][0], first[1][0]) > 1
    assert np.array_equal(np.asarray(first[0][0])[:, ::-1], np.asarray(first[1][0]))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0.6, 1.0), min_size=3, max_size=3), st.integers(0, 100))
def test_a_cast_is_taken_away_whatever_it_is(gains: list[float], seed: int) -> None:
    half = torch.from_numpy(np.random.default_rng(seed).uniform(5, 255, (2, 3, 128, 128)).astype(np.float32))
    cast = half * torch.tensor(gains)[None, :, None, None]
    plain, mended = (each * measures.find_gains(each) for each in (half, cast))
    assert (mended / plain).flatten(1).std(1).max() < 5e-3  # one factor for all of a picture


def test_planes_are_halved_and_deviate_as_torch_says() -> None:
    planes = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0)) * 255
    assert torch.allclose(measures.halve(planes), torch.nn.functional.avg_pool2d(planes, 2), rtol=1e-6)
    found = network.deviation(planes, planes.mean((2, 3)))
    assert torch.allclose(found, planes.std((2, 3), correction=0), rtol=1e-4)
    assert network.deviation(torch.full((1, 2, 9, 9), 5.3), torch.full((1, 2), 5.3)).max() < 0.01


def test_slopes_and_places_are_those_of_the_planes() -> None:
    down, across = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    planes = (3.0 * across - 2.0 * down)[None, None]
    slopes = torch.nn.functional.conv2d(planes, measures._sobel())
    assert torch.allclose(slopes[0, 0], torch.tensor(3.0))
    assert torch.allclose(slopes[0, 1], torch.tensor(-2.0))
    places = torch.tensor([[0, 17], [255, 15]])
    both = torch.cat([planes[0], planes[0] + 1.0])
    assert measures._pick(both, places).tolist() == [[[0, 1], [15, 45]], [[1, 2], [16, 46]]]
    bands = measures._place_bands(128)
    assert bands.shape == (2, 4, 64)
    assert {0, 127, 128 * 127, 128 * 128 - 1} <= set(bands.flatten().tolist())


def test_measures_have_their_width_and_see_casts_and_tilts() -> None:
    picture = torch.zeros(1, 3, 128, 128)
    picture[:, :, ::8] = 200.0  # level lines
    assert measures.measure_colours(picture).shape == (1, measures.COLOURS)
    assert measures.measure_lines(picture).shape == (1, measures.LINES)
    assert measures.measure_corners(picture).shape == (1, measures.CORNERS)
    red = picture * torch.tensor([1.0, 0.6, 0.6])[None, :, None, None]
    assert (measures.measure_colours(picture) - measures.measure_colours(red)).abs().max() > 0.1
    tilted = torch.from_numpy(
        np.asarray(Image.fromarray(picture[0, 0].byte().numpy()).rotate(15)).astype(np.float32)
    ).expand(1, 3, -1, -1)
    assert (measures.measure_lines(picture) - measures.measure_lines(tilted)).abs().max() > 0.1


@settings(deadline=None, max_examples=50)
@given(st.floats(6.0, 20.0), st.booleans(), st.integers(0, 255), st.integers(0, 100))
def test_corners_that_a_turn_left_bare_are_seen(degrees: float, left: bool, level: int, seed: int) -> None:
    picture = draw_scene(seed, 500)
    turned = picture.rotate(degrees if left else -degrees, Image.Resampling.BICUBIC, fillcolor=(level, level, level))
    assert measure_corners_of(turned) > 1.0
    assert measure_corners_of(picture) < 0.5


@pytest.mark.parametrize("width", [300, 400, 560, 750, 900])
def test_a_canvas_that_grew_with_the_turn_is_seen(width: int) -> None:
    """A few in a hundred are not: what lies at its corners is of the canvas's own colour."""
    chance, seen = np.random.default_rng(0), []
    for seed in range(100):
        picture, level = draw_scene(seed, width), int(chance.integers(256))
        angle = chance.uniform(9.6, 36.0) * chance.choice((-1, 1))
        turned = picture.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=(level, level, level))
        seen.append(measure_corners_of(turned) > 1.0)
        assert measure_corners_of(picture) < 0.5
    assert np.mean(seen) >= 0.95


@settings(deadline=None, max_examples=30)
@given(st.integers(4, 90), st.booleans(), st.integers(0, 100))
def test_frames_and_round_things_are_no_turns(margin: int, round_: bool, seed: int) -> None:
    picture = draw_scene(seed, 500)
    mask = Image.new("L", picture.size)
    inside = (margin, margin, 499 - margin, 399 - margin)
    draw = ImageDraw.Draw(mask)
    (draw.ellipse if round_ else draw.rectangle)(inside, fill=255)
    assert measure_corners_of(Image.composite(picture, Image.new("RGB", picture.size, "white"), mask)) < 0.8


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 255), st.integers(0, 300), st.integers(0, 200), st.integers(0, 100))
def test_an_object_on_a_plain_ground_is_no_turn(ground: int, left: int, top: int, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), np.uint8)
    product = Image.new("RGB", (500, 400), (ground, ground, ground))
    product.paste(Image.fromarray(samples).resize((200, 200)), (left, top))  # at one side, in a corner, or at none
    assert measure_corners_of(product) < 0.8  # where its ramp begins


def draw_scene(seed: int, width: int) -> Any:
    samples = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8)
    return Image.fromarray(samples).resize((width, 400), Image.Resampling.BICUBIC)


def measure_corners_of(picture: Any) -> float:
    pixels = torch.from_numpy(views.squeeze(picture).astype(np.float32)).permute(2, 0, 1)[None]
    return float(measures.measure_corners(torch.nn.functional.avg_pool2d(pixels, 2)))


def test_what_is_kept_is_named_by_what_it_was_made_of(tmp_path: Path) -> None:
    files = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for file in files:
        file.write_bytes(file.name.encode())
    names = [
        kept.name_kept("views", files, ("damage",), 3), kept.name_kept("views", files[:1], ("damage",), 3),
        kept.name_kept("views", files[::-1], ("damage",), 3), kept.name_kept("views", files, ("views",), 3),
        kept.name_kept("views", files, ("damage",), 4), kept.name_kept("others", files, ("damage",), 3),
    ]  # fmt: skip
    assert names[0] == kept.name_kept("views", files, ("damage",), 3)
    files[0].write_bytes(b"another photograph of the same name")
    names.append(kept.name_kept("views", files, ("damage",), 3))
    files[0].rename(tmp_path / "c.jpg")
    names.append(kept.name_kept("views", [tmp_path / "c.jpg", files[1]], ("damage",), 3))
    assert len(set(names)) == len(names)


def test_grain_may_be_without_colour() -> None:
    grey = Image.new("RGB", (60, 40), (128, 128, 128))
    coloured = [
        len(np.unique(np.ptp(np.asarray(damage.add_noise(grey, 20.0, np.random.default_rng(seed))), axis=2))) > 1
        for seed in range(40)
    ]
    assert 5 < sum(coloured) < 35


def test_casts_are_of_every_colour() -> None:
    grey = Image.new("RGB", (4, 4), (100, 100, 100))
    seen = np.array([np.asarray(damage.tint(grey, 0.4, np.random.default_rng(at)))[0, 0] for at in range(400)])
    gains = np.log(seen / 100.0)
    gains -= gains.mean(1, keepdims=True)
    angles = np.arctan2(gains @ [-1, 2, -1] / np.sqrt(3), gains @ [1, 0, -1])
    assert (np.histogram(angles, 12, (-np.pi, np.pi))[0] >= 8).all()  # of 400, each twelfth of the circle
    away = np.linalg.norm(gains, axis=1)
    assert away.min() > 0.4  # as far as green and magenta, or as warm and cool
    assert away.max() < 0.4 * np.sqrt(2) + 0.02
