import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aescli.benchmarking.parsing import parse, read_options
from tests.benchmarking.lines import BALANCE

GRADES = {"A": "High", "B": "Medium", "C": "Low"}


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("A", "A"),
        ("c", "C"),
        ("(B)", "B"),
        ("B.", "B"),
        ("**B**", "B"),
        ("B) Medium", "B"),
        ("B. Because A is too much", "B"),
        ("Answer: C", "C"),
        ("The correct answer is B.", "B"),
        ("I would say that option C fits.", "C"),
        ("Medium", "B"),
        ("It is of medium quality.", "B"),
        ("A high quality", "A"),  # an article, and an option's text
        ("A) High, not B", "A"),
    ],
)
def test_a_reply_names_its_option(reply: str, letter: str) -> None:
    assert parse(reply, GRADES) == letter


@pytest.mark.parametrize(
    "reply",
    [
        None, "", "  \n", "I cannot help with that.", "A or B", "A, B", "A and C", "A) High B) Medium C) Low",
        "High or Low", "D", "not B", "It is not high.", "A beautiful picture", "highly recommended", "Mediumsized",
    ],
)  # fmt: skip
def test_a_reply_that_names_none_or_several_is_invalid(reply: str | None) -> None:
    assert parse(reply, GRADES) is None


def test_an_option_within_another_is_not_said_with_it() -> None:
    assert parse("Unbalanced", BALANCE) == "B"
    assert parse("balanced", BALANCE) == "A"
    assert parse("very good", {"A": "good", "B": "very good"}) == "B"
    assert parse("good", {"A": "good", "B": "very good"}) == "A"
    assert parse("It isn't balanced.", BALANCE) is None


@settings(deadline=None)
@given(
    st.sampled_from("ABCD"), st.sampled_from(["{}", "{}.", "({})", "{})", "Answer: {}", "The answer is {}.", " {}\n"])
)
def test_a_letter_is_read_however_it_is_dressed(letter: str, dress: str) -> None:
    options = {"A": "red", "B": "green", "C": "blue", "D": "yellow"}
    assert parse(dress.format(letter), options) == letter


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_one_of_the_options_or_none(text: str) -> None:
    assert parse(text, GRADES) in {None, *GRADES}


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[a-z]{2,8}( [a-z]{2,8})?", fullmatch=True), min_size=2, max_size=6, unique=True),
       st.sampled_from(["{}) ", "{}. ", "({}) "]), st.sampled_from([" ", "\n"]))  # fmt: skip
def test_options_are_read_back_from_one_string(texts: list[str], mark: str, between: str) -> None:
    string = between.join(mark.format(letter) + text for letter, text in zip("ABCDEF", texts, strict=False))
    assert list(read_options(string).values()) == texts


@pytest.mark.parametrize("text", ["", "High, Medium, Low", "B) second C) third", "A) alone"])
def test_what_lists_no_options_has_none(text: str) -> None:
    assert read_options(text) == {}
