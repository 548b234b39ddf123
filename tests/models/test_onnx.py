import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from aescli.errors import AesError, WeightsUnavailable
from aescli.images.picture import Decoding, open_picture
from aescli.models.base import LoadOptions, Scorer
from aescli.models.loading import load_scorer
from aescli.models.onnx import AT_ONCE
from aescli.registry import BUILT_IN, find_card, read_card
from aescli.results import Rating
from tests.conftest import encoded, photograph
from tests.data import DATA, needs_data

CPU = LoadOptions(device="cpu")

# The raw rating of photograph(seed): a change here is a change of every user's scores.
GOLDEN = {0: 3.4372, 1: 3.611, 2: 4.0384}


@pytest.fixture(scope="module")
def mini() -> Scorer:
    return load_scorer(find_card("mini"), (), CPU)


def ratings(scorer: Scorer, seeds: list[int]) -> list[float]:
    prepared = [scorer.prepare(open_picture(encoded(photograph(seed)), Decoding())) for seed in seeds]
    return [rating.raw for rating in scorer.rate(prepared) if isinstance(rating, Rating)]


def test_golden_numbers(mini: Scorer) -> None:
    assert ratings(mini, list(GOLDEN)) == pytest.approx(list(GOLDEN.values()), abs=2e-3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda picture: picture.filter(ImageFilter.GaussianBlur(3)),
        lambda picture: picture.point(lambda level: level * 0.3),
        lambda picture: picture.point(lambda level: 128 + (level - 128) * 0.3),
        lambda picture: Image.open(io.BytesIO(encoded(picture, "JPEG", quality=10))),
    ],
    ids=["blurred", "dark", "flat", "compressed"],
)
def test_technical_falls_when_a_picture_is_spoilt(spoil: Callable[[Image.Image], Image.Image]) -> None:
    scorer = load_scorer(find_card("mini"), ("technical",), CPU)
    whole = photograph(3, (500, 400))
    views = [open_picture(encoded(each), Decoding()) for each in (whole, spoil(whole))]
    before, after = scorer.rate([scorer.prepare(view) for view in views])
    assert isinstance(before, Rating)
    assert isinstance(after, Rating)
    assert 0 <= after.dims["technical"] < before.dims["technical"] <= 10


@needs_data
def test_a_false_white_balance_is_told_and_not_liked(mini: Scorer) -> None:
    """Of portraits that no fit has seen."""
    lost = 0
    files = sorted((DATA / "mebeauty" / "images").iterdir())[:60]
    for at, file in enumerate(files):
        picture = Image.open(file).convert("RGB")
        gains = np.array([(1.5, 1.0, 0.67), (0.67, 1.0, 1.5)][at % 2])
        cast = Image.fromarray(np.minimum(np.asarray(picture) * gains, 255).round().astype(np.uint8))
        before, after = mini.rate([mini.prepare(open_picture(encoded(each), Decoding())) for each in (picture, cast)])
        assert isinstance(before, Rating)
        assert isinstance(after, Rating)
        lost += before.raw > after.raw
    assert lost >= 0.8 * len(files)


def test_a_picture_is_rated_alike_to_the_last_bit_whatever_stands_beside_it() -> None:
    scorer = load_scorer(find_card("mini"), ("technical",), CPU)
    assert scorer.batch_size == 2
    prepared = [scorer.prepare(open_picture(encoded(photograph(seed, (90, 60))), Decoding())) for seed in range(16)]
    alone = [scorer.rate([each])[0] for each in prepared]
    assert scorer.rate(prepared) == alone
    assert scorer.rate(prepared[::-1])[::-1] == alone
    for at in range(0, 16, 2):
        assert scorer.rate(prepared[at : at + 2]) == alone[at : at + 2]


@pytest.mark.parametrize(("said", "expected"), [(None, 1), ("8", 8), ("0", 1), ("-3", 1), ("500", 1), ("many", 1)])
def test_graphs_get_one_picture_at_a_time_unless_they_say_that_rows_stay_the_same(
    tmp_path: Path, said: str | None, expected: int
) -> None:
    onnx = pytest.importorskip("onnx")
    shutil.copytree(BUILT_IN, tmp_path / "copy")
    graph = onnx.load(BUILT_IN / "model.onnx")
    onnx.helper.set_model_props(graph, {} if said is None else {AT_ONCE: said})
    onnx.save(graph, tmp_path / "copy" / "model.onnx")
    card = json.loads((BUILT_IN / "card.json").read_text())
    card["revision"] = hashlib.sha256((tmp_path / "copy" / "model.onnx").read_bytes()).hexdigest()
    (tmp_path / "copy" / "card.json").write_text(json.dumps(card))
    assert load_scorer(read_card(tmp_path / "copy", "./copy"), (), CPU).batch_size == expected


def test_only_what_was_asked_for_is_measured() -> None:
    card = find_card("mini")
    scorer = load_scorer(card, ("noise",), CPU)
    (rating,) = scorer.rate([scorer.prepare(open_picture(encoded(photograph()), Decoding()))])
    assert isinstance(rating, Rating)
    assert list(rating.dims) == ["noise"]
    assert scorer.backend == "onnx-cpu"


def test_a_graph_that_was_changed_is_refused(tmp_path: Path) -> None:
    shutil.copytree(BUILT_IN, tmp_path / "copy")
    graph = tmp_path / "copy" / "model.onnx"
    assert load_scorer(read_card(tmp_path / "copy", "./copy"), (), CPU).card.id == "./copy"
    damaged = bytearray(graph.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    graph.write_bytes(damaged)
    with pytest.raises(WeightsUnavailable, match="SHA-256"):
        load_scorer(read_card(tmp_path / "copy", "./copy"), (), CPU)
    graph.unlink()
    with pytest.raises(WeightsUnavailable, match="cannot be read"):
        load_scorer(read_card(tmp_path / "copy", "./copy"), (), CPU)


def test_a_family_without_code_says_so() -> None:
    with pytest.raises(AesError, match="'telepathy'"):
        load_scorer(replace(find_card("mini"), family="telepathy"), (), CPU)


def test_the_card_tells_what_the_weights_are() -> None:
    card = json.loads((BUILT_IN / "card.json").read_text())
    assert (BUILT_IN / "model.onnx").stat().st_size == card["size_bytes"] <= 14_000_000
    accuracy = card["accuracy"]["OASIS, 5 folds by theme"]
    assert accuracy["srcc"] >= 0.73
    assert card["accuracy"]["rank agreement of eight bits and single precision"] >= 0.98
    assert any("licence" in source for source in card["trained_on"])


def test_pixels_matter(mini: Scorer) -> None:
    assert np.std(ratings(mini, list(range(5)))) > 0.01
