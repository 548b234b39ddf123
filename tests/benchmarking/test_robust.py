import io

import numpy as np
import pytest
from PIL import Image

from aescli.benchmarking.evaluating import evaluate
from aescli.benchmarking.lines import Line
from aescli.benchmarking.robust import LOWER, NOT_HIGHER, ORIGINAL, SAME, make_copies
from aescli.images.picture import Decoding, open_picture
from tests.conftest import photograph


@pytest.fixture(scope="module")
def copies() -> dict[str, tuple[str, bytes]]:
    return {copy.name: (copy.must, copy.data) for copy in make_copies(photograph(1, (300, 200)))}


def test_turned_and_re_encoded_copies_show_the_same_pixels(copies: dict[str, tuple[str, bytes]]) -> None:
    original = open_picture(copies[ORIGINAL][1], Decoding(exact=True)).whole(4096).astype(int)
    same = {name: data for name, (must, data) in copies.items() if must == SAME and name != ORIGINAL}
    assert len([name for name in same if name.startswith("orientation")]) == 7
    for name, data in same.items():
        shown = open_picture(data, Decoding(exact=True)).whole(4096).astype(int)
        assert shown.shape == original.shape, name
        assert np.abs(shown - original).mean() <= (2.5 if "jpeg" in name else 0), name


def test_spoilt_copies_are_spoilt_and_the_same_every_time(copies: dict[str, tuple[str, bytes]]) -> None:
    original = np.asarray(Image.open(io.BytesIO(copies[ORIGINAL][1])), int)
    spoilt = [name for name, (must, _) in copies.items() if must == LOWER]
    assert len(spoilt) >= 5
    for name in spoilt:
        shown = np.asarray(Image.open(io.BytesIO(copies[name][1])).resize(original.shape[1::-1]), int)
        assert np.abs(shown - original).mean() > 3, name
    again = {copy.name: copy.data for copy in make_copies(photograph(1, (300, 200)))}
    assert again == {name: data for name, (_, data) in copies.items()}


def test_words_change_a_strip_and_nothing_else(copies: dict[str, tuple[str, bytes]]) -> None:
    original = np.asarray(Image.open(io.BytesIO(copies[ORIGINAL][1])), int)
    words = [data for must, data in copies.values() if must == NOT_HIGHER]
    assert len(words) == 2
    for data in words:
        changed = (np.asarray(Image.open(io.BytesIO(data)), int) != original).any((1, 2))
        assert 0.02 < changed.mean() < 0.2


def test_shifts_and_rules_are_counted() -> None:
    scores = {"a": {ORIGINAL: 6.0, "blur": 4.0, "tiff": 6.0, "words": 6.5},
              "b": {ORIGINAL: 5.0, "blur": 5.5, "tiff": 5.3, "words": 4.0}}  # fmt: skip
    must = {ORIGINAL: SAME, "blur": LOWER, "tiff": SAME, "words": NOT_HIGHER}
    lines = [
        Line(suite="robust", split="s", item=f"{of}/{name}", model="m", overall=score,
             groups={"of": of, "copy": name, "must": must[name]})
        for of, found in scores.items() for name, score in found.items()
    ]  # fmt: skip
    found = {record.metric: record for record in evaluate(lines).records}
    assert found["blur/shift"].value == pytest.approx(-0.75)
    assert found["blur/held"].value == 0.5
    assert found["tiff/largest"].value == pytest.approx(0.3)
    assert found["tiff/held"].value == 0.5
    assert found["words/held"].value == 0.5


def test_all_copies_together_are_one_number_and_models_differ_by_it() -> None:
    lines = [
        Line(suite="robust", split="s", item=f"{at}/{name}", model=model, overall=score,
             groups={"of": str(at), "copy": name, "must": must})
        for at in range(12)
        for model, blurred in (("firm", 3.0), ("fooled", 8.0))
        for name, must, score in ((ORIGINAL, SAME, 6.0), ("blur", LOWER, blurred), ("tiff", SAME, 6.0))
    ]  # fmt: skip
    records = {(record.model, record.metric): record for record in evaluate(lines).records}
    assert records["firm", "held"].value == 1
    assert records["fooled", "held"].value == 0.5
    assert records["fooled", "held"].n == 24
    assert records["firm - fooled", "held_difference"].note.startswith("the first is better")
