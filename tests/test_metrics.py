import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from aescli import metrics

Pair = tuple[np.ndarray, np.ndarray]
_finite = st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda value: value == 0 or abs(value) > 1e-6)
_CHANCE = np.random.default_rng(1)


@st.composite
def pairs(draw: st.DrawFn, least: int = 2) -> Pair:
    """Two columns of one length: arbitrary numbers, or few different ones and so many ties."""
    length = draw(st.integers(least, 60))
    elements = draw(st.sampled_from([_finite, st.integers(0, 3).map(float)]))
    column = arrays.arrays(np.float64, length, elements=elements)
    return draw(column), draw(column)


def _varies(pair: Pair) -> bool:
    # Where the spread is lost in rounding, no two ways of summing agree to 1e-12.
    return all(np.ptp(column) > 1e-3 * np.abs(column).max() for column in pair)


@settings(deadline=None)
@given(pairs())
def test_correlations_equal_scipys(pair: Pair) -> None:
    assume(_varies(pair))
    assert metrics.srcc(*pair) == pytest.approx(stats.spearmanr(*pair).statistic, abs=1e-12)
    assert metrics.plcc(*pair) == pytest.approx(stats.pearsonr(*pair).statistic, abs=1e-12)
    assert metrics.krcc(*pair) == pytest.approx(stats.kendalltau(*pair).statistic, abs=1e-12)


@pytest.mark.parametrize("length", [2, 3, 100, 20_000])
@pytest.mark.parametrize("steps", [2, 5, 10**9])
def test_correlations_equal_scipys_on_long_columns_with_ties(length: int, steps: int) -> None:
    chance = np.random.default_rng(length + steps)
    first = chance.integers(0, steps, length).astype(float)
    second = chance.integers(0, steps, length) + 0.3 * first
    first[0], first[1], second[0], second[1] = 0, 1, 1, 0
    assert metrics.srcc(first, second) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)
    assert metrics.plcc(first, second) == pytest.approx(stats.pearsonr(first, second).statistic, abs=1e-12)
    assert metrics.krcc(first, second) == pytest.approx(stats.kendalltau(first, second).statistic, abs=1e-12)


@settings(deadline=None)
@given(pairs())
def test_ranks_equal_scipys(pair: Pair) -> None:
    assert metrics.rank(pair[0]).tolist() == stats.rankdata(pair[0]).tolist()


@settings(deadline=None)
@given(pairs())
def test_rank_correlations_do_not_change_under_a_rising_map(pair: Pair) -> None:
    first, second = pair
    mapped = np.searchsorted(np.unique(first), first).astype(float) ** 3
    assert metrics.srcc(mapped, second) == metrics.srcc(first, second)
    assert metrics.krcc(mapped, second) == metrics.krcc(first, second)


@settings(deadline=None)
@given(pairs())
def test_an_inverted_model_is_negative_and_order_does_not_matter(pair: Pair) -> None:
    first, second = pair
    for metric in (metrics.srcc, metrics.plcc, metrics.krcc):
        straight = metric(first, second)
        assume(straight is not None)
        assert straight is not None
        assert metric(-first, second) == pytest.approx(-straight, abs=1e-12)
        assert metric(second, first) == pytest.approx(straight, abs=1e-12)
        assert metric(first[::-1], second[::-1]) == pytest.approx(straight, abs=1e-9)


@pytest.mark.parametrize("metric", [metrics.srcc, metrics.plcc, metrics.krcc, metrics.plcc_logistic])
@pytest.mark.parametrize(("predicted", "actual"), [([], []), ([1], [2]), ([3, 3, 3], [1, 2, 3]), ([1, 2], [0.1, 0.1])])
def test_an_undefined_correlation_is_none(metric: object, predicted: list[float], actual: list[float]) -> None:
    assert callable(metric)
    assert metric(predicted, actual) is None


@pytest.mark.parametrize(
    "metric", [metrics.srcc, metrics.plcc, metrics.krcc, metrics.rmse, metrics.mae, metrics.mse, metrics.plcc_logistic]
)
@pytest.mark.parametrize(
    ("predicted", "actual"), [([1, math.nan], [1, 2]), ([1, 2], [math.inf, 1]), ([1, 2, 3], [1, 2])]
)
def test_what_is_no_pair_of_columns_is_an_error(metric: object, predicted: list[float], actual: list[float]) -> None:
    assert callable(metric)
    with pytest.raises(ValueError, match=r"finite|each label"):
        metric(predicted, actual)


@settings(deadline=None)
@given(pairs(least=1))
def test_errors_are_what_their_names_say(pair: Pair) -> None:
    first, second = pair
    errors = [float(one - two) for one, two in zip(first, second, strict=True)]
    assert metrics.mse(first, second) == pytest.approx(math.fsum(e * e for e in errors) / len(errors))
    assert metrics.rmse(first, second) == pytest.approx(math.sqrt(math.fsum(e * e for e in errors) / len(errors)))
    assert metrics.mae(first, second) == pytest.approx(math.fsum(map(abs, errors)) / len(errors))


def test_errors_of_nothing_are_none() -> None:
    assert metrics.rmse([], []) is None
    assert metrics.mae([], []) is None
    assert metrics.mse([], []) is None
    assert metrics.level_accuracy([], [], low=0, high=1) is None


@pytest.mark.parametrize("parameters", [4, 5])
@pytest.mark.parametrize("direction", [1, -1])
def test_the_logistic_straightens_a_logistic_and_keeps_its_direction(parameters: int, direction: int) -> None:
    chance = np.random.default_rng(1)
    actual = np.sort(chance.uniform(1, 9, 200))
    predicted = direction * (5 + 0.7 * np.log((actual - 0.5) / (9.5 - actual)))
    plain, mapped = metrics.plcc(predicted, actual), metrics.plcc_logistic(predicted, actual, parameters)
    assert plain is not None
    assert mapped is not None
    assert mapped * direction > abs(plain)
    assert mapped * direction == pytest.approx(1, abs=1e-5)


