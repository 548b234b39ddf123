"""Features of every family that gives some, on tiny models, and heads that stand on them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from aescli.images.picture import Decoding, open_picture
from aescli.models.base import FeatureExtractor, Features, LoadOptions
from aescli.models.extracting import load_extractor
from aescli.models.loading import load_scorer
from aescli.registry import find_card
from aescli.results import Rating
from tests.conftest import Aes, encoded, photograph
from tests.models.checkpoints import released, three_heads, write_backbone
from tests.models.speakers import made
from tests.training.library import write_library

CPU = LoadOptions(device="cpu")
FAMILIES = ("clip", "internvl", "released", "qwen3_vl", "mini")


def clip(folder: Path) -> Path:
    """Write a head on a tiny CLIP tower."""
    from safetensors.numpy import save_file

    from aescli.models.clip_head import import_head

    torch.manual_seed(0)
    source = folder.parent / "source.safetensors"
    save_file({"weight": np.linspace(-1, 1, 16, dtype=np.float32)[None], "bias": np.ones(1, np.float32)}, source)
    import_head(source, folder, None, (1, 10))
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=224,
        patch_size=56, projection_dim=16,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "tower")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    clip(folder / "clip")
    three_heads(folder / "internvl")
    return folder


def name_of(models: Path, family: str) -> str:
    if family in ("released", "qwen3_vl"):
        return str(made(models, family))
    return family if family == "mini" else str(models / family)


def look(model: Any, seeds: range) -> list[Any]:
    return [model.prepare(open_picture(encoded(photograph(seed, (90, 70))), Decoding())) for seed in seeds]


@pytest.mark.parametrize("family", FAMILIES)
def test_features_come_with_the_models_own_rating(models: Path, family: str) -> None:
    card = find_card(name_of(models, family))
    extractor, scorer = load_extractor(card, CPU), load_scorer(card, (), CPU)
    assert isinstance(extractor, FeatureExtractor)
    seeds = range(4)
    together = extractor.extract(look(extractor, seeds))
    expected = scorer.rate(look(scorer, seeds))
    alone = [extractor.extract([each])[0] for each in look(extractor, seeds)]
    for one, other, rating in zip(together, alone, expected, strict=True):
        assert isinstance(one, Features)
        assert isinstance(other, Features)
        assert isinstance(rating, Rating)
        assert one.values.dtype == np.float32
        assert one.values == pytest.approx(other.values, abs=1e-4)
        assert one.rating == pytest.approx(rating.raw, abs=1e-5)
    stacked = np.stack([each.values for each in alone if isinstance(each, Features)])
    assert (stacked.std(0) > 0).any()  # it sees the picture


def test_features_are_what_the_models_own_heads_read(models: Path) -> None:
    internvl: Any = load_extractor(find_card(str(models / "internvl")), CPU)
    judge = internvl._judges[0].judge
    (prepared,) = look(internvl, range(1))
    (found,) = internvl.extract([prepared])
    regression = judge.heads.regress(torch.from_numpy(found.values)[None])
    assert float(regression) == pytest.approx(float(judge.read([prepared], ("plain",)).regression), abs=1e-5)

    llava: Any = load_extractor(find_card(str(made(models, "released"))), CPU)
    (prepared,) = look(llava, range(1))
    (found,) = llava.extract([prepared])
    words = llava._first.network.lm_head.weight[llava._tokens]  # (levels, hidden)
    shares = (words @ torch.from_numpy(found.values)).softmax(0)
    assert found.rating == pytest.approx(float(shares @ torch.tensor([1, 0.75, 0.5, 0.25, 0])), abs=1e-5)


@pytest.mark.parametrize("family", ["clip", "internvl", "released"])
def test_a_head_on_a_torch_model(aes: Aes, models: Path, family: str, tmp_path: Path) -> None:
    library = write_library(tmp_path / "sunny", 24)
    base, out = name_of(models, family), tmp_path / "m"
    done = aes(
        "train", "--data", library, "--model", base, "--out", out, "--folds", 2, "--device", "cpu", "--dims", "all"
    )
    assert done.code == 0, done.err
    assert not (out / "model.onnx").exists()
    words = ("score", library / "images", "--model", out, "--dims", "all", "--device", "cpu", "--format", "jsonl")
    rows = [json.loads(line) for line in aes(*words, "--no-store").out.splitlines()]
    assert len(rows) == 24
    assert {tuple(row["dims"]) for row in rows} == {("redness",)}
    assert aes("models", "verify", out).code == 0
    card = json.loads((out / "card.json").read_text())
    assert card["base"]["name"] == base
    (out / "card.json").write_text(json.dumps({**card, "base": {"name": base, "revision": "another"}}))
    done = aes(*words)
    assert done.code == 5
    assert "was trained on" in done.err
    (out / "card.json").write_text(json.dumps({**card, "base": {"name": f"{base}-moved", "revision": "another"}}))
    done = aes(*words)
    assert done.code == 5
    assert f"is a head on {base}-moved, which is not there" in done.err
    (out / "card.json").write_text(json.dumps({**card, "native_range": [0, 9]}))
    for refused in (words, ("models", "verify", out)):
        done = aes(*refused)
        assert done.code == 5
        assert "its weights were made for" in done.err
    (out / "card.json").write_text(json.dumps(card))
    damaged = bytearray((out / "model.safetensors").read_bytes())
    damaged[-1] ^= 1
    (out / "model.safetensors").write_bytes(damaged)
    assert aes(*words).code == 5


@pytest.mark.parametrize("kind", ["plain", "open"])
def test_internvl_without_heads_that_are_known_has_features_and_no_rating(aes: Aes, tmp_path: Path, kind: str) -> None:
    base = tmp_path / kind
    if kind == "plain":
        base.mkdir()
        write_backbone(base, "qwen2", 0, heads=None)
    else:
        released(base)
    extractor = load_extractor(find_card(str(base)), CPU)
    found = [each for each in extractor.extract(look(extractor, range(2))) if isinstance(each, Features)]
    assert [each.rating for each in found] == [None, None]
    assert not np.allclose(found[0].values, found[1].values)
    library = write_library(tmp_path / "sunny", 24)
    if kind == "plain":
        done = aes("score", library / "images", "--model", base, "--device", "cpu")
        assert (done.code, "is a base to train, it has no score" in done.err) == (2, True)
    done = aes("train", "--data", library, "--model", base, "--out", tmp_path / "m", "--folds", 2, "--device", "cpu")
    assert done.code == 0, done.err
    assert "has no score of its own" in done.out
    assert "than chance" in done.out
    assert aes("score", library / "images", "--model", tmp_path / "m", "--device", "cpu", "--no-store").code == 0


def train(aes: Aes, base: Path, folder: Path) -> Path:
    library = write_library(folder / "sunny", 24)
    done = aes("train", "--data", library, "--model", base, "--out", folder / "m", "--folds", 2, "--device", "cpu")
    assert done.code == 0, done.err
    return library / "images" / "1.png"


def test_a_head_on_clip_is_one_with_its_tower(aes: Aes, tmp_path: Path) -> None:
    """Another tower is another model: for stored rows, for kept features, and for heads on it."""
    base = clip(tmp_path / "clip")
    picture = train(aes, base, tmp_path)
    first = aes("score", picture, "--model", base, "--device", "cpu").out
    torch.manual_seed(9)
    config = CLIPVisionConfig.from_pretrained(base / "tower")
    CLIPVisionModelWithProjection(config).save_pretrained(base / "tower")
    assert aes("score", picture, "--model", base, "--device", "cpu").out != first
    done = aes("score", picture, "--model", tmp_path / "m", "--device", "cpu")
    assert done.code == 5
    assert "was trained on" in done.err
    assert aes("models", "verify", base).code == 0
    (base / "tower" / "model.safetensors").unlink()
    assert aes("models", "verify", base).code == 5


@pytest.mark.parametrize(
    ("family", "file", "change"),
    [
        ("internvl", "config.json", {"max_dynamic_patch": 1}),
        ("released", "config.json", {"rms_norm_eps": 1e-2}),
    ],
)
def test_a_head_is_refused_where_its_base_sees_in_another_way(
    aes: Aes, tmp_path: Path, family: str, file: str, change: dict[str, Any]
) -> None:
    base = three_heads(tmp_path / "base") if family == "internvl" else made(tmp_path, family)
    picture = train(aes, base, tmp_path)
    words = ("score", picture, "--model", tmp_path / "m", "--device", "cpu", "--no-store")
    assert aes(*words).code == 0
    fields = json.loads((base / file).read_text())
    (base / file).write_text(json.dumps({**fields, **change}))
    done = aes(*words)
    assert done.code == 5
    assert "has other settings than when this head was trained" in done.err


def test_a_head_without_its_file_is_said(aes: Aes, tmp_path: Path) -> None:
    picture = train(aes, clip(tmp_path / "clip"), tmp_path)
    (tmp_path / "m" / "model.safetensors").unlink()
    (tmp_path / "clip" / "head.safetensors").unlink()
    for words in (("score", picture, "--model"), ("models", "verify")):
        for model in ("m", "clip"):
            done = aes(*words, tmp_path / model)
            assert done.code == 5
            assert "cannot be read" in done.err


def test_weights_that_cannot_be_read_are_no_base(aes: Aes, tmp_path: Path) -> None:
    base = three_heads(tmp_path / "base")
    picture = write_library(tmp_path / "sunny", 24) / "images" / "1.png"
    (base / "model.safetensors").write_bytes(b"no weights")
    for words in (("score", picture), ("train", "--data", tmp_path / "sunny", "--out", tmp_path / "m")):
        done = aes(*words, "--model", base, "--device", "cpu")
        assert done.code == 5
        assert "model.safetensors cannot be read" in done.err


def test_a_dimension_that_no_head_gives_is_refused(aes: Aes, tmp_path: Path) -> None:
    picture = train(aes, clip(tmp_path / "clip"), tmp_path)
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    card["dimensions"].append({"name": "sharpness", "meaning": "measured"})
    (tmp_path / "m" / "card.json").write_text(json.dumps(card))
    done = aes("score", picture, "--model", tmp_path / "m", "--dims", "all", "--device", "cpu", "--no-store")
    assert done.code == 5
    assert "sharpness" in done.err


def test_a_card_of_many_folds_and_a_name_too_long_are_said(aes: Aes, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text("[" * 100_000)
    for name in (str(tmp_path), "./" + "x" * 300):
        done = aes("models", "show", name)
        assert done.code == 5
        assert "model card" in done.err
