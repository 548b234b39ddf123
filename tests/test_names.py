import os
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aescli import names


def unescape(shown: str) -> str:
    """Read an escaped name back, as a script would."""
    return re.sub(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(\\))", _character, shown)


def _character(match: re.Match[str]) -> str:
    number = match[1] or match[2] or match[3]
    return chr(int(number, 16)) if number else "\\"


@given(st.binary(max_size=30))
def test_every_name_is_shown_on_one_printable_line_and_can_be_read_back(name: bytes) -> None:
    path = os.fsdecode(name)
    shown = names.escape(path)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(each) in {"Cc", "Cf", "Cs"} for each in shown)
    shown.encode()
    assert os.fsencode(unescape(shown) if names.is_unsafe(path) else shown) == name


@pytest.mark.parametrize("path", ["a b.jpg", "[/b].png", "naïve.jpg", "日本.jpg", "a\\b.jpg", "🌅.jpg", 'a,b".jpg'])
def test_ordinary_names_stand_as_they_are(path: str) -> None:
    assert names.escape(path) == path
    assert not names.is_unsafe(path)


def test_control_format_surrogate_and_bidi_characters_are_escaped_and_backslashes_doubled() -> None:
    assert names.escape("a\x1b[31m\\b\n") == "a\\x1b[31m\\\\b\\x0a"
    assert names.escape("\u202egpj.exe") == "\\u202egpj.exe"
    assert names.escape(os.fsdecode(b"\xff.jpg")) == "\\udcff.jpg"
    assert names.escape("a\u2028b") == "a\\u2028b"
    assert names.escape("a\U000e0001") == "a\\U000e0001"


@given(st.text(max_size=20))
def test_no_cell_starts_a_formula(text: str) -> None:
    for cell in (names.escape_cell(text), names.escape_sentence(text)):
        assert not re.match(r"[=+@\t\r-]", cell)


def test_exact_bytes_are_kept_only_for_names_that_are_not_utf8() -> None:
    assert names.exact_bytes("ä.jpg") is None
    assert names.exact_bytes(os.fsdecode(b"\xff")) == "/w=="