def test_the_logistic_needs_more_items_than_parameters() -> None:
    assert metrics.plcc_logistic([1, 2, 3, 4], [1, 2, 3, 5]) is None
    assert metrics.plcc_logistic([1, 2, 3, 4, 5, 6], [1, 2, 3, 5, 6, 7]) == pytest.approx(1, abs=0.02)
    with pytest.raises(ValueError, match="4 or 5"):
        metrics.fit_logistic([1, 2], [1, 2], parameters=3)


def test_levels_are_equal_parts_with_both_ends_inside() -> None:
    assert metrics.level([0, 0.19, 0.2, 0.59, 0.999, 1, 7, -7], 0, 1).tolist() == [0, 0, 1, 2, 4, 4, 4, 0]
    assert metrics.level_accuracy([0.1, 0.3, 0.9], [0.0, 0.3, 0.5], low=0, high=1) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="cannot be cut"):
        metrics.level([1], 1, 1)


def test_macro_means_count_every_class_once() -> None:
    # Class 0: precision 2/3, recall 1; class 1: 1 and 1/2; class 2 never said: 0, 0.
    precision, recall, f1 = metrics.macro([0, 0, 0, 1], [0, 0, 2, 1])
    assert precision == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert recall == pytest.approx((1 + 1 + 0) / 3)
    assert f1 == pytest.approx((0.8 + 1 + 0) / 3)
    with pytest.raises(ValueError, match="no items"):
        metrics.macro([], [])


def test_comparisons_with_no_picture_in_common_are_as_sure_as_coins() -> None:
    values = (_CHANCE.random(300) < 0.7).astype(float)
    coins = values.std() / np.sqrt(300)
    assert metrics.find_error(values, np.arange(600).reshape(300, 2)) == pytest.approx(coins, rel=0.01)
    again = np.repeat(np.arange(600).reshape(300, 2), 20, 0)  # each judged twenty times, always alike
    assert metrics.find_error(np.repeat(values, 20), again) == pytest.approx(coins, rel=0.01)
    assert metrics.find_error(np.repeat(values, 20), again[:, ::-1]) == pytest.approx(coins, rel=0.01)


def test_comparisons_inside_of_groups_are_as_sure_as_groups() -> None:
    by_group = _CHANCE.normal(size=60)
    ends = np.repeat(np.arange(60), 6)
    found = metrics.find_error(np.repeat(by_group, 6), np.stack([ends, ends], 1))
    assert found == pytest.approx(by_group.std() / np.sqrt(59))


def test_comparisons_that_share_pictures_are_less_sure() -> None:
    """Of all pairs of thirty pictures: what a picture adds to its comparisons counts, not how many there are."""
    errors, means = [], []
    one, other = np.triu_indices(30, 1)
    for _ in range(300):
        worth = _CHANCE.normal(size=30)
        values = worth[one] + worth[other] + _CHANCE.normal(size=len(one))
        errors.append(metrics.find_error(values, np.stack([one, other], 1)))
        means.append(values.mean())
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.12)


def _groups_of(*sizes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return comparisons inside of groups, twice as many as their pictures, in each of which chance leans one way."""
    ends = np.repeat(np.arange(len(sizes)), 2 * np.array(sizes))
    leaning = np.clip(0.5 + 0.25 * _CHANCE.normal(size=len(sizes)), 0, 1)
    return (_CHANCE.random(len(ends)) < leaning[ends]).astype(float), np.stack([ends, ends], 1)


def _hubs(hubs: int, others: int) -> tuple[np.ndarray, np.ndarray]:
    """Return whether two orders that know nothing of each other agree on each of a few pictures and each other one."""
    ours, theirs = _CHANCE.normal(size=(2, hubs + others))
    one, other = np.repeat(np.arange(hubs), others), np.tile(np.arange(hubs, hubs + others), hubs)
    return ((ours[one] > ours[other]) == (theirs[one] > theirs[other])).astype(float), np.stack([one, other], 1)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: _groups_of(*[8] * 12),
        lambda: _groups_of(40, 20, 12, 8, *[3] * 12),
        lambda: _groups_of(60, *[4] * 15),
        lambda: _hubs(2, 40),
        lambda: _hubs(5, 40),
    ],
    ids=["equal", "unequal", "one large", "two hubs", "five hubs"],
)
def test_few_groups_with_most_comparisons_are_few(draw: Callable[[], tuple[np.ndarray, np.ndarray]]) -> None:
    held = 0
    for _ in range(400):
        values, ends = draw()
        half = metrics.find_half_width(values, ends)
        assert half is not None
        held += abs(values.mean() - 0.5) <= half
    assert 0.91 <= held / 400 <= 0.995


def test_what_hangs_on_one_group_is_not_known() -> None:
    star = np.stack([np.zeros(40, int), np.arange(1, 41)], 1)
    assert metrics.find_half_width((np.arange(40) % 2).astype(float), star) is None
    assert metrics.find_half_width(np.ones(40), star) is None
    assert metrics.count_units(star) < 2


def test_comparisons_weigh_like_as_many_that_have_nothing_in_common() -> None:
    assert metrics.count_units(np.arange(40).reshape(20, 2)) == 20
    assert metrics.count_units(np.repeat(np.arange(12), 6)[:, None].repeat(2, 1)) == 12
    one, other = np.triu_indices(30, 1)
    assert metrics.count_units(np.stack([one, other], 1)) == 15  # all pairs of thirty
