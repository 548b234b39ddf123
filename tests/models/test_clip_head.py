import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import load_file, save_file

from aescli.errors import WeightsUnavailable
from aescli.images.picture import Decoding, open_picture
from aescli.models import clip_head as clip
from aescli.models.clip_head import build_head
from aescli.models.fitting import crop
from tests.conformance import FOLDER, needs_conformance
from tests.conftest import Aes, encoded, photograph
from tests.models.checkpoints import clip_head
from tests.models.copies import Copies, two_devices

FILES = {
    "v2_sac_logos_ava1_l14_linear": ("sac+logos+ava1-l14-linearMSE.pth", ("--activation", "none")),
    "v1_l14_linear": ("sa_0_4_vit_l_14_linear.pth", ()),
}


def table(file: Path, rows: dict[str, "np.ndarray"]) -> Path:
    columns = {"path": list(rows), "embedding": [row.astype(np.float32).tolist() for row in rows.values()]}
    parquet.write_table(pyarrow.table(columns), file)
    return file


@needs_conformance
@pytest.mark.parametrize("name", FILES)
def test_scores_of_real_heads_are_the_published_ones(aes: Aes, tmp_path: Path, name: str) -> None:
    folder = FOLDER / "laion-v2"
    expected = {path: scores[name] for path, scores in json.loads((folder / "expected.json").read_text()).items()}
    file, words = FILES[name]
    assert aes("models", "import", folder / file, "-o", tmp_path / "head", *words).code == 0
    # Their length does not matter: they are normalised first.
    rows = {path: np.load(folder / path)[0] * (3.0 + at) for at, path in enumerate(expected)}
    done = aes(
        "score", "--embeddings", table(tmp_path / "e.parquet", rows), "-m", tmp_path / "head", "--format", "jsonl"
    )
    assert done.code == 0, done.err
    found = {row["path"]: row for row in map(json.loads, done.out.splitlines())}
    assert {path: row["raw"] for path, row in found.items()} == pytest.approx(expected, abs=1e-5)
    assert all(0 <= row["overall"] <= 10 for row in found.values())


def test_layers_without_activations_are_one_layer() -> None:
    chance = np.random.default_rng(0)
    tensors = {
        "layers.0.weight": chance.normal(size=(5, 7)), "layers.0.bias": chance.normal(size=5),
        "layers.2.weight": chance.normal(size=(1, 5)), "layers.2.bias": chance.normal(size=1),
    }  # fmt: skip
    embeddings = chance.normal(size=(4, 7))
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    first = unit @ tensors["layers.0.weight"].T + tensors["layers.0.bias"]
    linear, relu = (build_head(tensors, activation, "it") for activation in ("none", "relu"))
    assert len(linear.layers) == 1
    for head, middle in ((linear, first), (relu, np.maximum(first, 0))):
        expected = (middle @ tensors["layers.2.weight"].T + tensors["layers.2.bias"])[:, 0]
        assert head.rate(embeddings) == pytest.approx(expected, abs=1e-12)


def test_several_layers_are_not_guessed_about(aes: Aes, tmp_path: Path) -> None:
    state = {
        "0.weight": torch.ones(3, 4),
        "0.bias": torch.ones(3),
        "2.weight": torch.ones(1, 3),
        "2.bias": torch.ones(1),
    }
    torch.save(state, tmp_path / "head.pth")
    done = aes("models", "import", tmp_path / "head.pth", "-o", tmp_path / "m")
    assert done.code == 2
    assert "--activation" in done.err
    assert not (tmp_path / "m").exists()


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        import os

        return os.system, ("touch ran",)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_pickle_that_runs_code_does_not(aes: Aes, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = {"weight": _Evil(), "bias": torch.ones(1)}
    if how == "torch":
        torch.save(state, tmp_path / "head.pth")
    else:
        (tmp_path / "head.pth").write_bytes(pickle.dumps(state))
    done = aes("models", "import", tmp_path / "head.pth", "-o", tmp_path / "m")
    assert done.code == 5
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"weight": np.ones((2, 3)), "bias": np.ones(2)},
        {"weight": np.ones((1, 3))},
        {"0.weight": np.ones((4, 3)), "0.bias": np.ones(4), "1.weight": np.ones((1, 5)), "1.bias": np.ones(1)},
        {"weight": np.full((1, 3), np.nan), "bias": np.ones(1)},
        {"embedding": np.ones((1, 3))},
    ],
)
def test_what_is_no_head_is_refused(tensors: dict[str, "np.ndarray"]) -> None:
    with pytest.raises(WeightsUnavailable):
        build_head(tensors, "none", "it")


