import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from aescli import metrics
from aescli.benchmarking import statistics
from aescli.benchmarking.scores import Judged, LabelScale, measure
from aescli.benchmarking.statistics import bootstrap, bootstrap_mean, holm, paired, wilson


def _coverage(name: str, trials: int) -> float:
    """Share of samples of 50 whose interval holds the truth; the truth of a normal pair is known."""
    rho, n, hits = 0.5, 50, 0
    truth = {
        "plcc": rho,
        "srcc": 6 / math.pi * math.asin(rho / 2),
        "mae": math.sqrt(4 * (1 - rho) / math.pi),
        "rmse": math.sqrt(2 * (1 - rho)),
    }[name]
    chance = np.random.default_rng(7)
    for _ in range(trials):
        x = chance.normal(size=n)
        y = rho * x + math.sqrt(1 - rho * rho) * chance.normal(size=n)
        judged = Judged((), x, x, y, LabelScale(0, 1), 0)
        _, interval = measure(judged, name)
        assert interval is not None
        hits += interval.low <= truth <= interval.high
    return hits / trials


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plcc", "srcc", "mae", "rmse"])
def test_intervals_hold_the_truth_as_often_as_they_say(name: str) -> None:
    assert 0.93 <= _coverage(name, 400) <= 0.97


def test_the_same_items_give_the_same_interval_and_groups_a_wider_one() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=20), 10)
    mean = bootstrap(lambda at: values[at].mean(-1), 200)
    again = bootstrap(lambda at: values[at].mean(-1), 200)
    grouped = bootstrap(lambda at: values[at].mean(-1), 200, groups=[at // 10 for at in range(200)])
    assert mean is not None
    assert mean == again
    assert grouped is not None
    assert grouped.error > 2.5 * mean.error  # the root of ten, but for chance


def test_a_mean_of_skewed_losses_reaches_further_up_than_its_percentiles() -> None:
    losses = np.random.default_rng(0).normal(size=40) ** 2
    found, percentiles = bootstrap_mean(losses), bootstrap(lambda at: losses[at].mean(-1), 40)
    assert found is not None
    assert percentiles is not None
    assert found.high > percentiles.high
    assert found.low > percentiles.low
    assert found.error == pytest.approx(percentiles.error, rel=0.05)
    assert bootstrap_mean(losses) == found
    grouped = bootstrap_mean(np.repeat(losses, 9), groups=[str(at // 9) for at in range(360)])
    assert grouped is not None
    assert (grouped.low, grouped.high) == pytest.approx((found.low, found.high))  # copies of an item say nothing new


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=12))
def test_the_interval_of_a_mean_lies_within_the_values(values: list[float]) -> None:
    found = bootstrap_mean(np.array(values), resamples=200)
    assert found is not None
    assert min(values) <= found.low <= found.high <= max(values)
    assert math.isfinite(found.error)


def test_fewer_than_two_losses_or_groups_have_no_interval() -> None:
    assert bootstrap_mean(np.ones(1)) is None
    assert bootstrap_mean(np.arange(6.0), groups=["one"] * 6) is None
    alike = bootstrap_mean(np.full(6, 2.0))
    assert alike is not None
    assert (alike.low, alike.high, alike.error) == (2, 2, 0)


def test_what_is_mostly_undefined_has_no_interval() -> None:
    assert bootstrap(lambda at: np.full(len(at), np.nan), 10) is None
    assert paired(lambda at: np.full(len(at), np.nan), lambda at: np.ones(len(at)), 10) is None


def test_two_models_on_the_same_items_are_told_apart_where_their_intervals_overlap() -> None:
    chance = np.random.default_rng(3)
    hard = chance.normal(size=300)  # what makes an item hard for both
    one, two = hard + 0.1 * chance.normal(size=300), hard - 0.1 + 0.1 * chance.normal(size=300)
    intervals = [bootstrap(lambda at, v=v: v[at].mean(-1), 300) for v in (one, two)]  # type: ignore[misc]
    assert intervals[0] is not None
    assert intervals[1] is not None
    assert intervals[0].low < intervals[1].high
    difference = paired(lambda at: one[at].mean(-1), lambda at: two[at].mean(-1), 300)
    assert difference is not None
    assert difference.interval.low > 0
    assert difference.p < 0.05


@settings(deadline=None)
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipys(counts: tuple[int, int]) -> None:
    successes, n = counts
    theirs = stats.binomtest(successes, n).proportion_ci(method="wilson")
    ours = wilson(successes, n)
    assert ours.low == pytest.approx(theirs.low, abs=1e-12)
    assert ours.high == pytest.approx(theirs.high, abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_and_keeps_order(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(before <= after <= 1 for before, after in zip(p_values, corrected, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [corrected[at] for at in order] == sorted(corrected)


def test_holm_of_a_known_case() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@settings(deadline=None)
@given(st.integers(3, 5000))
def test_students_t_is_close_to_scipys(n: int) -> None:
    wide = stats.t.ppf(0.975, n) * np.sqrt((n + 1) / n)
    assert -stats.norm.ppf(metrics.expanded_tail(n + 1)) == pytest.approx(wide, rel=1e-2)


def test_the_power_note_of_a_hundred_pictures() -> None:
    low, high = statistics.correlation_interval(0.72, 100)
    assert (high - low) / 2 == pytest.approx(0.10, abs=0.02)  # a published table of 100 pictures is one cluster
    difference = statistics.detectable_correlation_difference(0.7, 1000)
    assert statistics.items_needed(difference) == pytest.approx(1000, rel=0.05)
    with pytest.raises(ValueError, match="lies between"):
        statistics.items_needed(0.5)
    with pytest.raises(ValueError, match="no items"):
        wilson(0, 0)
    with pytest.raises(ValueError, match="fewer than 4"):
        statistics.correlation_error(0.5, 3)


def test_power_of_accuracies_is_what_a_simulation_finds() -> None:
    n, accuracy, trials = 400, 0.6, 400
    difference = statistics.detectable_accuracy_difference(accuracy, n)
    chance = np.random.default_rng(0)
    found = 0
    for _ in range(trials):
        one, two = chance.random(n) < accuracy + difference / 2, chance.random(n) < accuracy - difference / 2
        gap = one.astype(float) - two
        found += abs(gap.mean()) > 1.96 * gap.std(ddof=1) / math.sqrt(n)
    assert found / trials == pytest.approx(0.8, abs=0.06)
