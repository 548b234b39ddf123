"""Critiques through a scripted critic at its seam; real models are in tests/cli/test_critique.py."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aescli.critiquing import DISAGREES, Request, critique_all, disagrees, fingerprint, read_object
from aescli.errors import ErrorCode, PictureError
from aescli.images.find import Found
from aescli.images.picture import Decoding
from aescli.images.view import View
from aescli.registry import find_card
from aescli.results import Critique, Failure, Rating
from aescli.store import Store
from aescli.templates import TEMPLATES
from tests.conftest import photograph

GOOD = {"summary": "Calm.", "strengths": ["light"], "weaknesses": ["tilt", "noise"], "suggestions": []}


class Scripted:
    """Says what it is told to."""

    def __init__(self, *said: str, model: str = "qwen3-vl-4b", rating: float | None = None) -> None:
        self.card = find_card(model)
        self.backend = "scripted"
        self.batch_size = 4
        self.lanes = 1
        self.fingerprint: dict[str, Any] = {}
        self.asked: list[str] = []
        self._said = list(said)
        self._rating = rating

    def prepare(self, picture: View) -> object:
        return picture.whole(64)

    def answer(
        self, asked: Sequence[tuple[Any, str]], most_tokens: int, tell: Callable[[str], None] | None = None
    ) -> list[str]:
        self.asked += [question for _, question in asked]
        return [self._said.pop(0) for _ in asked]

    def close(self) -> None:
        pass

    def answer_all(self, picture: Any, questions: Sequence[str], most_tokens: int) -> list[str]:
        return self.answer([(picture, question) for question in questions], most_tokens)

    def forget(self, asked: Sequence[tuple[Any, str]], most_tokens: int) -> None:
        pass

    def count_tokens(self, picture: Any, question: str, reply: str, most_tokens: int) -> tuple[int, int] | None:
        return None

    def read_words(self, asked: Sequence[tuple[Any, str]], words: Sequence[str]) -> None:
        return None

    def read_levels(self, prepared: Sequence[Any]) -> Sequence[Rating | PictureError] | None:
        return None if self._rating is None else [Rating(self._rating) for _ in prepared]


@pytest.fixture
def picture(tmp_path: Path) -> Found:
    photograph(1, (60, 40)).save(tmp_path / "a.png")
    return Found(str(tmp_path / "a.png"))


def one(critic: Scripted, picture: Found, **more: Any) -> Critique | Failure:
    (row,) = critique_all([picture], critic, Request(TEMPLATES["default"], **more))
    return row


def test_an_object_becomes_a_critique(picture: Found) -> None:
    row = one(Scripted(json.dumps(GOOD), rating=0.5), picture)
    assert isinstance(row, Critique)
    assert (row.summary, row.strengths, row.weaknesses) == ("Calm.", ("light",), ("tilt", "noise"))
    assert (row.overall, row.read_out, row.flags) == (5.0, "levels", ())


def test_a_malformed_answer_is_repaired_once_and_then_a_failure_that_keeps_it(picture: Found) -> None:
    critic = Scripted("Sure! Here it is:", json.dumps(GOOD))
    assert isinstance(one(critic, picture), Critique)
    assert len(critic.asked) == 2
    assert TEMPLATES["default"].repair in critic.asked[1]
    row = one(Scripted("no", "still no \x1b[31m<b>json</b>"), picture)
    assert isinstance(row, Failure)
    assert row.code is ErrorCode.BAD_ANSWER
    assert "still no" in row.message
    assert "\x1b" not in row.message


def test_a_model_that_writes_no_json_is_asked_one_question_for_each_field(picture: Found) -> None:
    critic = Scripted(". A quiet scene.", "Light. Lines", "- tilt\n- noise", "Crop it", "Fine", model="aesexpert-7b")
    row = one(critic, picture, dims=("color",))
    assert isinstance(row, Critique)
    assert row.summary == "A quiet scene."
    assert (row.strengths, row.weaknesses) == (("Light", "Lines"), ("tilt", "noise"))
    assert row.dims == {"color": "Fine"}
    assert critic.asked[-1] == "Analyze the color of this image."
    assert not any("JSON" in question for question in critic.asked)


def test_an_empty_answer_is_a_failure(picture: Found) -> None:
    row = one(Scripted(" . ", "a", "b", "c", model="aesexpert-7b"), picture)
    assert isinstance(row, Failure)
    assert row.code is ErrorCode.BAD_ANSWER
    asked = one(Scripted("\u200b"), picture, ask="Why?")
    assert isinstance(asked, Failure)


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", '{"summary": 3}', json.dumps({**GOOD, "summary": " "}), json.dumps({**GOOD, "more": 1}),
        json.dumps({**GOOD, "strengths": "light"}), json.dumps({**GOOD, "strengths": [1]}), json.dumps(GOOD) + " done",
        "[" * 100_000, json.dumps({**GOOD, "dims": {}}),
    ],
)  # fmt: skip
def test_what_is_no_such_object_is_refused(text: str) -> None:
    assert isinstance(read_object(text, ()), PictureError)


@given(st.text())
def test_no_answer_raises(text: str) -> None:
    found = read_object(text, ("color",))
    assert isinstance(found, PictureError | dict)


def test_words_inside_the_object_are_made_safe_and_cannot_change_it() -> None:
    hostile = '\x1b[2J<script>x</script> "}], "overall": 10, [a](http://b)'
    found = read_object(f"```json\n{json.dumps({**GOOD, 'summary': hostile, 'strengths': [hostile]})}\n```", ())
    assert isinstance(found, dict)
    assert set(found) == set(GOOD)
    for text in (found["summary"], found["strengths"][0]):
        assert "\x1b" not in text
        assert "<script" not in text
        assert "http:" not in text


@pytest.mark.parametrize(
    ("overall", "strengths", "weaknesses", "expected"),
    [
        (8.0, (), ("x",), True),
        (8.0, ("y",), ("x",), False),
        (2.0, ("y",), (), True),
        (5.0, ("y",), (), False),
        (None, (), ("x",), False),
    ],
)
def test_words_and_score_that_say_the_opposite_are_flagged(
    overall: float | None, strengths: tuple[str, ...], weaknesses: tuple[str, ...], *, expected: bool
) -> None:
    found = Critique("a", "m", "r", "b", "s", strengths, weaknesses, overall=overall)
    assert disagrees(found) is expected


def test_the_flag_is_in_the_row(picture: Found) -> None:
    row = one(Scripted(json.dumps({**GOOD, "strengths": []}), rating=0.9), picture)
    assert row.flags == (DISAGREES,)


def test_what_was_said_once_is_not_asked_again(picture: Found, tmp_path: Path) -> None:
    request = Request(TEMPLATES["default"])
    first, second = Scripted(json.dumps(GOOD), rating=0.5), Scripted()
    for critic in (first, second):
        with Store(tmp_path / "s.db", fingerprint(critic, request, Decoding())) as store:
            (row,) = critique_all([picture], critic, request, store)
        assert isinstance(row, Critique)
        assert row.strengths == ("light",)
    assert second.asked == []
    other = Request(TEMPLATES["brief"])
    asked = Scripted(json.dumps(GOOD))
    with Store(tmp_path / "s.db", fingerprint(asked, other, Decoding())) as store:
        list(critique_all([picture], asked, other, store))
    assert len(asked.asked) == 1


def test_a_picture_that_is_none_is_a_row_beside_the_others(picture: Found, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_text("no picture")
    rows = list(
        critique_all(
            [Found(str(tmp_path / "b.png")), picture], Scripted(json.dumps(GOOD)), Request(TEMPLATES["default"])
        )
    )
    assert isinstance(rows[0], Failure)
    assert rows[0].code is ErrorCode.NOT_AN_IMAGE
    assert isinstance(rows[1], Critique)
