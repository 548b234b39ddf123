"""What damage takes from `overall`."""

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

ramps: Any = importlib.import_module("ramps")

numbers = st.floats(-5, 5)


@given(start=numbers, width=st.floats(0.1, 5), height=st.floats(0, 4), told=st.lists(numbers, min_size=2))
def test_a_ramp_takes_nothing_before_its_start_and_never_more_than_its_height(
    start: float, width: float, height: float, told: list[float]
) -> None:
    ramp = ramps.Ramps(np.array([start]), np.array([width]), np.array([height]))
    taken = ramp(np.sort(told)[:, None], np.zeros(1))
    assert (np.diff(taken) >= 0).all()
    assert (taken[np.sort(told) <= start] == 0).all()
    assert taken.max() <= height
    beyond = np.array([start + width + 1.0])
    assert ramp(beyond, np.zeros(1)) == pytest.approx(height)
    assert ramp(beyond, np.ones(1)) == pytest.approx(0.0)  # what is taken of all photographs like it
