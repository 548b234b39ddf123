"""What damage takes from `overall`."""

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

ramps: Any = importlib.import_module("ramps")

NAMES = ("whole", *(damage for damage in ramps.COPIES for _ in range(3)))
numbers = st.floats(-5, 5)


@given(start=numbers, width=st.floats(0.1, 5), height=st.floats(0, 4), told=st.lists(numbers, min_size=2))
def test_a_ramp_takes_nothing_before_its_start_and_never_more_than_its_height(
    start: float, width: float, height: float, told: list[float]
) -> None:
    ramp = ramps.Ramps(np.array([start]), np.array([width]), np.array([height]), 0.0)
    taken = ramp(np.sort(told)[:, None], np.zeros(1))
    assert (np.diff(taken) >= 0).all()
    assert (taken[np.sort(told) <= start] == 0).all()
    assert taken.max() <= height
    beyond = np.array([start + width + 1.0])
    assert ramp(beyond, np.zeros(1)) == pytest.approx(height)
    assert ramp(beyond, np.ones(1)) == pytest.approx(0.0)  # what is taken of all photographs like it


def draw(photographs: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what taste and one layer say of photographs whose copies taste does not mind, and their ratings."""
    chance = np.random.default_rng(0)
    scores = chance.normal(size=photographs)
    judged = scores[:, None] + 0.1 * chance.normal(size=(photographs, len(NAMES)))
    told = 0.1 * chance.normal(size=(photographs, len(NAMES), 2))
    told[:, [at for at, name in enumerate(NAMES) if name == "tilt"], 0] += 1.5
    return judged, told, scores


def choose(judged: np.ndarray, told: np.ndarray, scores: np.ndarray, second: float = np.nan) -> Any:
    settings = np.array([0.5, 0.5]), np.array([1.0, 2.0]), np.array([np.nan, second])
    return ramps.choose_ramps(judged, told, np.zeros_like(told), scores, NAMES, settings)


def test_copies_that_are_told_come_below_and_ranks_stay() -> None:
    judged, told, scores = draw()
    chosen = choose(judged, told, scores)
    left = judged - chosen(told, np.zeros_like(told))
    tilted = [at for at, name in enumerate(NAMES) if name == "tilt"][1]
    assert (judged[:, 0] > judged[:, tilted]).mean() < 0.7
    assert (left[:, 0] > left[:, tilted]).mean() > 0.98
    assert np.corrcoef(left[:, 0], scores)[0, 1] > 0.98
    assert chosen.heights[0] > 0.1
    assert left[:, 0].mean() == pytest.approx(judged[:, 0].mean())  # ratings stay on the raters' scale


def test_what_tells_nothing_takes_nothing() -> None:
    judged, told, scores = draw()
    chosen = choose(judged, np.zeros_like(told), scores)
    assert np.ptp(chosen(np.zeros_like(told), np.zeros_like(told))) == 0
    assert (chosen.heights == 0).all()


def test_a_height_that_is_given_stays_and_the_others_are_chosen_beside_it() -> None:
    judged, told, scores = draw()
    chosen = choose(judged, told, scores, second=2.5)
    assert chosen.heights[1] == pytest.approx(2.5 * judged[:, 0].std())
    assert chosen.heights[0] == choose(judged, told, scores).heights[0]
