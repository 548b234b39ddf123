from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aescli.errors import UsageError
from aescli.filtering.conditions import All, Arithmetic, Column, Comparison, Number, Text, columns_of, parse
from aescli.filtering.truth import judge
from aescli.names import is_unsafe
from aescli.score_files import PlainBatch

ROWS: tuple[dict[str, Any], ...] = (
    {"overall": 7.0, "sharpness": 3.0, "model": "mini", "flags": ["truncated"], "path": "a/x.jpg"},
    {"overall": "5.5", "sharpness": 8.0, "model": "mini", "flags": "", "path": "b/y.jpg"},
    {"overall": 9.0, "sharpness": None, "model": "other", "flags": "first_frame truncated_not", "path": "b/it's.jpg"},
    {"overall": 2.0, "sharpness": 0.0, "model": "", "flags": None, "path": "c/z.jpg"},
)
TABLE = PlainBatch(list(ROWS[0]), ROWS)


def kept(condition: str) -> list[int]:
    return np.flatnonzero(judge(parse(condition), TABLE).true).tolist()


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("overall > 6", [0, 2]),
        ("overall >= 5.5 and sharpness < 5", [0]),
        ("overall < 3 or overall > 8", [2, 3]),
        ("not overall > 6", [1, 3]),
        ("not (overall > 6 or overall < 3)", [1]),
        ("overall between 5 and 7", [0, 1]),
        ("overall not between 5 and 7", [2, 3]),
        ("5 < overall", [0, 1, 2]),
        ("overall = 9 or overall == 2 or overall <> 2 and overall != 9", [0, 1, 2, 3]),
        ("0.5 * overall + 0.5 * sharpness > 5.2", [1]),
        ("(overall + sharpness) / 2 > 5.2", [1]),
        ("(overall) > (6)", [0, 2]),
        ("((overall > 6))", [0, 2]),
        ("-overall < -6", [0, 2]),
        ("overall / sharpness > 1", [0]),  # by zero, and by what is not there, is unknown
        ("overall > 1e1", []),
        ("overall > .5 AND NOT model = 'mini'", [2]),
        ("model = 'mini'", [0, 1]),
        ("model != 'mini'", [2]),
        ("model in ('mini', 'other')", [0, 1, 2]),
        ("model not in ('mini')", [2]),
        ("overall in (7, 2)", [0, 3]),
        ("'truncated' in flags", [0]),
        ("not 'truncated' in flags", [1, 2, 3]),
        ("'truncated' not in flags", [1, 2, 3]),
        ("'b/' in path", [1, 2]),
        ("path = 'b/it''s.jpg'", [2]),
        ('"overall" > 6', [0, 2]),
        ("overall > sharpness", [0, 3]),
    ],
)
def test_what_passes(condition: str, rows: list[int]) -> None:
    assert kept(condition) == rows


def test_what_is_not_said_passes_neither_way() -> None:
    truth = judge(parse("sharpness > 4"), TABLE)
    assert truth.unknown.tolist() == [False, False, True, False]
    assert 2 not in kept("sharpness > 4") + kept("not sharpness > 4") + kept("not (sharpness > 4 and overall > 1)")
    assert 2 in kept("sharpness > 4 or overall > 8")
    assert 2 in kept("not (sharpness > 4 and overall < 8)")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("", "the end"),
        ("overall", "a comparison"),
        ("overall >", "the end"),
        ("overall > 6 sharpness", "'sharpness'"),
        ("overall > > 6", "'> 6'"),
        ("(overall > 6", "')'"),
        ("overall > 6)", "')'"),
        ("overall + 1", "a comparison"),
        ("(overall > 6) + 1 > 2", "no value"),
        ("overall > 6 > 7", "'> 7'"),
        ("overall not 6", "in or between"),
        ("overall in flags", "'in' wants"),
        ("'a' in 'b'", "'in' wants"),
        ("overall between 1 or 2", "'and'"),
        ("overall > 'six", "cannot be understood"),
        ("__import__('os').system('x')", "cannot be understood"),
        ("overall > 6; drop table", "cannot be understood"),
        ("overall > 6 \x1b[2J", "\\x1b"),
        ("(" * 60 + "overall > 6" + ")" * 60, "50 brackets"),
        ("not " * 60 + "overall > 6", "50 brackets"),
        ("overall > 6 and " * 1000 + "overall > 6", "10,000 characters"),
    ],
)
def test_what_is_no_condition_is_refused_and_shown(condition: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(condition)
    assert words in error.value.message
    assert "\x1b" not in error.value.message


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("model > 3", "holds no numbers but 'mini'"),
        ("model > 'a'", "= or !="),
        ("overall + 1 = 'seven'", "text is compared with a number"),
        ("overall + 'a' > 3", "used as a number"),
    ],
)
def test_numbers_and_text_are_not_mixed(condition: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        judge(parse(condition), TABLE)
    assert words in error.value.message


def test_the_tree_and_its_columns() -> None:
    found = parse("overall*2 > 6 and \"my taste\" = 'yes'")
    assert found == All((
        Comparison(">", Arithmetic("*", Column("overall"), Number(2.0)), Number(6.0)),
        Comparison("=", Column("my taste"), Text("yes")),
    ))  # fmt: skip
    assert columns_of(found) == {"overall", "my taste"}


@given(st.text())
def test_any_text_is_a_condition_or_a_usage_error(text: str) -> None:
    try:
        parse(text)
    except UsageError as error:
        assert not is_unsafe(error.message)


NUMBERS = st.floats(-100, 100).map(lambda value: round(value, 3))


@given(st.lists(st.tuples(NUMBERS | st.none(), NUMBERS), min_size=1, max_size=8), NUMBERS, NUMBERS)
def test_not_and_or_obey_the_laws_of_three_values(
    cells: list[tuple[float | None, float]], one: float, other: float
) -> None:
    table = PlainBatch(["a", "b"], [{"a": a, "b": b} for a, b in cells])
    left, right = f"a > {one:.3f}", f"b <= {other:.3f}"

    def true(condition: str) -> list[bool]:
        found: list[bool] = judge(parse(condition), table).true.tolist()
        return found

    assert true(f"not ({left} and {right})") == true(f"not {left} or not {right}")
    assert true(f"not ({left} or {right})") == true(f"not {left} and not {right}")
    assert true(f"not not {left}") == true(left)
    assert true(left) == [a is not None and a > one for a, _ in cells]
    assert true(f"{left} and {right}") == [a is not None and a > one and b <= other for a, b in cells]


@pytest.mark.parametrize("sign", ["+", "*"])
def test_a_sum_has_an_end(sign: str) -> None:
    assert parse(sign.join(["1"] * 200) + " > 6")
    with pytest.raises(UsageError, match="more than 200 terms"):
        parse(sign.join(["1"] * 1000) + " > 6")
