import pytest

from aescli.registry import find_card
from aescli.training.leaks import is_trained_on


@pytest.mark.parametrize(
    ("model", "data"),
    [("mini", "oasis"), ("mini", "OASIS"), ("mini", "ImageNet"), ("mini", "imagenet-1k"), ("laion-v2", "ava"),
     ("laion-v2", "AVA-2012"), ("humanaesexpert-1b", "humanbeauty"), ("humanaesexpert-1b", "mebeauty")],
)  # fmt: skip
def test_what_a_card_names(model: str, data: str) -> None:
    assert is_trained_on(find_card(model), data)


@pytest.mark.parametrize(
    ("model", "data"),
    [("mini", data) for data in ("the", "with", "flowers", "photographs", "scenes", "network", "669", "ate", "-", "")]
    + [("laion-v2", "java"), ("laion-v2", "av"), ("humanaesexpert-1b", "beauty")],
)
def test_words_of_a_cards_sentences_are_no_names(model: str, data: str) -> None:
    assert not is_trained_on(find_card(model), data)
