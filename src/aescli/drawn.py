"""Rank correlations of many draws with replacement at once, for bootstraps: items are compared once for all draws.

Each function returns one that takes how often each draw holds each item, (draws, items), and returns (draws,), with NaN
where a correlation is not defined.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aescli.metrics import Values, krcc

Counts = NDArray[np.intp]  # (draws, items)

_MOST_PAIRED = 1_000  # items: of more, signs of all pairs take longer than sorting each draw


def srcc_of_draws(predicted: Values, actual: Values) -> Callable[[Counts], Values]:
    """Return what finds Spearman's rank correlation of draws of these items, (items,) each."""
    ranks = _rank_draws(predicted), _rank_draws(actual)

    def find(counts: Counts) -> Values:
        middle = (counts.sum(1, keepdims=True) + 1) / 2
        first, second = (rank(counts) - middle for rank in ranks)  # (draws, items)
        lengths = np.sqrt(_sum(counts, first, first) * _sum(counts, second, second))
        return _sum(counts, first, second) / np.where(lengths == 0, np.nan, lengths)

    return find


def krcc_of_draws(predicted: Values, actual: Values) -> Callable[[Counts], Values]:
    """Return what finds Kendall's tau-b of draws of these items, (items,) each.

    Of few items a draw is a product with the signs of all pairs, which single precision holds exactly.
    """
    if len(predicted) > _MOST_PAIRED:
        return lambda counts: np.array([_find_tau(predicted, actual, times) for times in counts])
    first, second = (_find_signs(each) for each in (predicted, actual))
    signs = first * second, np.abs(first), np.abs(second)

    def find(counts: Counts) -> Values:
        times = counts.astype(np.float32)
        surplus, untied, untied_too = (
            np.einsum("ij,ij->i", times @ each, times, dtype=np.float64) / 2 for each in signs
        )
        one, two = (np.sqrt(np.where(each == 0, np.nan, each)) for each in (untied, untied_too))
        return np.asarray(np.clip(surplus / one / two, -1, 1))

    return find


def _rank_draws(values: Values) -> Callable[[Counts], Values]:
    """Return what finds the rank of each item in each draw, (draws, items); of an item that is not in it, something."""
    _, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
    order, begins = np.argsort(place, kind="stable"), np.cumsum(sizes) - sizes

    def find(counts: Counts) -> Values:
        held = np.add.reduceat(counts[:, order], begins, axis=1)  # (draws, different values)
        last = np.cumsum(held, 1)
        return np.asarray(last - (held - 1) / 2)[:, place]

    return find


def _sum(counts: Counts, first: Values, second: Values) -> Values:
    """Return the sum of products over the items of each draw."""
    return np.asarray(np.einsum("ij,ij,ij->i", counts, first, second))


def _find_signs(values: Values) -> NDArray[np.float32]:
    """Return the sign of each difference, (items, items); values may be so large that differences are endless."""
    place = np.unique(values, return_inverse=True)[1]
    signs: NDArray[np.float32] = np.sign(place[:, None] - place).astype(np.float32)
    return signs


def _find_tau(predicted: Values, actual: Values, times: NDArray[np.intp]) -> float:
    found = krcc(np.repeat(predicted, times), np.repeat(actual, times))
    return math.nan if found is None else found
