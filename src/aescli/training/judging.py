"""Whether a head is better than what it stands on: intervals over groups, and a plain verdict.

Those of scores come from a bootstrap, those of comparisons from a variance that knows which hang together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aescli.drawn import srcc_of_draws
from aescli.metrics import FEWEST, expanded_tail, find_half_width
from aescli.training.targets import Targets

_AT_ONCE = 2_000_000  # pictures of draws: of each some eight numbers are held


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
    series = [predicted] if base is None else [predicted, base]
    if targets.pairs is None:
        (agreement, *below), difference = _judge_scores(targets, series, groups, seed)
    else:
        (agreement, *below), difference = _judge_pairs(targets.pairs, series, groups)
    lowest, highest = (float(each) for each in np.quantile(chance, (0.025, 0.975)))
    return Judgement(
        agreement=agreement,
        base=below[0] if below else None,
        difference=difference,
        chance=Interval(float(chance.mean()), lowest, highest),
        better=difference.low is not None and difference.low > 0 and agreement.value > highest,
        groups=len(np.unique(groups)),
    )


def find_interval(predicted: np.ndarray, scores: np.ndarray, groups: np.ndarray, seed: int) -> Interval:
    """Return the rank correlation of one dimension, (pictures,) each, with its interval; groups are drawn whole."""
    (found,), _ = _judge_scores(Targets(("overall",), scores[:, None]), [predicted], groups, seed)
    return found


def resample(scores: np.ndarray, series: Sequence[np.ndarray], groups: np.ndarray, seed: int) -> np.ndarray:
    """Return the rank correlation of each series with the scores, (pictures,) each, over draws, (draws, series).

    Groups are drawn with replacement, each as a whole.
    """
    chance = np.random.default_rng(seed + 3)
    names, place = np.unique(groups, return_inverse=True)
    draws = 1000 if len(groups) <= 20_000 else 200
    at_once = max(1, _AT_ONCE // len(groups))
    correlations = [srcc_of_draws(each, scores) for each in series]

    def measure(count: int) -> np.ndarray:
        drawn = [chance.integers(len(names), size=len(names)) for _ in range(count)]
        times = np.array([np.bincount(each, minlength=len(names)) for each in drawn])[:, place]  # (count, pictures)
        return np.column_stack([correlate(times) for correlate in correlations])

    found = [measure(min(at_once, draws - begun)) for begun in range(0, draws, at_once)]
    agreement: np.ndarray = np.nan_to_num(np.concatenate(found))  # one that is not defined agrees with nobody
    return agreement


_Judged = tuple[list[Interval], Interval]  # of each series, and of the first less the second, or less chance


def _judge_scores(targets: Targets, series: Sequence[np.ndarray], groups: np.ndarray, seed: int) -> _Judged:
    values = [targets.agreement(each) for each in series]
    draws = resample(targets.scores[:, 0], series, groups, seed)  # (draws, series)
    against, below = (values[1], draws[:, 1]) if len(series) > 1 else (0.0, np.zeros(len(draws)))
    count = len(np.unique(groups))
    found = [_interval(value, column, count) for value, column in zip(values, draws.T, strict=True)]
    return found, _interval(values[0] - against, draws[:, 0] - below, count)


def _judge_pairs(pairs: np.ndarray, series: Sequence[np.ndarray], groups: np.ndarray) -> _Judged:
    differences = [each[pairs[:, 0]] - each[pairs[:, 1]] for each in series]
    won = [(each > 0) + 0.5 * (each == 0) for each in differences]  # (pairs,) each
    against = won[1] if len(won) > 1 else np.full(len(pairs), 0.5)

    def around(values: np.ndarray, lowest: float) -> Interval:
        mean, half = float(values.mean()), find_half_width(values, groups[pairs])
        if half is None:
            return Interval(mean, None, None)
        return Interval(mean, max(lowest, mean - half), min(1.0, mean + half))

    return [around(each, 0.0) for each in won], around(won[0] - against, -1.0)


def _interval(value: float, draws: np.ndarray, groups: int) -> Interval:
    if groups <= FEWEST:
        return Interval(value, None, None)
    tail = expanded_tail(groups)
    low, high = np.quantile(draws, (tail, 1 - tail))
    return Interval(value, float(low), float(high))
