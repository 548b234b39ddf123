"""How well predictions agree with labels: rank and linear correlation, errors, levels. Pure numpy.

Signs are kept: a model that ranks upside down has a negative correlation. A correlation that is not defined (fewer
than two items, or predictions or labels that are all the same) is None, never NaN and never 0.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aescli.errors import MissingExtra

Values = NDArray[np.float64]

FEWEST = 3  # items, or groups of them: no interval for as few

Z_95 = 1.959963984540054  # how many deviations of a normal distribution hold 95% of it, on both sides
_LOGISTICS = (4, 5)  # parameters of VQEG's curve, and of Sheikh's with a line added


def srcc(predicted: ArrayLike, actual: ArrayLike) -> float | None:
    """Return Spearman's rank correlation, -1 to 1; tied values share the mean of their ranks.

    Raises:
        ValueError: the lengths differ, or a value is not finite; so do all functions here.

    """
    first, second = _pair(predicted, actual)
    return _pearson(rank(first), rank(second))


def plcc(predicted: ArrayLike, actual: ArrayLike) -> float | None:
    """Return Pearson's linear correlation of the values as they are, -1 to 1."""
    return _pearson(*_pair(predicted, actual))


def krcc(predicted: ArrayLike, actual: ArrayLike) -> float | None:
    """Return Kendall's tau-b, -1 to 1, in n log n (Knight 1966, JASA 61)."""
    first, second = _pair(predicted, actual)
    if _is_constant(first) or _is_constant(second):
        return None
    pairs = len(first) * (len(first) - 1) // 2
    ordinals = [np.unique(values, return_inverse=True)[1] for values in (first, second)]
    order = np.lexsort(ordinals[::-1])
    one, two = (ordinal[order] for ordinal in ordinals)
    tied_one, tied_two = _tied_pairs(one), _tied_pairs(two)
    tied_both = _tied_pairs(one * (int(two.max()) + 1) + two)
    surplus = pairs - tied_one - tied_two + tied_both - 2 * _inversions(two)
    return float(np.clip(surplus / np.sqrt(float(pairs - tied_one)) / np.sqrt(float(pairs - tied_two)), -1, 1))


def rmse(predicted: ArrayLike, actual: ArrayLike) -> float | None:
    """Return the root of the mean squared error, in the unit of the values; None for no items."""
    first, second = _pair(predicted, actual)
    return float(np.sqrt(np.mean((first - second) ** 2))) if len(first) else None


def mse(predicted: ArrayLike, actual: ArrayLike) -> float | None:
    """Return the mean squared error; None for no items."""
    first, second = _pair(predicted, actual)
    return float(np.mean((first - second) ** 2)) if len(first) else None


def mae(predicted: ArrayLike, actual: ArrayLike) -> float | None:
    """Return the mean absolute error, in the unit of the values; None for no items."""
    first, second = _pair(predicted, actual)
    return float(np.mean(np.abs(first - second))) if len(first) else None


def plcc_logistic(predicted: ArrayLike, actual: ArrayLike, parameters: int = 4) -> float | None:
    """Return Pearson's correlation after a logistic curve was fitted from predictions to labels (ITU-T P.1401).

    The curve is fitted on the items it is judged by, which flatters. The sign is that of the curve's direction, so
    that an inverted model stays negative. None as well where there are no more items than parameters.

    Raises:
        MissingExtra: scipy is not installed.

    """
    first, second = _pair(predicted, actual)
    if len(first) <= parameters or _is_constant(first) or _is_constant(second):
        return None
    curve = fit_logistic(first, second, parameters)
    found = _pearson(curve(first), second)
    ends = curve(np.array([first.min(), first.max()]))
    return None if found is None else float(np.copysign(found, ends[1] - ends[0]))


def fit_logistic(predicted: ArrayLike, actual: ArrayLike, parameters: int = 4) -> Callable[[Values], Values]:
    """Return the logistic curve that maps predictions to labels with the least squares.

    Args:
        predicted: n values that are not all the same.
        actual: their labels.
        parameters: 4 as VQEG has it (FRTV Phase I, 2000), b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|)); 5 as Sheikh,
            Sabir and Bovik (2006, eq. 5), b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5.

    Raises:
        MissingExtra: scipy is not installed.

    """
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise MissingExtra("the logistic mapping", "bench") from None
    if parameters not in _LOGISTICS:
        raise ValueError(f"a logistic has 4 or 5 parameters, not {parameters}")
    first, second = _pair(predicted, actual)
    x, y = _Standard(first), _Standard(second)
    inputs, targets = x.apply(first), y.apply(second)
    curve, start = (_vqeg, _vqeg_start) if parameters == 4 else (_sheikh, _sheikh_start)

    def residuals(beta: Values) -> Values:
        return curve(inputs, beta) - targets

    beta = least_squares(residuals, start(inputs, targets), max_nfev=2000).x
    return lambda values: y.undo(curve(x.apply(np.asarray(values, np.float64)), beta))


