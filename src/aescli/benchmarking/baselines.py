"""What needs no model, beside every number of a labelled set: a random order, one answer for all, guessing."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from aescli import metrics
from aescli.benchmarking import scores
from aescli.benchmarking.lines import Line
from aescli.benchmarking.records import Record
from aescli.benchmarking.statistics import SEED
from aescli.errors import MissingExtra

_ORDERS = 20  # random ones: their mean is what a fitted curve finds where there is nothing

Found = Iterator[tuple[str, str, float | None, float | None, str]]  # model, metric, value, half of its interval, note


def baseline_records(
    lines: Sequence[Line], targets: Sequence[str], suite: str, split: str, scales: Mapping[str, scores.LabelScale]
) -> Iterator[Record]:
    """Yield a random order's correlations, the errors of the mean label, the shares of the most common level.

    Args:
        lines: one for each item.
        targets: labels that any model has a score for.
        suite: which benchmark.
        split: which of its parts.
        scales: of the labels.

    """
    for target in targets:
        labels = np.array([line.labels[target] for line in lines if target in line.labels], float)
        n = len(labels)
        if n <= metrics.FEWEST:
            continue
        low, high = scales[target].low, scales[target].high
        prefix = "" if target == scores.OVERALL else f"{target}/"
        for model, metric, value, half, note in _numbers(labels, suite, low, high):
            yield Record(
                suite=suite, split=split, model=f"baseline: {model}", metric=f"{prefix}{metric}", value=value, n=n,
                low=None if half is None else -half, high=half, note=note,
            )  # fmt: skip


def _numbers(labels: scores.Values, suite: str, low: float, high: float) -> Found:
    yield from _random_order(labels)
    if not low < high:
        return
    mean = np.full(len(labels), labels.mean())
    for name in (*scores.ERRORS, *(scores.AUTHORS if suite == "humanbeauty" else ())):
        yield "mean label", name, scores.error(mean, labels, name), None, ""
    levels = metrics.level(labels, low, high, scores.LEVELS)
    most = int(np.bincount(levels).argmax())
    yield "majority level", "level_accuracy", float(np.mean(levels == most)), None, f"always level {most + 1}"
    yield "random level", "level_accuracy", 1 / scores.LEVELS, None, "expected of guessing"
    if suite == "humanbeauty":
        found = metrics.macro([most] * len(levels), levels.tolist())
        for name, value in zip(scores.MACRO, found, strict=True):
            yield "majority level", name, value, None, f"always level {most + 1}"
    if suite == "ava":
        above = float(np.mean(labels > scores.AVA_MIDDLE))
        note = f"always {'above' if above > 0.5 else 'below'} 5"
        yield "majority side", "accuracy", max(above, 1 - above), None, note
        yield "random side", "accuracy", 0.5, None, "expected of guessing"


def _random_order(labels: scores.Values) -> Found:
    """Yield correlations of an order that says nothing, with the interval of what it may show by chance."""
    n = len(labels)
    half = 1.96 / math.sqrt(n - 1)
    tau = 1.96 * math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))  # Kendall 1938
    for name, chance in (("srcc", half), ("plcc", half), ("krcc", tau)):
        yield "random order", name, 0.0, chance, ""
    orders = np.random.default_rng(SEED)
    try:
        fitted = [metrics.plcc_logistic(orders.permutation(n), labels) for _ in range(_ORDERS)]
    except MissingExtra:
        return
    known = [abs(each) for each in fitted if each is not None]
    if known:
        note = f"mean of {_ORDERS}: what fitting finds in it"
        yield "random order", "plcc_logistic", float(np.mean(known)), None, note
