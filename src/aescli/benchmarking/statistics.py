"""How sure a number is: intervals by bootstrap, paired differences, and what a set of this size can show.

Everything is seeded: the same lines give the same intervals.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aescli.metrics import FEWEST, Z_95, expanded_tail, find_half_width

Indices = NDArray[np.intp]  # places of items, (resamples, items)
Statistic = Callable[[Indices], NDArray[np.float64]]  # a number for each row, NaN where it is not defined

RESAMPLES, SEED = 2_000, 0
_BLOCK = 200_000  # places at once: a few megabytes
_Z_POWER = 0.8416212335729143  # of a power of 80%


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95% interval and the standard error."""

    low: float
    high: float
    error: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of two models on the same items; `p` is two-sided, .05 where the interval ends at 0."""

    value: float
    interval: Interval
    p: float


def bootstrap(
    statistic: Statistic,
    n: int,
    *,
    groups: Sequence[object] | None = None,
    resamples: int = RESAMPLES,
    of_ranks: bool = False,
) -> Interval | None:
    """Return an interval by resampling items (Efron 1979), None where the statistic is not defined or groups are few.

    Percentiles; those of a statistic of values are set a little wider, as Student's t is wider than the normal
    distribution. Drawing an item twice makes ties, by which those of ranks are wide enough (benchmarks/coverage.py).

    Args:
        statistic: of the items at these places, row by row.
        n: items.
        groups: whose items stand and fall together, such as one photographer's; None for every item by itself.
        resamples: how many.
        of_ranks: the statistic is one of ranks.

    """
    if are_few(groups):
        return None
    found = np.concatenate([statistic(places) for places in resample(n, groups, resamples)])
    found = found[np.isfinite(found)]
    if len(found) < resamples / 2:
        return None
    return _interval(found, math.inf if of_ranks and groups is None else _units(n, groups))


def bootstrap_mean(
    values: NDArray[np.float64], *, groups: Sequence[object] | None = None, resamples: int = RESAMPLES
) -> Interval | None:
    """Return an interval of a mean of n values, such as losses; None for fewer than two items or for few groups.

    The bootstrap-t interval (Efron and Tibshirani 1993, section 12.5), by which each resample's mean is measured in
    standard errors of its own: squared errors are skewed, and percentiles hold the truth too rarely. It is cut at the
    smallest and largest value, since one large value among few makes it endless.

    Args:
        values: one for each item.
        groups: whose items stand and fall together; None for every item by itself.
        resamples: how many.

    """
    items = range(len(values)) if groups is None else groups
    order = {name: at for at, name in enumerate(dict.fromkeys(items))}
    names = np.array([order[name] for name in items])
    sums, counts = (np.asarray(np.bincount(names, each), np.float64) for each in (values, np.ones(len(values))))
    if len(sums) < 2 or are_few(groups):
        return None
    found = [_means(sums[places], counts[places]) for places in resample(len(sums), resamples=resamples)]
    means, errors = (np.concatenate(each) for each in zip(*found, strict=True))
    ((mean,), (error,)) = _means(sums[None], counts[None])
    steps = (means - mean)[errors > 0] / errors[errors > 0]
    below, above = np.quantile(steps, (0.975, 0.025)) if len(steps) else (0.0, 0.0)
    low, high = np.clip((mean - below * error, mean - above * error), values.min(), values.max())
    return Interval(float(low), float(high), float(means.std(ddof=1)))


def paired(
    first: Statistic, second: Statistic, n: int, *, groups: Sequence[object] | None = None, resamples: int = RESAMPLES
) -> Difference | None:
    """Return the difference of two statistics on the same items and resamples; None where there is no interval."""
    if are_few(groups):
        return None
    everything = np.arange(n)[None]
    value = float((first(everything) - second(everything))[0])
    found = np.concatenate([first(places) - second(places) for places in resample(n, groups, resamples)])
    found = found[np.isfinite(found)]
    if not math.isfinite(value) or len(found) < resamples / 2:
        return None
    beyond = min(float(np.mean(found <= 0)), float(np.mean(found >= 0)))
    return Difference(value, _interval(found, _units(n, groups)), min(1.0, max(2 * beyond, 2 / len(found))))


def paired_mean(values: NDArray[np.float64], ends: NDArray[Any]) -> Difference | None:
    """Return the mean difference of two models on comparisons of two pictures; None of three pictures or fewer.

    Args:
        values: by how much the first model is more with people than the second, -1 to 1 for each comparison.
        ends: its two pictures, (comparisons, 2); what has one in common goes together (metrics.find_half_width).

    """
    half = find_half_width(values, ends)
    if half is None:
        return None
    mean = float(values.mean())
    p = math.erfc(abs(mean) / half * Z_95 / math.sqrt(2))  # .05 where the interval ends at 0
    return Difference(mean, Interval(max(-1.0, mean - half), min(1.0, mean + half), half / Z_95), p)


def are_few(groups: Sequence[object] | None) -> bool:
    """Tell whether items stand and fall together in so few groups that nothing can be said of others."""
    return groups is not None and len(set(groups)) <= FEWEST


def resample(n: int, groups: Sequence[object] | None = None, resamples: int = RESAMPLES) -> Iterator[Indices]:
    """Yield the places of the resamples in blocks of rows, the same for everybody who asks for the same n and groups.

    Groups differ in size, so that their resamples do: each is a block of one row.
    """
    chance = np.random.default_rng(SEED)
    if groups is None:
        for begun in range(0, resamples, rows := max(1, _BLOCK // n)):
            yield chance.integers(0, n, (min(rows, resamples - begun), n))
        return
    members: dict[object, list[int]] = {}
    for at, group in enumerate(groups):
        members.setdefault(group, []).append(at)
    blocks = [np.array(places) for places in members.values()]
    for _ in range(resamples):
        yield np.concatenate([blocks[at] for at in chance.integers(0, len(blocks), len(blocks))])[None]


def wilson(successes: float, n: float) -> Interval:
    """Return Wilson's interval of a share (1927, JASA 22), which holds for few items and at the ends; a tie is a half.

    Raises:
        ValueError: there are no items.

    """
    if n < 1:
        raise ValueError("there are no items")
    share, z2 = successes / n, Z_95 * Z_95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return Interval(low, high, math.sqrt(share * (1 - share) / n))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being many (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    corrected, least = [0.0] * len(p_values), 0.0
    for done, at in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - done) * p_values[at]))
        corrected[at] = least
    return corrected


def correlation_interval(correlation: float, n: int) -> tuple[float, float]:
    """Return the 95% interval of a correlation by Fisher's z, with Bonett and Wright's error for ranks (2000)."""
    half = Z_95 * correlation_error(correlation, n)
    middle = math.atanh(max(-0.999999, min(0.999999, correlation)))
    return math.tanh(middle - half), math.tanh(middle + half)


def correlation_error(correlation: float, n: int) -> float:
    """Return the standard error of a rank correlation's Fisher z: the root of (1 + r^2 / 2) / (n - 3).

    Raises:
        ValueError: fewer than four items have none.

    """
    if n < 4:
        raise ValueError("a correlation of fewer than 4 items has no interval")
    return math.sqrt((1 + correlation**2 / 2) / (n - 3))


def detectable_correlation_difference(correlation: float, n: int, shared: float = 0.5) -> float:
    """Return the smallest difference of two models' rank correlations that n shared items show in four of five runs.

    Args:
        correlation: about what both have with the labels.
        n: items.
        shared: correlation of the two models' errors; 0 where they were tested on different items.

    """
    error = correlation_error(correlation, n) * math.sqrt(2 * (1 - shared))
    middle = math.atanh(correlation)
    return math.tanh(middle + (Z_95 + _Z_POWER) * error) - correlation


def detectable_accuracy_difference(accuracy: float, n: int, differing: float | None = None) -> float:
    """Return the smallest difference of two accuracies that n shared items show in four of five runs (McNemar).

    Args:
        accuracy: about what both have.
        n: items.
        differing: share of items on which exactly one of the two is right; None for that of independent models.

    """
    share = 2 * accuracy * (1 - accuracy) if differing is None else differing
    return (Z_95 + _Z_POWER) * math.sqrt(share / n)


def items_needed(difference: float, *, correlation: float = 0.7, shared: float = 0.5) -> int:
    """Return how many items show a difference of two rank correlations in four of five runs.

    Raises:
        ValueError: the difference does not fit between the correlation and 1.

    """
    if not 0 < difference < 1 - correlation:
        raise ValueError(f"a difference from {correlation} lies between 0 and {1 - correlation:g}")
    step = math.atanh(correlation + difference) - math.atanh(correlation)
    spread = (1 + correlation**2 / 2) * 2 * (1 - shared)
    return math.ceil(3 + spread * ((Z_95 + _Z_POWER) / step) ** 2)


def _means(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard error of each row of groups, from their sums and sizes, (rows, groups)."""
    groups, total = sums.shape[-1], counts.sum(-1)
    means = sums.sum(-1) / total
    residuals = sums - means[:, None] * counts
    return means, np.sqrt((residuals**2).sum(-1) * groups / (groups - 1)) / total


def _units(n: int, groups: Sequence[object] | None) -> int:
    return n if groups is None else len(set(groups))


def _interval(values: NDArray[np.float64], units: float) -> Interval:
    """Return percentiles, a little wider than 2.5 and 97.5: those alone are too narrow by what Student's t is wider."""
    tail = expanded_tail(units)
    low, high = np.quantile(values, (tail, 1 - tail))
    return Interval(float(low), float(high), float(values.std(ddof=1)))
