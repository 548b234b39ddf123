from hypothesis import given
from hypothesis import strategies as st

from aescli.errors import ErrorCode
from aescli.results import Failure, Row, Score
from aescli.selecting import Choice, select


def row(path: str, overall: float | None) -> Row:
    if overall is None:
        return Failure(path, ErrorCode.CORRUPT, "broken", "mini")
    return Score(path, overall, overall, "mini", "r", "onnx-cpu", "regression")


ROWS = [row("c", 5.0), row("a", 7.0), row("x", None), row("b", 6.0)]


def paths(choice: Choice, rows: list[Row] = ROWS) -> str:
    return "".join(each.path for each in select(rows, choice))


def test_the_order_of_the_input_is_kept() -> None:
    assert paths(Choice()) == "caxb"


def test_sorting_by_score_puts_the_best_first_and_failures_last() -> None:
    assert paths(Choice(sort="score")) == "abcx"
    assert paths(Choice(sort="path")) == "abcx"


def test_top_keeps_failures_as_rows() -> None:
    assert paths(Choice(top=2)) == "abx"
    assert paths(Choice(top=1, sort="path")) == "ax"


def test_a_minimum_drops_scores_and_never_failures() -> None:
    assert paths(Choice(minimum=6.0)) == "axb"


scores = st.one_of(st.none(), st.floats(0, 10))


@given(st.lists(scores, max_size=30), st.integers(1, 10))
def test_top_is_the_head_of_the_sorted_scores(overalls: list[float | None], count: int) -> None:
    rows = [row(str(at), overall) for at, overall in enumerate(overalls)]
    best = [each.overall for each in select(rows, Choice(top=count)) if isinstance(each, Score)]
    assert best == sorted((each for each in overalls if each is not None), reverse=True)[:count]


def test_rows_stream_when_nothing_needs_all_of_them() -> None:
    def endless() -> "object":
        while True:
            yield ROWS[0]

    first = next(iter(select(endless(), Choice(minimum=1.0))))  # type: ignore[arg-type]
    assert first == ROWS[0]
