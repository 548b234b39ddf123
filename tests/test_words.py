import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aescli.words import clean

HOSTILE = st.text(st.characters() | st.sampled_from("\x1b[]()<>!/:hjavscriptmlto\u202e\u200b\ud800\x07\r\n\t`*#"))


@given(HOSTILE)
def test_nothing_is_left_that_anything_would_act_on(text: str) -> None:
    found = clean(text)
    assert all(letter == "\n" or unicodedata.category(letter)[0] != "C" for letter in found)
    assert "](" not in found
    for opening in ("<a", "<s", "</", "<!", "<?"):
        assert opening not in found
    assert not any(f"{scheme}:" in found.lower().split() for scheme in ("http", "javascript"))
    assert clean(found) == found


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("The light is soft, 3 < 4.", "The light is soft, 3 < 4."),
        ("\x1b[31mred\x1b[0m and \x1b]0;title\x07plain", "red and plain"),
        ("<script>alert(1)</script>", "\u2039script>alert(1)\u2039/script>"),
        ("[click](https://evil.example)", "click (https\u2236//evil.example)"),
        ("![x](javascript:alert)", "x (javascript\u2236alert)"),
        ("back\u202ewards\u200b", "backwards"),
        ("  two\r\nlines\t ", "two\nlines"),
        ("[[a](x)](//evil.example)", "[a (x)] (//evil.example)"),
        ("one\u2028two", "one\ntwo"),
        ("", ""),
    ],
)
def test_words_stay_and_tricks_go(said: str, kept: str) -> None:
    assert clean(said) == kept