@pytest.fixture
def head(aes: Aes, tmp_path: Path) -> Path:
    torch.save({"weight": torch.ones(1, 16), "bias": torch.full((1,), 3.0)}, tmp_path / "head.pth")
    assert aes("models", "import", tmp_path / "head.pth", "-o", tmp_path / "head").code == 0
    return tmp_path / "head"


def test_embeddings_that_are_none_are_said(aes: Aes, tmp_path: Path, head: Path) -> None:
    rows = {"good": np.ones(16), "zero": np.zeros(16), "nan": np.full(16, np.nan)}
    done = aes("score", "--embeddings", table(tmp_path / "e.parquet", rows), "-m", head, "--format", "jsonl")
    assert done.code == 3
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [row["error_code"] for row in found] == [None, "non_finite", "non_finite"]
    assert found[0]["raw"] == pytest.approx(7.0)
    other = table(tmp_path / "o.parquet", {"a": np.ones(15)})
    assert "15 numbers" in aes("score", "--embeddings", other, "-m", head).err
    assert aes("score", "--embeddings", other).code == 2
    (tmp_path / "bad.parquet").write_text("no")
    assert aes("score", "--embeddings", tmp_path / "bad.parquet", "-m", head).code == 1


def test_pictures_are_scored_with_the_tower_beside_the_head(aes: Aes, tmp_path: Path, head: Path) -> None:
    from transformers import CLIPVisionModelWithProjection

    photograph(1, (300, 200)).save(tmp_path / "a.png")
    missing = aes("score", tmp_path / "a.png", "-m", head)
    assert missing.code == 5
    assert "aes models pull laion-v2" in missing.err
    shutil.copytree(clip_head(tmp_path / "other" / "head") / "tower", head / "tower")
    tower = CLIPVisionModelWithProjection.from_pretrained(head / "tower")
    done = aes("score", tmp_path / "a.png", "-m", head, "--format", "jsonl", "--no-store")
    assert done.code == 0, done.err
    pixels = crop(open_picture((tmp_path / "a.png").read_bytes(), Decoding()), 224) / 255.0
    pixels = (pixels - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]
    with torch.inference_mode():
        batch = torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32)
        embedding = tower(pixel_values=batch).image_embeds[0]
    expected = float((embedding / embedding.norm()).sum()) + 3.0
    assert json.loads(done.out)["raw"] == pytest.approx(expected, abs=1e-4)


def test_the_middle_of_a_picture_is_what_clip_sees() -> None:
    picture = photograph(1, (301, 200))
    found = crop(open_picture(encoded(picture), Decoding()), 64)
    from PIL import Image

    resized = np.asarray(picture.resize((96, 64), Image.Resampling.BICUBIC))
    assert np.array_equal(found, resized[:, 16:80])


def test_two_devices_share_one_stream_of_pictures(
    aes: Aes, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = clip_head(tmp_path / "head")
    words = ("score", photos, "-m", folder, "--format", "jsonl", "--no-store", "--batch-size", 1)
    alone = [json.loads(line)["raw"] for line in aes(*words).out.splitlines()]
    copies, load_tower = Copies(2), clip.load_tower

    def watched(folder: Path, data_type: torch.dtype) -> torch.nn.Module:
        tower: torch.nn.Module = load_tower(folder, data_type)
        copies.watch(tower)
        return tower

    two_devices(monkeypatch)
    monkeypatch.setattr(clip, "load_tower", watched)
    shared = [json.loads(line)["raw"] for line in aes(*words, "--workers", 3).out.splitlines()]
    assert shared == pytest.approx(alone, abs=1e-5)
    assert sum(copies.calls.values()) == len(alone) == 6
    assert min(copies.calls.values()) >= 1


@pytest.mark.parametrize("names", [("fc1", "fc2"), ("linear", "out"), ("m.layers.0", "other.0"), ("0", "out")])
def test_layers_whose_order_nobody_tells_are_refused(aes: Aes, tmp_path: Path, names: tuple[str, str]) -> None:
    one, other = names
    state = {
        f"{one}.weight": torch.randn(8, 8), f"{one}.bias": torch.randn(8),
        f"{other}.weight": torch.randn(1, 8), f"{other}.bias": torch.randn(1),
    }  # fmt: skip
    torch.save(state, tmp_path / "head.pth")
    assert aes("models", "import", tmp_path / "head.pth", "-o", tmp_path / "m").code == 2
    done = aes("models", "import", tmp_path / "head.pth", "-o", tmp_path / "m", "--activation", "relu")
    assert done.code == 5
    assert "do not tell their order" in done.err
    assert not (tmp_path / "m").exists()


def test_what_stands_between_layers_is_part_of_what_a_row_depends_on(aes: Aes, tmp_path: Path) -> None:
    folder = clip_head(tmp_path / "m", "relu")
    photograph(1, (64, 64)).save(tmp_path / "a.png")
    (before,) = aes("score", tmp_path / "a.png", "-m", folder).rows()
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "activation": "none"}))
    (after,) = aes("score", tmp_path / "a.png", "-m", folder).rows()
    assert before[2] != after[2]
    (folder / "card.json").write_text(json.dumps({**card, "activation": "gelu"}))
    done = aes("score", tmp_path / "a.png", "-m", folder)
    assert (done.code, "'gelu' is no activation" in done.err) == (5, True)


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(print)])
def test_no_advice_to_read_a_file_without_a_guard(aes: Aes, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "e.pth").write_bytes(content)
    done = aes("models", "import", tmp_path / "e.pth", "-o", tmp_path / "m")
    assert done.code == 5
    assert "is no file of tensors" in done.err
    assert "weights_only" not in done.err