def level(values: ArrayLike, low: float, high: float, levels: int = 5) -> NDArray[np.int64]:
    """Return the level of each value, 0 for the lowest: equal parts of low to high, what lies outside at the ends."""
    if not low < high or levels < 1:
        raise ValueError(f"{levels} levels cannot be cut from {low} to {high}")
    shares = (np.asarray(values, np.float64) - low) / (high - low)
    return np.clip(np.floor(shares * levels), 0, levels - 1).astype(np.int64)


def level_accuracy(
    predicted: ArrayLike, actual: ArrayLike, *, low: float, high: float, levels: int = 5
) -> float | None:
    """Return the share of items whose prediction falls on the label's level, 0 to 1; None for no items."""
    first, second = _pair(predicted, actual)
    return float(np.mean(level(first, low, high, levels) == level(second, low, high, levels))) if len(first) else None


def macro(predicted: Sequence[int], actual: Sequence[int]) -> tuple[float, float, float]:
    """Return precision, recall and F1, each the plain mean over the classes that occur, 0 to 1.

    A class that was never predicted has precision 0, one that never was right F1 0 (scikit-learn's `zero_division=0`).
    """
    said, true = np.asarray(predicted), np.asarray(actual)
    rows = []
    for name in np.union1d(said, true):
        hits = float(np.sum((said == name) & (true == name)))
        precision = hits / max(1, int(np.sum(said == name)))
        recall = hits / max(1, int(np.sum(true == name)))
        rows.append((precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0))
    if not rows:
        raise ValueError("there are no items")
    precision, recall, f1 = np.mean(rows, axis=0)
    return float(precision), float(recall), float(f1)


def rank(values: ArrayLike) -> Values:
    """Return the rank of each value along the last axis from 1, tied values sharing the mean of theirs."""
    array = np.asarray(values, np.float64)
    if not array.size:
        return array.copy()
    order = np.argsort(array, axis=-1, kind="stable")
    ordered = np.take_along_axis(array, order, -1)
    begins, ends = np.ones(array.shape, bool), np.ones(array.shape, bool)
    begins[..., 1:] = ends[..., :-1] = ordered[..., 1:] != ordered[..., :-1]
    places = np.arange(array.shape[-1])
    first = np.maximum.accumulate(np.where(begins, places, 0), -1)
    last = np.minimum.accumulate(np.where(ends, places, len(places))[..., ::-1], -1)[..., ::-1]
    ranks = np.empty(array.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, -1)
    return ranks


def plcc_rows(predicted: Values, actual: Values) -> Values:
    """Return Pearson's correlation of each row, (rows, n) to (rows,); NaN where it is not defined. For bootstraps."""
    first, second = (each - each.mean(-1, keepdims=True) for each in (predicted, actual))
    constant = np.ptp(predicted, -1) * np.ptp(actual, -1) == 0
    lengths = np.sqrt(np.einsum("ij,ij->i", first, first) * np.einsum("ij,ij->i", second, second))
    found: Values = np.einsum("ij,ij->i", first, second) / np.where(lengths == 0, 1, lengths)
    return np.where(constant, np.nan, found)


class _Standard:
    """Values moved to mean 0 and spread 1, and back."""

    def __init__(self, values: Values) -> None:
        self._mean = float(values.mean())
        self._spread = float(values.std()) or 1.0

    def apply(self, values: Values) -> Values:
        return (values - self._mean) / self._spread

    def undo(self, values: Values) -> Values:
        return values * self._spread + self._mean


def expanded_tail(units: float) -> float:
    """Return the share of resamples below, and above, a 95% interval of so many units, items or groups; at most .025.

    Percentiles of a bootstrap are too narrow by what Student's t is wider than the normal distribution: the expanded
    percentile interval (Hesterberg, What Teachers Should Know About the Bootstrap, 2015, section 3.3).
    """
    wide = math.sqrt(units / (units - 1)) * student(units - 1) if 1 < units < math.inf else Z_95
    return 0.5 * math.erfc(wide / math.sqrt(2))


def student(freedom: float) -> float:
    """Return the 97.5% quantile of Student's t, 1.96 for very many degrees of freedom.

    By its expansion about the normal one (Abramowitz, Stegun 26.7.5).
    """
    z = Z_95
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))


def find_half_width(values: Values, ends: NDArray[Any]) -> float | None:
    """Return half the width of the 95% interval of the mean of what comparisons say; None where it cannot be known.

    By Student's t, `find_error` and `count_units`. Where all say the same there is no variance to go by: then it is the
    exact binomial bound. It cannot be known of three groups or fewer, nor where one has a part in all comparisons.

    Args:
        values: one for each comparison, (pairs,).
        ends: the groups of its two pictures, (pairs, 2).

    """
    if len(np.unique(ends)) <= FEWEST:
        return None
    error, units = find_error(values, ends), count_units(ends)
    if not math.isfinite(error):
        return None
    return student(max(units - 1, 1)) * error if np.ptp(values) else float(1 - 0.025 ** (1 / units))


