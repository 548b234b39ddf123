"""Every feature of words on `transformers serve` and on one tiny model of each of LLaVA, InternVL and Qwen-VL.

The models are taught one answer (`tests.models.speakers.taught`): weights, processors and decoding are real, and what
they say is known. A served model reads no levels beside its words: that would be another request.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aescli.critiquing import Request, critique_all
from aescli.images.find import Found
from aescli.models import generating, speaking
from aescli.models.base import LoadOptions
from aescli.models.files import hash_files
from aescli.models.loading import load_critic
from aescli.registry import find_card
from aescli.templates import TEMPLATES
from tests.conftest import Aes, Done, photograph
from tests.models.speakers import ADVICE, BLAME, CALM, DESCRIBED, NO_PRAISE, OBJECT, PRAISE, taught, transformers_model

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "critique.schema.json").read_text())
KINDS = ("llava", "internvl", "qwen3_vl")
SAID: dict[str, tuple[tuple[str, ...], str]] = {
    "object": (OBJECT, "good"),
    "described": ((CALM, PRAISE, BLAME, DESCRIBED), "good"),
    "blame": ((CALM, NO_PRAISE, BLAME, ADVICE), "excellent"),
    "malformed": ((CALM, PRAISE), "good"),
    "level": ((" good",), "good"),
}


@dataclass(frozen=True)
class Target:
    """A model of one kind, or the server on a LLaVA."""

    kind: str
    folder: Callable[[str], Path]
    address: str = ""

    def words(self, said: str) -> tuple[object, ...]:
        if self.address:
            return ("-m", f"endpoint:{self.folder(said)}", "--base-url", self.address)
        return ("-m", self.folder(said))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("taught")


@pytest.fixture(scope="module", params=[*KINDS, "served"])
def target(request: pytest.FixtureRequest, models: Path) -> Target:
    kind = "llava" if request.param == "served" else request.param

    def folder(said: str) -> Path:
        made = models / kind / said
        return made if made.exists() else taught(transformers_model(made, kind), *SAID[said])

    return Target(kind, folder, request.getfixturevalue("served") if request.param == "served" else "")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for at, size in enumerate([(90, 60), (60, 90), (64, 64)]):
        photograph(at, size).save(folder / f"{at}.png")
    return folder


def rows(done: Done, code: int = 0) -> list[dict[str, Any]]:
    assert done.code == code, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def critiques(done: Done, code: int = 0) -> list[dict[str, Any]]:
    found = rows(done, code)
    assert len(found) == 3
    for row in found:
        jsonschema.validate(row, SCHEMA)
    return found


def test_the_object(aes: Aes, target: Target, pictures: Path) -> None:
    for row in critiques(aes("critique", pictures, *target.words("object"), "--format", "jsonl")):
        assert row["summary"] == "Calm."
        assert (row["strengths"], row["weaknesses"], row["suggestions"]) == (["light"], ["tilt"], ["crop"])
        assert row["dims"] == {}
        assert row["flags"] == []
        if target.address:
            assert row["overall"] is row["read_out"] is None
        else:
            assert 6 < row["overall"] < 9
            assert row["read_out"] == "levels"


def test_dimensions(aes: Aes, target: Target, pictures: Path) -> None:
    words = (*target.words("described"), "--dims", "light", "--format", "jsonl")
    assert [row["dims"] for row in critiques(aes("critique", pictures, *words))] == [{"light": "Soft."}] * 3


def test_a_question_of_the_users_own(aes: Aes, target: Target, pictures: Path) -> None:
    words = (*target.words("level"), "--ask", "Is it good or bad?", "--format", "jsonl")
    assert [row["answer"] for row in critiques(aes("critique", pictures, *words))] == ["good"] * 3


def test_rows_are_kept_and_the_same_picture_has_the_same_words(aes: Aes, target: Target, pictures: Path) -> None:
    words = ("critique", pictures, *target.words("object"), "--format", "jsonl")
    first = aes(*words)
    again = aes(*words)
    assert "3 of them kept from before" in again.err
    fresh = aes(*words, "--fresh")
    assert "kept from before" not in fresh.err
    assert critiques(first) == critiques(again) == critiques(fresh)


def test_a_template_of_the_users_own(aes: Aes, target: Target, pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(aes("critique", "--show-template").out.replace("experienced photographer", "strict curator"))
    words = ("critique", pictures, *target.words("object"), "--format", "jsonl")
    critiques(aes(*words))
    mine = aes(*words, "--template", file)
    assert "kept from before" not in mine.err
    assert [row["summary"] for row in critiques(mine)] == ["Calm."] * 3


@pytest.mark.parametrize("form", ["text", "md", "json"])
def test_every_form(aes: Aes, target: Target, pictures: Path, form: str) -> None:
    done = aes("critique", pictures, *target.words("object"), "--format", form)
    assert done.code == 0, done.err
    if form == "json":
        found = json.loads(done.out)
        for row in found:
            jsonschema.validate(row, SCHEMA)
        assert [row["summary"] for row in found] == ["Calm."] * 3
    else:
        assert done.out.count("Calm.") == 3
        assert done.out.count("of 10 (levels)") == (0 if target.address else 3)


def test_what_is_no_object_is_asked_for_once_more_and_is_then_a_row_with_its_text(
    aes: Aes, target: Target, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    answer = generating.answer

    def counted(speaker: Any, turns: Sequence[Any], **more: Any) -> list[str]:
        asked.append(len(turns))
        return answer(speaker, turns, **more)

    monkeypatch.setattr(speaking, "answer", counted)
    for row in critiques(aes("critique", pictures, *target.words("malformed"), "--format", "jsonl"), 3):
        assert row["error_code"] == "bad_answer"
        assert '{"summary": "Calm.", "strengths": ["light"],' in row["error"]
    assert sum(asked) == (0 if target.address else 6)


def test_levels(aes: Aes, target: Target, pictures: Path) -> None:
    found = rows(aes("score", pictures, *target.words("level"), "--format", "jsonl"))
    if target.address:  # it gives no probabilities
        assert [(row["raw"], row["flags"]) for row in found] == [(0.75, ["no_logprobs"])] * 3
        return
    for row in found:
        assert list(row["levels"]) == ["excellent", "good", "fair", "poor", "bad"]
        assert max(row["levels"], key=row["levels"].get) == "good"
    assert len({row["raw"] for row in found}) == 3  # it sees the picture
    batched = rows(aes("score", pictures, *target.words("level"), "--format", "jsonl", "--batch-size", 3, "--fresh"))
    assert [row["raw"] for row in batched] == pytest.approx([row["raw"] for row in found], abs=2e-6)


def test_words_and_a_score_that_say_the_opposite(aes: Aes, target: Target, pictures: Path) -> None:
    for row in critiques(aes("critique", pictures, *target.words("blame"), "--format", "jsonl")):
        assert row["strengths"] == []
        assert row["flags"] == ([] if target.address else ["words_disagree"])
        assert row["overall"] is None if target.address else row["overall"] > 7


def local(target: Target) -> Target:
    if target.address:
        pytest.skip("a server is asked for the object, and its batches are requests side by side")
    return target


def test_one_question_for_each_field(aes: Aes, target: Target, pictures: Path, tmp_path: Path) -> None:
    """A model whose card says that it writes no JSON is never asked to."""
    source, folder = local(target).folder("level"), tmp_path / "m"
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).symlink_to(file)
    card = {
        "family": "chat", "title": "t", "native_range": [0, 1], "revision": hash_files([source / "model.safetensors"]),
        "read_out": "levels", "dimensions": [], "writes_json": False, "levels": {},
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card))
    words = ("-m", folder, "--dims", "light,color", "--format", "jsonl")
    for row in critiques(aes("critique", pictures, *words)):
        assert row["summary"] == "good"
        assert [row[name] for name in ("strengths", "weaknesses", "suggestions")] == [["good"]] * 3
        assert row["dims"] == {"light": "good", "color": "good"}
        assert row["read_out"] == "levels"


def test_a_batch_of_pictures_has_the_words_of_each_alone(target: Target, pictures: Path) -> None:
    card = find_card(str(local(target).folder("object")))
    critic = load_critic(card, LoadOptions(device="cpu"))
    inputs = [Found(str(file)) for file in sorted(pictures.iterdir())]
    alone = list(critique_all(inputs, critic, Request(TEMPLATES["default"])))
    critic.batch_size = 3
    together = list(critique_all(inputs, critic, Request(TEMPLATES["default"])))
    for one, other in zip(alone, together, strict=True):
        assert (getattr(one, "summary", ""), getattr(other, "summary", "")) == ("Calm.", "Calm.")
        assert getattr(other, "overall", 0) == pytest.approx(getattr(one, "overall", 1), abs=2e-5)
