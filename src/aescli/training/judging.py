"""Whether a head is better than what it stands on: intervals by a bootstrap over groups, and a plain verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aescli.metrics import FEWEST, expanded_tail
from aescli.training.targets import Targets


@dataclass(frozen=True, slots=True)
class Interval:
    """A number and its 95% interval; None where too few groups were drawn from."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f} (no interval)"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a head compares.

    Args:
        agreement: of the head, on pictures it has not seen.
        base: of what it stands on, on the same pictures; None where that has no score of its own.
        difference: head less base, paired; less chance where there is no base.
        chance: mean agreement of heads that were trained on shuffled labels, and where 95% of them lie.
        better: the interval of the difference lies above zero, and the head above chance.
        groups: that pictures stand and fall together in; of few nothing can be said.

    """

    agreement: Interval
    base: Interval | None
    difference: Interval
    chance: Interval
    better: bool
    groups: int


def judge(
    targets: Targets, predicted: np.ndarray, base: np.ndarray | None, chance: np.ndarray, groups: np.ndarray, seed: int
) -> Judgement:
    """Compare predictions of `overall`, (pictures,), with the base's own, (pictures,) or None.

    Args:
        targets: what people say.
        predicted: by heads that have not seen the pictures.
        base: native ratings of the model below.
        chance: agreements of heads that were trained on shuffled labels.
        groups: are drawn whole, (pictures,).
        seed: of the draws.

    """
    nothing = 0.5 if targets.pairs is not None else 0.0
    series = [predicted] if base is None else [predicted, base]
    values = [targets.agreement(each) for each in series]
    draws = resample(targets, series, groups, seed)  # (draws, series)
    below = np.full(len(draws), nothing) if base is None else draws[:, 1]
    count = len(np.unique(groups))
    difference = _interval(values[0] - (nothing if base is None else values[1]), draws[:, 0] - below, count)
    lowest, highest = (float(each) for each in np.quantile(chance, (0.025, 0.975)))
    return Judgement(
        agreement=_interval(values[0], draws[:, 0], count),
        base=None if base is None else _interval(values[1], draws[:, 1], count),
        difference=difference,
        chance=Interval(float(chance.mean()), lowest, highest),
        better=difference.low is not None and difference.low > 0 and values[0] > highest,
        groups=count,
    )


def resample(targets: Targets, series: Sequence[np.ndarray], groups: np.ndarray, seed: int) -> np.ndarray:
    """Return the agreement of each series on groups that are drawn with replacement, (draws, series)."""
    chance = np.random.default_rng(seed + 3)
    names, place = np.unique(groups, return_inverse=True)
    draws = 1000 if len(groups) <= 20_000 else 200
    measure = _measure_pairs if targets.pairs is not None else _measure_scores
    measured = measure(targets, series, place)
    return np.array([
        measured(np.bincount(chance.integers(len(names), size=len(names)), minlength=len(names)))
        for _ in range(draws)
    ])  # fmt: skip


_Measure = Callable[[np.ndarray], list[float]]


def _measure_scores(targets: Targets, series: Sequence[np.ndarray], place: np.ndarray) -> _Measure:
    def measure(times: np.ndarray) -> list[float]:
        rows = np.repeat(np.arange(len(place)), times[place])
        drawn = targets.take(rows)
        return [drawn.agreement(each[rows]) for each in series]

    return measure


def _measure_pairs(targets: Targets, series: Sequence[np.ndarray], place: np.ndarray) -> _Measure:
    pairs = targets.pairs if targets.pairs is not None else np.zeros((0, 2), int)
    differences = [each[pairs[:, 0]] - each[pairs[:, 1]] for each in series]
    won = np.array([(each > 0) + 0.5 * (each == 0) for each in differences])  # (series, pairs)

    def measure(times: np.ndarray) -> list[float]:
        # A comparison is drawn as often as both of its ends are.
        weights = times[place[pairs[:, 0]]] * times[place[pairs[:, 1]]]
        total = weights.sum()
        return (won @ weights / total).tolist() if total else [0.5] * len(won)

    return measure


def _interval(value: float, draws: np.ndarray, groups: int) -> Interval:
    if groups <= FEWEST:
        return Interval(value, None, None)
    tail = expanded_tail(groups)
    low, high = np.quantile(draws, (tail, 1 - tail))
    return Interval(value, float(low), float(high))