def find_error(values: Values, ends: NDArray[Any]) -> float:
    """Return the standard error of the mean of what comparisons say, (pairs,); infinite where one group is in them all.

    By how far the mean moves when a group is left out, and so when few groups have most comparisons, too. Two
    comparisons go together where they have a group in common (Aronow, Samii and Assenova, Cluster-robust variance
    estimation for dyadic data, Political Analysis 23, 2015). Drawing groups with replacement, and a comparison as often
    as both of its ends, makes errors of comparisons that hang together little up to 1.7 times too large.

    Args:
        values: one for each comparison.
        ends: the groups of its two pictures, (pairs, 2).

    """
    one, other, count = _places(ends)
    across = one != other
    by_group, in_group = (
        np.bincount(one, each, count) + np.bincount(other, each * across, count)
        for each in (values - values.mean(), np.ones(len(values)))
    )
    if in_group.max() == len(values):
        return math.inf
    _, first, pair = np.unique(one * count + other, return_index=True, return_inverse=True)
    by_pair = np.bincount(pair, values - values.mean())  # who judges a pair of groups again tells little that is new
    moved, twice = by_group / (len(values) - in_group), by_pair / (len(values) - np.bincount(pair))
    variance = max(np.square(moved).sum() - np.square(twice[across[first]]).sum(), np.square(twice).sum())
    return float(np.sqrt(variance * (count - 1) / count))


def count_units(ends: NDArray[Any]) -> float:
    """Return how many comparisons that have no group in common weigh like these, 1 at least.

    Groups that have few of them count less than others (Kish, Survey Sampling, 1965, 11.7), and a comparison takes two.

    Args:
        ends: the groups of its two pictures, (pairs, 2).

    """
    one, other, count = _places(ends)
    across = one != other
    in_group = np.bincount(one, minlength=count) + np.bincount(other, across, count)
    return max(1.0, float(in_group.sum() ** 2 / np.square(in_group).sum() / (1 + across.mean())))


def _places(ends: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Return the numbers of each comparison's groups, the smaller one first, (pairs,) each, and how many there are."""
    names, place = np.unique(ends, return_inverse=True)
    one, other = np.sort(place.reshape(ends.shape), 1).T
    return one, other, len(names)


def _pair(predicted: ArrayLike, actual: ArrayLike) -> tuple[Values, Values]:
    first, second = np.asarray(predicted, np.float64), np.asarray(actual, np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"one prediction for each label is needed, not {first.shape} for {second.shape}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("a value is missing or not finite: leave such items out, and say how many")
    return first, second


def _pearson(first: Values, second: Values) -> float | None:
    if _is_constant(first) or _is_constant(second):
        return None
    one, two = _centred(first), _centred(second)
    return float(np.clip(one @ two, -1, 1))


def _centred(values: Values) -> Values:
    """Return values about their mean with length 1; scaled first, so that squares neither vanish nor overflow."""
    scaled = values / np.abs(values).max()
    moved = scaled - scaled.mean()
    moved = moved / np.abs(moved).max()
    unit: Values = moved / np.linalg.norm(moved)
    return unit


def _is_constant(values: Values) -> bool:
    return len(values) < 2 or bool((values == values[0]).all())


def _tied_pairs(ordinals: NDArray[np.intp]) -> int:
    counts = np.unique(ordinals, return_counts=True)[1]
    return int(np.sum(counts * (counts - 1) // 2))


def _inversions(ordinals: NDArray[np.intp]) -> int:
    """Count pairs in which the larger number comes first, bit by bit from the highest.

    Numbers that agree in all higher bits stand together, in their order; among them a 1 before a 0 is an inversion
    that this bit decides.
    """
    values, total = ordinals, 0
    for bit in reversed(range(int(ordinals.max()).bit_length())):
        ones = (values >> bit) & 1
        higher = values >> (bit + 1)
        before = np.cumsum(ones) - ones  # ones to the left, of all groups
        starts = np.concatenate([[0], np.flatnonzero(np.diff(higher)) + 1])
        groups = np.repeat(before[starts], np.diff(np.append(starts, len(values))))
        total += int(np.sum((before - groups)[ones == 0]))
        values = values[np.argsort(values >> bit, kind="stable")]
    return total


def _vqeg(x: Values, beta: Values) -> Values:
    share = _sigmoid((x - beta[2]) / max(abs(float(beta[3])), 1e-6))
    return np.asarray(beta[1] + (beta[0] - beta[1]) * share)


def _vqeg_start(x: Values, y: Values) -> Values:
    ends = (y.max(), y.min()) if (_pearson(x, y) or 0.0) >= 0 else (y.min(), y.max())
    return np.array([*ends, 0.0, 1.0])


def _sheikh(x: Values, beta: Values) -> Values:
    return np.asarray(beta[0] * (_sigmoid(beta[1] * (x - beta[2])) - 0.5) + beta[3] * x + beta[4])


def _sheikh_start(x: Values, y: Values) -> Values:
    return np.array([float(np.ptp(y)), 1.0, 0.0, _pearson(x, y) or 0.0, 0.0])


def _sigmoid(values: Values) -> Values:
    return 0.5 * (1.0 + np.tanh(0.5 * values))
