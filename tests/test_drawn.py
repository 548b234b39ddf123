import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aescli import drawn, metrics

_few = st.integers(0, 3).map(float)
_any = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def draws(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two columns of one length, of arbitrary numbers or with many ties, and how often five draws hold each item."""
    length = draw(st.integers(1, 40))
    column = arrays.arrays(np.float64, length, elements=draw(st.sampled_from([_few, _any])))
    times = arrays.arrays(np.int64, (5, length), elements=st.integers(0, 3))
    return draw(column), draw(column), draw(times)


@pytest.mark.parametrize(
    ("of_draws", "metric"), [(drawn.srcc_of_draws, metrics.srcc), (drawn.krcc_of_draws, metrics.krcc)]
)
@settings(deadline=None)
@given(draws())
def test_a_draw_is_correlated_as_if_its_items_were_written_out(
    of_draws: Callable[..., Callable[[np.ndarray], np.ndarray]],
    metric: Callable[..., float | None],
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    predicted, actual, counts = drawn
    for found, times in zip(of_draws(predicted, actual)(counts), counts, strict=True):
        expected = metric(np.repeat(predicted, times), np.repeat(actual, times))
        assert found == pytest.approx(math.nan if expected is None else expected, abs=1e-12, nan_ok=True)


def test_many_items_are_correlated_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(1)
    predicted, actual = chance.integers(0, 9, (2, 50)).astype(float)
    counts = chance.multinomial(50, np.full(50, 1 / 50), size=20)
    few = drawn.krcc_of_draws(predicted, actual)(counts)
    monkeypatch.setattr(drawn, "_MOST_PAIRED", 49)
    assert drawn.krcc_of_draws(predicted, actual)(counts).tolist() == few.tolist()
