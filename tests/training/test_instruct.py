"""Recipe instruct end to end, on a tiny LLaVA-1.5 in its released layout, through the command line."""

import json
from pathlib import Path

import pytest
import torch

from tests.conftest import Aes
from tests.models.speakers import released_llava
from tests.training.tiny import one_thread, portrait  # noqa: F401 - a fixture

ANSWERS = ("The light is soft.", "The composition is poor.", "An excellent image with fair color.")
BY_HEART = (
    "--device", "cpu", "--epochs", 60, "--batch-size", 3, "--rate", 0.01, "--set", "lora.dropout=0", "--set",
    "loop.save_every=500", "--set", "splits.validation=0", "--set", "lora.rank=16",
)  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released_llava(tmp_path_factory.mktemp("llava") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aesmmit")
    (folder / "images").mkdir()
    records = []
    for at, answer in enumerate(ANSWERS):
        portrait(at).save(folder / "images" / f"{at}.png")
        records.append({
            "id": str(at), "image": f"{at}.png", "type": "composition",
            "conversations": [
                {"from": "human", "value": "<image>\nHow is the image?"}, {"from": "gpt", "value": answer},
                {"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Light."},
            ],
        })  # fmt: skip
    (folder / "AesMMIT.json").write_text(json.dumps(records))
    return folder


def train(aes: Aes, data: Path, base: Path, out: Path, *words: object) -> None:
    done = aes("train", "--data", f"aesmmit={data}", "--model", base, "--recipe", "instruct", "--out", out,
               *BY_HEART, *words)  # fmt: skip
    assert done.code == 0, done.err


def critique(aes: Aes, data: Path, model: Path) -> list[str]:
    done = aes("critique", data / "images", "-m", model, "--ask", "How is the image?", "--format", "jsonl",
               "--no-store", "--device", "cpu")  # fmt: skip
    assert done.code == 0, done.err
    return [json.loads(line)["answer"] for line in done.out.splitlines()]


@pytest.mark.parametrize("how", ["merged", "adapter", "full"])
def test_answers_are_learnt_by_heart(aes: Aes, data: Path, base: Path, tmp_path: Path, how: str) -> None:
    out = tmp_path / "out"
    train(aes, data, base, out, *{"merged": (), "adapter": ("--adapter",), "full": ("--full",)}[how])
    assert critique(aes, data, out) == list(ANSWERS)
    assert (out / "model.safetensors").exists() == (how != "adapter")
    card = json.loads((out / "card.json").read_text())
    assert card["training"]["choices"]["full"] == (how == "full")
    done = aes("score", data / "images", "-m", out, "--no-store", "--format", "jsonl", "--device", "cpu")
    assert done.code == 0, done.err


def test_only_answers_are_learnt_and_they_are_where_the_model_is_asked(data: Path, base: Path) -> None:
    from aescli.models.llava import load_speaker
    from aescli.models.talking import Turn
    from aescli.training.listener import encode_talk
    from aescli.training.samples import Talk
    from aescli.training.student import IGNORED

    speaker = load_speaker(base, torch.float32, "cpu")
    words = encode_talk(speaker, Talk("x", (("How is it?", "The light is soft."), ("Why?", "Light."))), 2048)
    learnt = [token for token, label in zip(words.tokens, words.labels, strict=True) if label != IGNORED]
    assert speaker.text(learnt).replace("</s>", "") == "The light is soft. Light."
    assert learnt.count(speaker.stops[0]) == 2
    import numpy as np

    asked = speaker.tokens(Turn(np.zeros((56, 56, 3), np.uint8), "How is it?"))
    assert list(words.tokens[: len(asked)]) == asked
    assert words.labels[len(asked) - 1] == IGNORED != words.labels[len(asked)]
    assert len(encode_talk(speaker, Talk("x", (("Why?", "Light."),)), 20).tokens) == 20


def test_full_and_adapter_exclude_each_other(aes: Aes, data: Path, base: Path, tmp_path: Path) -> None:
    done = aes("train", "--data", f"aesmmit={data}", "--model", base, "--recipe", "instruct", "--out", tmp_path / "o",
               "--full", "--adapter")  # fmt: skip
    assert done.code == 2
    assert "--full" in done.err


def test_a_base_of_another_family_is_refused(aes: Aes, data: Path, tmp_path: Path) -> None:
    done = aes("train", "--data", f"aesmmit={data}", "--model", "mini", "--recipe", "instruct", "--out", tmp_path / "o")
    assert done.code == 2
    assert "does not train mini" in done.err
