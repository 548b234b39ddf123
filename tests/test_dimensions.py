import pytest
from hypothesis import given
from hypothesis import strategies as st

from aescli.dimensions import Scale

numbers = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("scale", "raw", "expected"),
    [
        (Scale(0, 1), 0.25, 2.5),
        (Scale(1, 5), 3, 5.0),
        (Scale(1, 10), 7.3, 7.3),
        (Scale(1, 10), 0.5, 0.5),
        (Scale(0, 100), 120, 10.0),
        (Scale(1, 7), 0, 0.0),
    ],
)
def test_native_numbers_map_to_ten_and_are_clipped(scale: Scale, raw: float, expected: float) -> None:
    assert scale.out_of_ten(raw) == pytest.approx(expected)


@given(low=numbers, width=st.floats(1e-3, 1e6), one=numbers, other=numbers)
def test_mapping_keeps_order(low: float, width: float, one: float, other: float) -> None:
    scale = Scale(low, low + width)
    assert (scale.out_of_ten(one) <= scale.out_of_ten(other)) or one > other
    assert 0 <= scale.out_of_ten(one) <= 10


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (float("nan"), 1), (0, float("inf"))])
def test_an_empty_range_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="range"):
        Scale(low, high)
