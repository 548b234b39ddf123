"""Level read-outs of every family that speaks, on tiny models in their own layouts."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from aescli.errors import UsageError, WeightsUnavailable
from aescli.images.opening import Opener
from aescli.images.picture import Decoding
from aescli.models import chat, speaking
from aescli.models.base import LoadOptions
from aescli.models.level_choices import LevelChoices
from aescli.models.levels import find_word_tokens
from aescli.models.speaking import load_speakers
from aescli.models.talking import Speaker, Turn
from aescli.registry import find_card
from tests.conftest import Aes, photograph
from tests.models.copies import Copies, two_devices
from tests.models.speakers import made

KINDS = ("released", "llava", "internvl", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "smolvlm")
WEIGHTS = {"excellent": 1.0, "good": 0.75, "fair": 0.5, "poor": 0.25, "bad": 0.0}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speakers")


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, models: Path) -> Path:
    return made(models, request.param)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for at, size in enumerate([(90, 60), (60, 90), (200, 50), (64, 64)]):
        photograph(at, size).save(folder / f"{at}.png")
    return folder


def rows(aes: Aes, *words: object) -> list[dict[str, object]]:
    done = aes("score", *words, "--format", "jsonl")
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_score_is_the_weighted_mean_of_the_levels(aes: Aes, folder: Path, pictures: Path) -> None:
    found = rows(aes, pictures, "-m", folder)
    assert len({row["raw"] for row in found}) == 4  # it sees the picture
    for row in found:
        levels = row["levels"]
        assert isinstance(levels, dict)
        assert list(levels) == list(WEIGHTS)
        assert sum(levels.values()) == pytest.approx(1, abs=1e-5)
        assert row["raw"] == pytest.approx(sum(WEIGHTS[name] * value for name, value in levels.items()))
        assert row["overall"] == pytest.approx(10 * float(str(row["raw"])))
        assert row["read_out"] == "levels"
    kept = rows(aes, pictures, "-m", folder)
    assert kept == found


def test_a_batch_says_what_each_says_alone(aes: Aes, folder: Path, pictures: Path) -> None:
    alone = rows(aes, pictures, "-m", folder, "--no-store", "--batch-size", 1)
    together = rows(aes, pictures, "-m", folder, "--no-store", "--batch-size", 4)
    for one, other in zip(alone, together, strict=True):
        assert other["raw"] == pytest.approx(one["raw"], abs=2e-6)


def test_decoding_in_another_process_changes_nothing(aes: Aes, models: Path, pictures: Path) -> None:
    for kind in ("released", "llava"):
        here, there = (
            rows(aes, pictures, "-m", made(models, kind), "--no-store", "--isolate", on) for on in ("off", "on")
        )
        assert [row["raw"] for row in here] == [row["raw"] for row in there]


def test_levels_that_begin_alike_are_refused(folder: Path) -> None:
    (speaker,) = load_speakers(folder, LoadOptions(device="cpu"))
    with pytest.raises(WeightsUnavailable, match="does not tell the levels apart"):
        find_word_tokens(speaker, LevelChoices(words=("good", "good too"), weights=(1.0, 0.0)), "it")


def test_a_tensor_that_is_missing_is_never_a_random_one(aes: Aes, models: Path, pictures: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made(models, "qwen3_vl"), tmp_path / "m"))
    state = load_file(copy / "model.safetensors")
    name = next(name for name in state if "mlp" in name)
    del state[name]
    save_file(state, copy / "model.safetensors", {"format": "pt"})
    done = aes("score", pictures, "-m", copy)
    assert done.code == 5
    assert "missing" in done.err


def test_numbers_that_are_not_finite_are_refused(models: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made(models, "llava"), tmp_path / "m"))
    state = load_file(copy / "model.safetensors")
    next(iter(state.values())).view(-1)[0] = float("nan")
    save_file(state, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsUnavailable, match="not finite"):
        chat.load_speaker(copy, torch.float32, "cpu")


@pytest.mark.parametrize("field", ["auto_map", "trust_remote_code"])
def test_a_folder_with_code_of_its_own_is_refused(models: Path, tmp_path: Path, field: str) -> None:
    copy = Path(shutil.copytree(made(models, "llava"), tmp_path / "m"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, field: {"AutoModel": "evil.Model"}}))
    (copy / "evil.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(UsageError, match="code of its own"):
        chat.load_speaker(copy, torch.float32, "cpu")


def test_a_folder_without_a_chat_template_is_refused(models: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made(models, "llava"), tmp_path / "m"))
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(WeightsUnavailable, match="chat template"):
        chat.load_speaker(copy, torch.float32, "cpu")


@pytest.mark.parametrize("kind", ["internvl", "qwen3_5", "smolvlm"])
def test_a_processor_that_no_file_names_is_the_one_of_the_model_type(models: Path, tmp_path: Path, kind: str) -> None:
    copy = Path(shutil.copytree(made(models, kind), tmp_path / "m"))
    fields = json.loads((copy / "processor_config.json").read_text())
    (copy / "processor_config.json").write_text(json.dumps({**fields, "processor_class": None}))
    named, found = (chat.load_processor(folder) for folder in (made(models, kind), copy))
    assert type(found).__name__ == type(named).__name__
    assert set(found.get_attributes()) == {"image_processor", "tokenizer"}


@pytest.mark.parametrize("kind", ["released", "qwen3_5"])
def test_two_devices_share_one_stream_of_pictures(
    aes: Aes, models: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    words = (pictures, "-m", made(models, kind), "--no-store", "--batch-size", 1)
    alone = rows(aes, *words)
    copies, load = Copies(2), speaking.load_speakers

    def watched(folder: Path, options: LoadOptions) -> list[Speaker]:
        speakers = load(folder, options)
        for speaker in speakers:
            copies.watch(speaker.network)
        return speakers

    two_devices(monkeypatch, speaking)
    monkeypatch.setattr(speaking, "load_speakers", watched)
    shared = rows(aes, *words, "--workers", 3)
    assert [row["raw"] for row in shared] == pytest.approx([row["raw"] for row in alone], abs=2e-6)
    assert sum(copies.calls.values()) == len(alone)
    assert len(copies.calls) == 2
    assert min(copies.calls.values()) >= 1


def test_words_are_as_likely_as_the_model_finds_them_where_its_answer_begins(folder: Path, pictures: Path) -> None:
    critic = speaking.load_critic(find_card(str(folder)), folder, LoadOptions(device="cpu"))
    shown = []
    for file in sorted(pictures.iterdir()):
        with Opener(Decoding(exact=True)) as opener, opener.open(file.read_bytes(), str(file)) as view:
            shown.append(critic.prepare(view))
    words = ("excellent", "poor")
    together = critic.read_words([(picture, "Is it good?") for picture in shown], words)
    assert together is not None
    (speaker,) = load_speakers(folder, LoadOptions(device="cpu"))
    for picture, row in zip(shown, together, strict=True):
        assert isinstance(row, dict)
        asked = Turn(picture, "Is it good?")
        logits = speaker.network(**speaker.inputs([asked])).logits[0, -1].detach().float().softmax(-1)
        begun = len(speaker.tokens(asked))
        for word in words:
            token = speaker.tokens(Turn(picture, "Is it good?", word))[begun]
            assert row[word] == pytest.approx(float(logits[token]), abs=1e-5)
    assert len({row["poor"] for row in together if isinstance(row, dict)}) == 4  # it sees the picture
    assert critic.read_words([(shown[0], "Is it good?")], ("good", "good too")) is None  # they begin alike


def test_weights_that_would_load_and_be_others_are_refused(models: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made(models, "llava"), tmp_path / "m"))
    state = load_file(copy / "model.safetensors")
    save_file({name: tensor.long() for name, tensor in state.items()}, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsUnavailable, match="holds whole numbers"):
        chat.load_speaker(copy, torch.float32, "cpu")
    name = next(name for name in state if name.endswith("mlp.up_proj.weight"))
    save_file({**state, name: state[name][:5].contiguous()}, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsUnavailable, match="mismatched"):
        chat.load_speaker(copy, torch.float32, "cpu")
    save_file(state, copy / "model.safetensors", {"format": "pt"})
    chat.load_speaker(copy, torch.float32, "cpu")


def test_a_folder_with_two_sets_of_weights_is_refused(aes: Aes, models: Path, pictures: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made(models, "llava"), tmp_path / "m"))
    shutil.copy(copy / "model.safetensors", copy / "model-00001-of-00001.safetensors")
    names = dict.fromkeys(load_file(copy / "model.safetensors"), "model-00001-of-00001.safetensors")
    (copy / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    done = aes("score", pictures, "-m", copy)
    assert (done.code, "has two sets of weights" in done.err) == (5, True)
    (copy / "model.safetensors").unlink()
    assert aes("score", pictures, "-m", copy).code == 0
    (copy / "adapter_model.safetensors").write_bytes(b"")
    done = aes("score", pictures, "-m", copy)
    assert (done.code, "holds an adapter" in done.err) == (5, True)


@pytest.mark.parametrize("levels", [[], None, {"question": 5}, {"words": "good"}, {"weights": ["1", "0"]}])
def test_levels_of_a_card_that_are_none_are_refused(models: Path, tmp_path: Path, levels: object) -> None:
    copy = Path(shutil.copytree(made(models, "llava"), tmp_path / "m"))
    (copy / "card.json").write_text(json.dumps({"levels": levels}))
    with pytest.raises(WeightsUnavailable, match="does not state its levels"):
        speaking.read_choices(copy)


def test_files_that_no_card_describes_are_opened_and_that_is_said(aes: Aes, models: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made(models, "llava"), tmp_path / "m"))
    done = aes("models", "verify", copy)
    assert done.code == 0, done.err
    assert "they were opened, no more" in done.err
    whole = (copy / "model.safetensors").read_bytes()
    for content in (b"", whole[:-100]):
        (copy / "model.safetensors").write_bytes(content)
        done = aes("models", "verify", copy)
        assert (done.code, "model.safetensors cannot be read" in done.err) == (5, True)