def test_a_tower_that_is_cut_or_of_another_shape_is_named(aes: Aes, tmp_path: Path) -> None:
    folder = clip_head(tmp_path / "m")
    photograph(1, (64, 64)).save(tmp_path / "a.png")
    file = folder / "tower" / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    done = aes("score", tmp_path / "a.png", "-m", folder)
    assert (done.code, "CLIP cannot be loaded" in done.err) == (5, True)
    file.write_bytes(whole)
    state = load_file(file)
    name = next(name for name in state if name.endswith("fc1.weight"))
    save_file({**state, name: state[name][:5].contiguous()}, file, {"format": "pt"})
    done = aes("score", tmp_path / "a.png", "-m", folder)
    assert (done.code, name in done.err) == (5, True)


def test_a_bad_embedding_is_a_row_and_costs_no_other(aes: Aes, tmp_path: Path) -> None:
    folder = clip_head(tmp_path / "m")
    good = np.random.default_rng(0).normal(size=16)
    rows = [good.tolist(), None, [1.0] * 5, (1e200 * good).tolist(), [0.0] * 16, [None] * 16]
    columns = {"path": [f"{at}.jpg" for at in range(6)], "embedding": rows}
    parquet.write_table(pyarrow.table(columns), tmp_path / "e.parquet")
    done = aes("score", "--embeddings", tmp_path / "e.parquet", "-m", folder)
    assert done.code == 3, done.err
    found = done.rows()
    assert [row[1] for row in found] == ["ok", "error", "error", "ok", "error", "error"]
    assert found[0][2] == found[3][2]  # their length does not matter
    assert [row[6] for row in found] == ["", "corrupt", "corrupt", "", "non_finite", "corrupt"]


@pytest.mark.parametrize(("path", "embedding"), [("a", 0.5), ("a", "x"), (None, [1.0] * 16), ("a", [1.0])])
def test_tables_that_hold_no_embeddings_are_refused(aes: Aes, tmp_path: Path, path: object, embedding: object) -> None:
    folder = clip_head(tmp_path / "m")
    parquet.write_table(pyarrow.table({"path": [path], "embedding": [embedding]}), tmp_path / "e.parquet")
    done = aes("score", "--embeddings", tmp_path / "e.parquet", "-m", folder)
    assert (done.code, done.err.startswith("aes: error: ")) == (1, True)


@pytest.mark.parametrize("field", [{"dimensions": [{"name": "light", "meaning": "x"}]}, {"family": "endpoint"}])
def test_a_card_that_promises_what_a_head_has_not_is_refused(
    aes: Aes, tmp_path: Path, field: dict[str, object]
) -> None:
    folder = clip_head(tmp_path / "m")
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **field}))
    photograph(1, (64, 64)).save(tmp_path / "a.png")
    assert aes("score", tmp_path / "a.png", "-m", folder, "--dims", "all").code == 5


def test_a_tower_that_is_cut_does_not_verify(aes: Aes, tmp_path: Path) -> None:
    folder = clip_head(tmp_path / "m")
    assert aes("models", "verify", folder).code == 0
    file = folder / "tower" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert aes("models", "verify", folder).code == 5
