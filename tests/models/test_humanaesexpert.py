import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import ErrorCode, PictureError, WeightsUnavailable
from aescli.images.picture import Decoding, open_picture
from aescli.images.view import Pixels
from aescli.models import humanaesexpert, internvl, tiles
from aescli.models.base import LoadOptions
from aescli.models.humanaesexpert import HumanAesExpertScorer, Judge, branch_mask, load_judge
from aescli.models.prompts import PromptChoices, build_prompt
from aescli.registry import find_card
from aescli.results import Rating
from tests.conftest import Aes, encoded, photograph
from tests.models.checkpoints import three_heads

SIZES = [(60, 60), (120, 60), (200, 60), (60, 200), (150, 100)]


@pytest.fixture(scope="module", params=["qwen2", "internlm2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_heads(tmp_path_factory.mktemp("three") / request.param, request.param)


def judge(folder: Path, data_type: torch.dtype = torch.float32) -> Judge:
    return load_judge(find_card(str(folder)), folder, "cpu", data_type)


def scorer(folder: Path, **options: Any) -> HumanAesExpertScorer:
    return humanaesexpert.load(find_card(str(folder)), folder, HUMAN_DIMENSIONS, LoadOptions(device="cpu", **options))


def pictures(side: int = 56) -> list[Pixels]:
    tiling = tiles.Tiling(12, side=side)
    opened = [open_picture(encoded(photograph(at, size)), Decoding()) for at, size in enumerate(SIZES)]
    return [tiles.cut(each, tiling) for each in opened]


@torch.inference_mode()
def reference(judge: Judge, picture: Pixels, folder: Path) -> dict[str, torch.Tensor]:
    """Ask each question in a full pass of its own, over the whole dialogue, as the authors do."""
    network: Any = judge.backbone.network
    _, choices = humanaesexpert.read_choices(folder)
    features = internvl.encode(network, torch.from_numpy(tiles.normalize(picture)))
    count = len(picture) * judge.backbone.tile_tokens
    prompt = judge.prompt

    def last(tokens: list[int]) -> torch.Tensor:
        row = torch.tensor([tokens])
        embeddings = internvl.embed(network, row, features, prompt.image)
        hidden = network.model.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
        return hidden[:, -1]  # type: ignore[no-any-return]

    plain = [*prompt.prefix(count), *prompt.plain]
    answered = last([*plain, *prompt.stem])
    expert = judge.heads.judge(last([*prompt.prefix(count), *prompt.expert]))
    regression = judge.heads.regress(last(plain))
    level = judge.heads.read_levels(network.lm_head(answered)[:, list(prompt.levels)])
    assert choices.plain.startswith("Rate")
    return {
        "lm": level, "regression": regression, "expert": expert,
        "metavoter": judge.heads.vote(level, regression, expert[:, -1]),
    }  # fmt: skip


def test_one_pass_says_what_a_pass_for_each_question_says(folder: Path) -> None:
    loaded = judge(folder)
    for picture in pictures():
        found = loaded.read([picture], ("plain", "expert"))
        for name, expected in reference(loaded, picture, folder).items():
            assert torch.allclose(getattr(found, name), expected, atol=2e-6), name


def test_a_batch_of_mixed_tile_counts_says_what_each_says_alone(folder: Path) -> None:
    loaded, cut = judge(folder), pictures()
    assert len({len(each) for each in cut}) > 2
    together = loaded.read(cut, ("plain", "expert"))
    for at, picture in enumerate(cut):
        alone = loaded.read([picture], ("plain", "expert"))
        assert torch.allclose(together.expert[at], alone.expert[0], atol=2e-6)  # type: ignore[index]
        assert float(together.chosen("metavoter")[at]) == pytest.approx(float(alone.chosen("metavoter")), abs=2e-6)


@pytest.mark.parametrize("read_out", ["metavoter", "regression", "expert", "lm"])
def test_each_read_out_becomes_overall(aes: Aes, tmp_path: Path, folder: Path, read_out: str) -> None:
    photograph(1, (300, 200)).save(tmp_path / "a.png")
    done = aes("score", tmp_path / "a.png", "-m", folder, "--read-out", read_out, "--dims", "all", "--format", "jsonl")
    assert done.code == 0, done.err
    row = json.loads(done.out)
    assert row["read_out"] == read_out
    assert list(row["dims"]) == list(HUMAN_DIMENSIONS)
    loaded = judge(folder)
    picture = tiles.cut(open_picture((tmp_path / "a.png").read_bytes(), Decoding()), tiles.Tiling(12, side=56))
    expected = reference(loaded, picture, folder)
    raw = expected["expert"][0, -1] if read_out == "expert" else expected[read_out][0]
    assert row["raw"] == pytest.approx(float(raw), abs=2e-6)
    assert row["dims"]["comprehensive"] == pytest.approx(10 * float(expected["expert"][0, -1]), abs=2e-5)
    assert "people only" in done.err


def test_fewer_tiles_are_another_score_and_another_row_in_the_store(aes: Aes, tmp_path: Path, folder: Path) -> None:
    photograph(1, (300, 200)).save(tmp_path / "a.png")
    raws = []
    for words in ((), ("--max-tiles", 1), ()):
        done = aes("score", tmp_path / "a.png", "-m", folder, "--format", "jsonl", *words)
        raws.append(json.loads(done.out)["raw"])
    assert raws[0] != raws[1]
    assert raws[0] == raws[2]
    assert "1 of them kept from before" in done.err


def test_the_tree_shows_what_each_judgement_is_made_of(aes: Aes, tmp_path: Path, folder: Path) -> None:
    photograph(1, (300, 200)).save(tmp_path / "a.png")
    done = aes("score", tmp_path / "a.png", "-m", folder, "--tree")
    lines = done.out.splitlines()
    assert len(lines) == 13
    assert re.match(r"└─ comprehensive +\d", lines[1])
    assert [line.split("─ ")[1].split("  ")[0] for line in lines[3:9]] == [
        "facial aesthetic", "facial brightness", "facial feature clarity", "facial skin tone", "facial structure",
        "facial contour clarity",
    ]  # fmt: skip


def test_out_of_memory_halves_the_batch_and_the_scores_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, cut = scorer(folder), pictures()
    loaded._judges[0].budget = 10_000
    expected = loaded.rate(cut)
    whole, sizes = Judge.read, []

    def scarce(self: Judge, pictures: list[Pixels], questions: tuple[str, ...]) -> object:
        sizes.append(len(pictures))
        if len(pictures) > 1:
            raise torch.OutOfMemoryError
        return whole(self, pictures, questions)

    monkeypatch.setattr(Judge, "read", scarce)
    found = loaded.rate(cut)
    assert sizes[0] == len(cut)
    assert loaded._judges[0].budget < 10_000
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, Rating)
        assert isinstance(other, Rating)
        assert one.raw == pytest.approx(other.raw, abs=2e-6)


def test_one_picture_that_is_too_much_is_a_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, cut = scorer(folder), pictures()
    whole = Judge.read

    def scarce(self: Judge, pictures: list[Pixels], questions: tuple[str, ...]) -> object:
        if sum(map(len, pictures)) > 3:
            raise torch.OutOfMemoryError
        return whole(self, pictures, questions)

    monkeypatch.setattr(Judge, "read", scarce)
    found = loaded.rate(cut)
    for picture, one in zip(cut, found, strict=True):
        assert isinstance(one, PictureError) == (len(picture) > 3)
        assert not isinstance(one, PictureError) or one.code is ErrorCode.GPU_OOM


def test_a_row_that_overflows_in_half_precision_is_done_again_in_full(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = pictures()[:2]
    expected = scorer(folder).rate(cut)
    half, whole = scorer(folder, data_type="bf16"), Judge.read

    def overflowing(self: Judge, pictures: list[Pixels], questions: tuple[str, ...]) -> object:
        found = whole(self, pictures, questions)
        if self.data_type != torch.float32 and found.metavoter is not None:
            return replace(found, metavoter=torch.full_like(found.metavoter, float("inf")))
        return found

    monkeypatch.setattr(Judge, "read", overflowing)
    found = half.rate(cut[:1])
    assert isinstance(found[0], Rating)
    assert isinstance(expected[0], Rating)
    assert found[0].raw == pytest.approx(expected[0].raw, abs=2e-6)


def test_continuations_of_one_prefix_do_not_see_each_other() -> None:
    mask = branch_mask(torch.tensor([[0, 1, 1]]), [2, 1])[0, 0]
    assert mask.tolist() == [
        [False, True, True, True, False, False],
        [False, True, True, True, True, False],
        [False, True, True, False, False, True],
    ]


def test_levels_that_begin_alike_are_refused(folder: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="does not tell the levels apart"):
        build_prompt(folder, PromptChoices(), ["excellent", "excellent too", "bad"])


@pytest.mark.parametrize("missing", ["pooling", "level_weights", "voter_order"])
def test_a_card_that_leaves_a_choice_open_is_refused(aes: Aes, tmp_path: Path, missing: str) -> None:
    made = three_heads(tmp_path / "m")
    card = json.loads((made / "card.json").read_text())
    del card["heads"][missing]
    (made / "card.json").write_text(json.dumps(card))
    photograph(1, (60, 60)).save(tmp_path / "a.png")
    done = aes("score", tmp_path / "a.png", "-m", made)
    assert done.code == 5
    assert missing in done.err


def test_weights_that_are_not_the_cards_are_refused(aes: Aes, tmp_path: Path) -> None:
    made, other = three_heads(tmp_path / "m"), three_heads(tmp_path / "o", seed=1)
    (made / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    photograph(1, (60, 60)).save(tmp_path / "a.png")
    done = aes("score", tmp_path / "a.png", "-m", made)
    assert done.code == 5
    assert "SHA-256" in done.err


def test_a_read_out_that_is_none_is_refused_by_every_model(aes: Aes, tmp_path: Path, folder: Path) -> None:
    photograph(1, (60, 60)).save(tmp_path / "a.png")
    assert aes("score", tmp_path / "a.png", "-m", folder, "--read-out", "best").code == 2
    done = aes("score", tmp_path / "a.png", "--read-out", "regression")
    assert done.code == 2
    assert "--read-out is not for mini" in done.err


def test_a_device_that_is_not_there_is_an_error(aes: Aes, tmp_path: Path, folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("it is there")
    photograph(1, (60, 60)).save(tmp_path / "a.png")
    done = aes("score", tmp_path / "a.png", "-m", folder, "--device", "cuda:0")
    assert done.code == 1
    assert "cuda:0" in done.err


def test_normalizing_on_the_device_is_what_the_original_does() -> None:
    picture = pictures()[1]
    found = humanaesexpert.normalize_on_device(torch.from_numpy(picture), torch.float32)
    assert np.allclose(found.numpy(), tiles.normalize(picture), atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"levels": "bad"}, {"level_weights": "12345"}, {"level_weights": [1, 2]}, {"expert_width": -1},
        {"voter_width": "16"}, {"pooling": "mean"}, {"regression_bias": 1},
    ],
)  # fmt: skip
def test_a_card_with_heads_that_mean_nothing_is_refused(aes: Aes, tmp_path: Path, change: dict[str, object]) -> None:
    made = three_heads(tmp_path / "m")
    card = json.loads((made / "card.json").read_text())
    card["heads"] |= change
    (made / "card.json").write_text(json.dumps(card))
    photograph(1, (60, 60)).save(tmp_path / "a.png")
    done = aes("score", tmp_path / "a.png", "-m", made)
    assert done.code == 5
    assert "Traceback" not in done.err


def test_another_configuration_is_another_score_and_another_row(aes: Aes, tmp_path: Path) -> None:
    made = three_heads(tmp_path / "m")
    photograph(1, (60, 60)).save(tmp_path / "a.png")
    first = json.loads(aes("score", tmp_path / "a.png", "-m", made, "--format", "jsonl").out)
    config = json.loads((made / "config.json").read_text())
    config["llm_config"]["rope_theta"] = 500.0
    (made / "config.json").write_text(json.dumps(config))
    second = json.loads(aes("score", tmp_path / "a.png", "-m", made, "--format", "jsonl").out)
    assert first["raw"] != second["raw"]


def test_no_memory_for_full_precision_is_a_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, whole = scorer(folder, data_type="bf16"), Judge.read

    def overflowing(self: Judge, pictures: list[Pixels], questions: tuple[str, ...]) -> object:
        found = whole(self, pictures, questions)
        return replace(found, metavoter=torch.full_like(found.metavoter, float("nan")))  # type: ignore[arg-type]

    def scarce() -> Judge:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Judge, "read", overflowing)
    loaded._precise = scarce
    (found,) = loaded.rate(pictures()[:1])
    assert isinstance(found, PictureError)
    assert found.code is ErrorCode.GPU_OOM


def test_the_card_says_whom_it_judges(aes: Aes) -> None:
    assert "people only" in aes("models", "show", "humanaesexpert-1b").out


def test_model_folders_can_be_verified(aes: Aes, tmp_path: Path) -> None:
    made = three_heads(tmp_path / "m")
    assert aes("models", "verify", made).code == 0
    with (made / "model.safetensors").open("ab") as file:
        file.write(b"x")
    assert aes("models", "verify", made).code == 5


def test_a_tree_is_a_form_of_its_own(aes: Aes, tmp_path: Path, folder: Path) -> None:
    photograph(1, (60, 60)).save(tmp_path / "a.png")
    assert aes("score", tmp_path / "a.png", "-m", folder, "--tree", "--format", "jsonl").code == 2
    assert aes("score", tmp_path / "a.png", "-m", folder, "--tree", "-o", tmp_path / "t.csv").code == 2
