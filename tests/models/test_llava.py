import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from aescli.errors import WeightsUnavailable
from aescli.images.picture import Decoding, open_picture
from aescli.models import fitting, llava
from aescli.models.generating import answer
from aescli.models.talking import Turn
from tests.conformance import FOLDER, needs_conformance
from tests.conftest import Aes, encoded, photograph
from tests.models.speakers import released_llava


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released_llava(tmp_path_factory.mktemp("llava") / "tiny")


@needs_conformance
def test_outputs_are_those_of_the_original(aes: Aes) -> None:
    done = aes("models", "check", FOLDER / "llava15-tiny", "--json")
    assert done.code == 0, done.err
    differences = json.loads(done.out)
    quantities = ("pixel_values", "image_features", "last_hidden_state", "logits")
    assert set(differences) == {f"{case}.{quantity}" for case in ("wide", "tall", "square") for quantity in quantities}
    assert {differences[f"{case}.pixel_values"] for case in ("wide", "tall", "square")} == {0.0}
    assert max(differences.values()) < 1e-5


@pytest.mark.parametrize("size", [(90, 60), (60, 91), (33, 33), (500, 7)])
def test_a_picture_is_padded_to_a_square_before_it_is_resized(size: tuple[int, int]) -> None:
    picture = photograph(1, size)
    longest = max(size)
    canvas = Image.new("RGB", (longest, longest), fitting.PADDING)
    canvas.paste(picture, ((longest - size[0]) // 2, (longest - size[1]) // 2))
    found = llava.look(open_picture(encoded(picture), Decoding()), 56)
    assert np.array_equal(found, np.asarray(canvas.resize((56, 56), Image.Resampling.BICUBIC)))


def test_a_strip_does_not_become_a_square_of_gigabytes() -> None:
    strip = open_picture(encoded(Image.new("RGB", (60_000, 1), (90, 120, 150))), Decoding())
    assert llava.look(strip, 56).shape == (56, 56, 3)


def test_tokens_are_those_of_the_parts_each_for_itself(folder: Path) -> None:
    import sentencepiece

    speaker = llava.load_speaker(folder, torch.float32, "cpu")
    original = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    before, after = llava.TEMPLATE.format(question="How would you rate the aesthetics of this image?").split("<image>")
    expected = [1, *original.encode(before), *[speaker.llava.image_token] * 16, *original.encode(after)]
    found = speaker.tokens(Turn(np.zeros((56, 56, 3), np.uint8), "How would you rate the aesthetics of this image?"))
    assert found == expected
    assert after.startswith("\n")
    assert original.id_to_piece(expected[expected.index(speaker.llava.image_token) + 16]) == "\u2581"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("model.mm_projector.2.bias"), "missing: model.multi_modal_projector.linear_2.bias"),
        (lambda state: state.update({"model.image_newline": torch.ones(4)}), "unexpected: model.image_newline"),
    ],
)
def test_weights_that_do_not_match_are_refused_by_name(tmp_path: Path, folder: Path, change: object, said: str) -> None:
    made = Path(shutil.copytree(folder, tmp_path / "m"))
    state = load_file(made / "model.safetensors")
    change(state)  # type: ignore[operator]
    save_file(state, made / "model.safetensors")
    with pytest.raises(WeightsUnavailable, match=said):
        llava.load_network(made, torch.float32, "cpu")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mm_projector_type", "linear"),
        ("mm_vision_select_layer", -1),
        ("mm_use_im_start_end", True),
        ("mm_vision_tower", "x"),
    ],
)
def test_a_configuration_that_means_something_else_is_refused(
    tmp_path: Path, folder: Path, field: str, value: object
) -> None:
    made = Path(shutil.copytree(folder, tmp_path / "m"))
    config = {**json.loads((made / "config.json").read_text()), field: value}
    if field == "mm_vision_tower":
        del config["vision_config_for_this_fixture"]
    (made / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsUnavailable, match=r"says|tower"):
        llava.load_network(made, torch.float32, "cpu")


def test_there_is_room_for_the_image_token(folder: Path) -> None:
    loaded = llava.load_network(folder, torch.float32, "cpu")
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    assert loaded.image_token == rows
    assert loaded.network.model.language_model.embed_tokens.num_embeddings > rows
    assert not any(buffer.is_meta for buffer in loaded.network.buffers())


def test_questions_over_one_prefix_have_the_answers_that_each_has_alone(folder: Path) -> None:
    speaker = llava.load_speaker(folder, torch.float32, "cpu")
    picture = speaker.look(open_picture(encoded(photograph(3, (80, 60))), Decoding()))
    questions = [
        "Why?",
        "What would improve the light of this image?",
        "How about the aesthetic quality of this image?",
    ]
    together = speaker.answer_all(picture, questions, 14)
    alone = [answer(speaker, [Turn(picture, question)], most_tokens=14)[0] for question in questions]
    assert together == alone
    assert len(set(alone)) > 1


def test_positions_are_rotated_as_the_configuration_says(tmp_path: Path, folder: Path) -> None:
    def logits(**fields: object) -> torch.Tensor:
        made = Path(shutil.copytree(folder, tmp_path / "m", dirs_exist_ok=True))
        config = {**json.loads((folder / "config.json").read_text()), **fields}
        (made / "config.json").write_text(json.dumps(config))
        loaded = llava.load_network(made, torch.float32, "cpu")
        with torch.inference_mode():
            return loaded.network(input_ids=torch.arange(3, 20)[None]).logits[..., :100]  # type: ignore[no-any-return]

    plain = logits()
    assert not torch.allclose(plain, logits(rope_scaling={"type": "linear", "factor": 4.0}), atol=1e-4)
    assert torch.equal(logits(rope_theta=500.0), logits(rope_theta=None, rope_parameters={"rope_theta": 500.0}))
    assert not torch.allclose(plain, logits(rope_theta=500.0), atol=1e-4)
    with pytest.raises(WeightsUnavailable, match="rope_scaling"):
        logits(rope_scaling={"type": "yarn", "factor": 4.0})
    with pytest.raises(WeightsUnavailable, match="image_aspect_ratio"):
        logits(image_aspect_ratio=None)  # the original does not pad then


def test_a_tokenizer_without_its_end_is_refused(tmp_path: Path, folder: Path) -> None:
    made = Path(shutil.copytree(folder, tmp_path / "m"))
    whole = (folder / "tokenizer.model").read_bytes()
    for kept in (0, 1, 700, 2000, 3173, 5001, len(whole) - 1):
        (made / "tokenizer.model").write_bytes(whole[:kept])
        with pytest.raises(WeightsUnavailable, match="is cut short"):
            llava.load_speaker(made, torch.float32, "cpu")


def test_weights_that_were_made_whole_numbers_are_refused(tmp_path: Path, folder: Path) -> None:
    made = Path(shutil.copytree(folder, tmp_path / "m"))
    state = load_file(made / "model.safetensors")
    save_file({name: tensor.long() for name, tensor in state.items()}, made / "model.safetensors")
    with pytest.raises(WeightsUnavailable, match="holds whole numbers"):
        llava.load_network(made, torch.float32, "cpu")
