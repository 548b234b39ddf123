import json
from pathlib import Path

import pytest

from aescli.cards import CARDS
from aescli.errors import UsageError, WeightsUnavailable
from aescli.registry import BUILT_IN, all_cards, choose_dimensions, find_card, read_card


def test_names_are_unique_and_the_built_in_model_is_first() -> None:
    names = [card.id for card in all_cards()]
    assert names[0] == "mini"
    assert len(names) == len(set(names))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_every_pinned_revision_is_a_commit(card: object) -> None:
    for source in getattr(card, "sources", ()):
        assert source.revision is None or (len(source.revision) == 40 and int(source.revision, 16))


@pytest.mark.parametrize(("word", "meant"), [("mimi", "mini"), ("laion", "laion-v2"), ("q-realign", "q-realign-")])
def test_an_unknown_model_names_the_nearest(word: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_card(word)
    assert meant in caught.value.hint


def test_the_grammar_of_names() -> None:
    assert find_card("hf:owner/name@main").sources[0].revision == "main"
    assert find_card("hf:owner/name").sources[0].repo == "owner/name"
    assert find_card("endpoint:gpt-4o").family == "endpoint"
    with pytest.raises(UsageError):
        find_card("hf:nameless")


def test_a_bare_word_is_never_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taste").mkdir()
    with pytest.raises(UsageError) as caught:
        find_card("taste")
    assert "./taste" in caught.value.hint
    with pytest.raises(WeightsUnavailable, match=r"no card\.json"):
        find_card("./taste")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"native_range": [1, 1]}', "\x00"])
def test_a_broken_card_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "card.json").write_text(content)
    with pytest.raises(WeightsUnavailable):
        read_card(tmp_path, "x")


def test_a_card_in_a_folder_is_read(tmp_path: Path) -> None:
    fields = json.loads((find_card("mini").folder or Path()).joinpath("card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps({**fields, "native_range": [0, 5]}))
    card = read_card(tmp_path, "./taste")
    assert (card.id, card.scale.high) == ("./taste", 5)


def test_dimensions_come_in_the_order_of_the_card() -> None:
    mini = find_card("mini")
    assert choose_dimensions(mini, "all") == mini.dimension_names()
    assert choose_dimensions(mini, "overall") == ()
    assert choose_dimensions(mini, "noise, sharpness") == ("sharpness", "noise")
    with pytest.raises(UsageError) as caught:
        choose_dimensions(mini, "sharpnes")
    assert "sharpness" in caught.value.hint


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "red\x1b[31m", "a\u202eb", ""])
def test_a_dimension_whose_name_no_terminal_should_see_is_refused(tmp_path: Path, name: str) -> None:
    fields = json.loads((BUILT_IN / "card.json").read_text())
    fields["dimensions"][0]["name"] = name
    (tmp_path / "card.json").write_text(json.dumps(fields))
    with pytest.raises(WeightsUnavailable, match="cannot be the name of a dimension") as caught:
        read_card(tmp_path, "it")
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)
