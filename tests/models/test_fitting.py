"""Pictures as networks see them: with and without borders."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from aescli.images.picture import Decoding, open_picture
from aescli.images.view import Pixels
from aescli.models.fitting import INSIDE, SQUEEZE, fit
from aescli.registry import BUILT_IN
from tests.conftest import Aes, encoded, photograph


def seen(picture: Image.Image, how: str = INSIDE, format: str = "PNG") -> Pixels:
    options = {"quality": 90} if format == "JPEG" else {}
    return fit(open_picture(encoded(picture, format, **options), Decoding()), how, 256, 256)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    "border", [(12, 12, 12, 12), (60, 60, 60, 60), (0, 40, 0, 40), (90, 0, 90, 0), (16, 30, 20, 50)], ids=str
)
@pytest.mark.parametrize("colour", ["black", "white", (90, 70, 110)], ids=str)
def test_a_border_is_no_part_of_a_picture(border: tuple[int, ...], colour: str | tuple[int, ...], format: str) -> None:
    picture = photograph(3, (500, 400))
    plain, framed = seen(picture, SQUEEZE), ImageOps.expand(picture, border, colour)
    found = seen(framed, format=format)
    assert found.shape == (256, 256, 3)
    far = np.abs(seen(framed, SQUEEZE).astype(int) - plain).mean()
    assert np.abs(found.astype(int) - plain).mean() < 0.35 * far


def test_what_is_no_border_stays() -> None:
    picture = photograph(4, (500, 400))
    turned = picture.rotate(12, Image.Resampling.BICUBIC, expand=True)
    caption = ImageOps.expand(picture, (0, 0, 0, 60), "white")
    tiny = ImageOps.expand(photograph(5, (20, 20)), 200, "white")
    flower = Image.new("RGB", (500, 400), "white")
    flower.paste(photograph(6, (160, 140)), (170, 130))
    for other in (picture, turned, caption, tiny, flower, Image.new("RGB", (300, 200), "white")):
        assert np.array_equal(seen(other), seen(other, SQUEEZE))


def test_the_decoder_is_not_asked_for_the_size_of_a_picture_without_a_border(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = open_picture(encoded(photograph(3, (300, 200)), "PNG"), Decoding())
    monkeypatch.setattr(type(picture), "size", lambda _: pytest.fail("it was asked"))
    assert fit(picture, INSIDE, 256, 256).shape == (256, 256, 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 150), min_size=4, max_size=4), st.integers(1, 40), st.integers(1, 40))
def test_any_border_leaves_a_picture_of_the_size(border: list[int], width: int, height: int) -> None:
    picture = ImageOps.expand(photograph(0, (width, height)), tuple(border), "black")
    assert seen(picture).shape == (256, 256, 3)


def test_a_frame_changes_no_score_of_the_built_in_model(aes: Aes, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(BUILT_IN, whole)
    card = json.loads((whole / "card.json").read_text())
    (whole / "card.json").write_text(json.dumps({**card, "id": "whole", "fit": SQUEEZE}))
    for at in range(3):
        picture = photograph(at, (500, 400))
        picture.save(tmp_path / f"{at}.png")
        ImageOps.expand(picture, 20, "black").save(tmp_path / f"{at}f.png")
    moved = {}
    for model in ("mini", whole):
        rows = aes("score", *sorted(tmp_path.glob("*.png")), "-m", model, "--no-store").rows()
        scores = [float(row[2]) for row in rows]
        moved[str(model)] = max(abs(one - two) for one, two in zip(scores[::2], scores[1::2], strict=True))
    assert moved["mini"] < 0.25 < moved[str(whole)]
