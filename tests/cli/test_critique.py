"""`aes critique` on tiny models of each family: random words, but real ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import jsonschema
import numpy as np
import pytest
import torch

from aescli.models import speaking
from aescli.models.base import CutShort, LoadOptions
from aescli.models.generating import answer
from aescli.models.speaking import load_speakers
from aescli.models.talking import Speaker, Turn
from aescli.templates import TEMPLATES, find_template, show_template
from tests.conftest import Aes, needs_posix, photograph
from tests.models.copies import Copies, two_devices
from tests.models.speakers import made

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "critique.schema.json").read_text())
KINDS = ("released", "llava", "internvl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "smolvlm")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speakers")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for at, size in enumerate([(90, 60), (60, 90), (64, 64)]):
        photograph(at, size).save(folder / f"{at}.png")
    return folder


def test_llava_fills_every_field_with_words_of_its_own(aes: Aes, models: Path, pictures: Path) -> None:
    words = (
        "critique", pictures, "-m", made(models, "released"), "--max-tokens", 12, "--format", "jsonl",
        "--dims", "composition,light",
    )  # fmt: skip
    done = aes(*words)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert len(rows) == 3
    for row in rows:
        jsonschema.validate(row, SCHEMA)
        assert row["status"] == "ok"
        assert row["summary"]
        assert set(row["dims"]) == {"composition", "light"}
        assert 0 <= row["overall"] <= 10
        assert row["read_out"] == "levels"
        assert all(isinstance(row[name], list) for name in ("strengths", "weaknesses", "suggestions"))
    assert "3 of them kept from before" in aes(*words).err
    assert [json.loads(line) for line in aes(*words, "--fresh").out.splitlines()] == rows


@pytest.mark.parametrize("kind", KINDS)
def test_every_family_answers_a_question(aes: Aes, models: Path, pictures: Path, kind: str) -> None:
    words = ("--ask", "What would improve the light?", "--max-tokens", 8, "--format", "jsonl", "--no-store")
    done = aes("critique", pictures, "-m", made(models, kind), *words)
    assert done.code in (0, 3), done.err  # random words may be none
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert len(rows) == 3
    for row in rows:
        jsonschema.validate(row, SCHEMA)
        assert row.get("answer") or row["error_code"] == "bad_answer"


@pytest.mark.parametrize("kind", ["released", "qwen3_vl"])
def test_an_answer_that_ran_out_of_tokens_is_no_whole_one(models: Path, kind: str) -> None:
    (speaker,) = load_speakers(made(models, kind), LoadOptions(device="cpu"))
    turn = Turn(np.asarray(photograph(0, (56, 56))), "What would improve the light?")
    (short,) = answer(speaker, [turn], most_tokens=3)
    assert isinstance(short, CutShort)
    ends_at_once: Any = replace(cast("Any", speaker), stops=tuple(range(100_000)))  # every word is one that ends
    assert [(each, isinstance(each, CutShort)) for each in answer(ends_at_once, [turn], most_tokens=3)] == [("", False)]
    if (shared := speaker.answer_all(turn.picture, [turn.question], 3)) is not None:
        assert [isinstance(each, CutShort) for each in shared] == [True]


def test_random_words_are_no_object_and_the_row_says_so(aes: Aes, models: Path, pictures: Path) -> None:
    done = aes("critique", pictures, "-m", made(models, "qwen3_vl"), "--max-tokens", 8, "--format", "jsonl")
    assert done.code == 3
    for line in done.out.splitlines():
        assert json.loads(line)["error_code"] == "bad_answer"


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_says_what_each_says_alone_and_a_stream_says_the_same(models: Path, kind: str) -> None:
    (speaker,) = load_speakers(made(models, kind), LoadOptions(device="cpu"))
    from aescli.images.picture import Decoding, open_picture
    from tests.conftest import encoded

    turns = [
        Turn(speaker.look(open_picture(encoded(photograph(at, size)), Decoding())), question)
        for at, (size, question) in enumerate([((90, 60), "Why?"), ((60, 90), "What would improve the light of it?")])
    ]
    together = answer(speaker, turns, most_tokens=10)
    told: list[str] = []
    alone = [answer(speaker, [turn], most_tokens=10, tell=told.append)[0] for turn in turns]
    assert together == alone
    assert "".join(told) == "".join(alone)
    assert torch.is_inference_mode_enabled() is False


@pytest.mark.parametrize("form", ["text", "md", "json"])
def test_the_forms_for_people_and_scripts(aes: Aes, models: Path, pictures: Path, form: str) -> None:
    done = aes("critique", pictures, "-m", made(models, "released"), "--max-tokens", 6, "--format", form)
    assert done.code == 0, done.err
    if form == "json":
        assert len(json.loads(done.out)) == 3
    else:
        assert "0.png" in done.out
        assert "of 10 (levels)" in done.out


def test_a_file_is_written_whole(aes: Aes, models: Path, pictures: Path, tmp_path: Path) -> None:
    target = tmp_path / "c.jsonl"
    words = ("-m", made(models, "released"), "--max-tokens", 6, "--format", "jsonl", "-o", target)
    assert aes("critique", pictures, *words).code == 0
    assert len(target.read_text().splitlines()) == 3


def test_a_model_that_is_not_here_says_what_it_takes(aes: Aes, pictures: Path) -> None:
    done = aes("critique", pictures)
    assert done.code == 5
    for said in ("14.1 GB", "Llama 2", "aescli[torch]", "qwen3-vl-4b", "aes models pull aesexpert-7b"):
        assert said in done.err


def test_templates_are_listed_shown_and_replaced(aes: Aes, models: Path, pictures: Path, tmp_path: Path) -> None:
    assert aes("critique", "--list-templates").out.split() == list(TEMPLATES)
    shown = aes("critique", "--show-template", "--template", "brief").out
    file = tmp_path / "mine.toml"
    file.write_text(shown)
    assert find_template(str(file)) == TEMPLATES["brief"]
    assert show_template(find_template(str(file))) == shown.strip()
    words = ("-m", made(models, "released"), "--max-tokens", 6, "--template", file)
    assert aes("critique", pictures / "0.png", *words).code == 0
    file.write_text('json = "x"')
    assert aes("critique", pictures / "0.png", *words).code == 2
    assert aes("critique", pictures / "0.png", "--template", "none").code == 2


@pytest.mark.parametrize("words", [(), ("nowhere.jpg",), ("--format", "xml"), ("--dims", "Light<b>")])
def test_words_that_are_off_end_with_2(aes: Aes, pictures: Path, words: tuple[str, ...]) -> None:
    named = [] if words in ((), ("nowhere.jpg",)) else [pictures]
    assert aes("critique", *named, *words).code == 2


def test_a_model_without_words_says_so(aes: Aes, pictures: Path) -> None:
    done = aes("critique", pictures, "-m", "mini")
    assert done.code == 2
    assert "mini has no words" in done.err


@needs_posix
def test_words_come_as_they_are_said_on_a_terminal_and_once(models: Path, pictures: Path, tmp_path: Path) -> None:
    import os
    import pty
    import subprocess
    import sys

    words = ["critique", str(pictures / "0.png"), "-m", str(made(models, "released")), "--max-tokens", "8"]
    shown = []
    for _ in range(2):  # said, then kept from before
        parent, child = pty.openpty()
        process = subprocess.Popen([sys.executable, "-m", "aescli", *words], stdout=child, stderr=subprocess.DEVNULL)
        os.close(child)
        text = b""
        try:
            while block := os.read(parent, 4096):
                text += block
        except OSError:  # the terminal is closed
            pass
        os.close(parent)
        assert process.wait() == 0
        shown.append(text.decode().replace("\r\n", "\n"))
    lines = [[line for line in text.splitlines() if line.strip()] for text in shown]
    first, again = (sorted(line.strip() for line in each) for each in lines)
    assert first == again
    assert any(line.endswith("of 10 (levels)") and line[0].isdigit() for line in lines[0])


def test_one_picture_that_a_model_refuses_costs_one_row(aes: Aes, models: Path, pictures: Path) -> None:
    photograph(9, (600, 2)).save(pictures / "strip.png")
    for words in (("critique", "--ask", "Why?", "--max-tokens", "6"), ("score",)):
        done = aes(*words, pictures, "-m", made(models, "qwen3_vl"), "--format", "jsonl", "--no-store")
        found = [json.loads(line) for line in done.out.splitlines()]
        assert done.code == 3
        assert [row.get("error_code") for row in found][-1] == "model_crash"
        assert sum(row["status"] == "ok" or row["error_code"] == "bad_answer" for row in found) == 3


def test_a_question_cannot_bring_a_picture_of_its_own(aes: Aes, models: Path, pictures: Path) -> None:
    for kind, mark in (("released", "<image>"), ("qwen3_vl", "<|image_pad|>")):
        asked = ("--ask", f"what is {mark} here", "--max-tokens", "6", "--format", "jsonl", "--no-store")
        done = aes("critique", pictures / "0.png", "-m", made(models, kind), *asked)
        assert done.code in (0, 3)
        assert len(done.out.splitlines()) == 1


@pytest.mark.parametrize("kind", ["released", "internvl"])
def test_two_devices_share_one_stream_of_pictures(
    aes: Aes, models: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for at in range(3, 7):
        photograph(at, (70, 60)).save(pictures / f"{at}.png")
    (pictures / "5.png").write_text("no picture")
    asked = ("--ask", "Why?", "--max-tokens", 4, "--format", "jsonl", "--no-store")
    alone = aes("critique", pictures, "-m", made(models, kind), *asked)
    copies, load = Copies(2), speaking.load_speakers

    def watched(folder: Path, options: LoadOptions) -> list[Speaker]:
        speakers = load(folder, options)
        for speaker in speakers:
            copies.watch(speaker.network)
        return speakers

    two_devices(monkeypatch, speaking)
    monkeypatch.setattr(speaking, "load_speakers", watched)
    shared = aes("critique", pictures, "-m", made(models, kind), *asked)
    assert shared.out == alone.out
    assert len(copies.calls) == 2
    assert min(copies.calls.values()) >= 3
