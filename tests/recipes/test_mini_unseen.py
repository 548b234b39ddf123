"""Photographs that nothing was fitted to, and their spoilt copies, judged by the model that ships."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import photograph

pytest.importorskip("torch")
unseen: Any = importlib.import_module("unseen")

COUNT = 12  # a draw with replacement must not be one photograph alone


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    rows = []
    for at in range(COUNT):
        photograph(at, (300, 200)).save(tmp_path / "images" / f"{at}.jpg", quality=95)
        rows.append(json.dumps({"image_name": f"{at}.jpg", "score": at / COUNT}))
    (tmp_path / "label.jsonl").write_text("\n".join([*rows, json.dumps({"image_name": "gone.jpg", "score": 1.0})]))
    return tmp_path


def test_copies_of_every_damage_are_compared_with_their_photograph(photographs: Path) -> None:
    found = unseen.compare(sorted((photographs / "images").iterdir())[:4], unseen.NAMES)
    assert found.keys() == {"whole", *(each.name for each in unseen.JUDGED)}
    assert all(found[each.name].keys() == set(unseen.NAMES) for each in unseen.JUDGED)
    noise = [found["noise"][name]["median technical"] for name in unseen.NAMES]
    assert found["whole"][""]["median technical"] > noise[0] > noise[1] > noise[2]
    assert found["noise"]["strong"]["technical"] == 1.0


def test_copies_are_the_same_each_time(photographs: Path) -> None:
    file = photographs / "images" / "0.jpg"
    one, other = (unseen.spoil(file, ("medium",)) for _ in range(2))
    assert [name for name, _ in one] == ["whole", *(f"{each.name}-medium" for each in unseen.JUDGED)]
    assert [picture.tobytes() for _, picture in one] == [picture.tobytes() for _, picture in other]
    assert max(one[0][1].size) == unseen.LONG_SIDE


def test_only_photographs_with_a_rating_are_ranked(photographs: Path) -> None:
    found = unseen.rank(photographs)
    assert found["photographs"] == COUNT
    low, high = found["interval_95"]
    assert low <= found["srcc"] <= high
    (photographs / "label.jsonl").unlink()
    assert unseen.rank(photographs) == {}
