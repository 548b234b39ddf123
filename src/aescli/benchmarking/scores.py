"""Evaluation of scores against labels: correlations, errors, levels."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aescli import metrics
from aescli.benchmarking.copies import find_units
from aescli.benchmarking.leaks import find_leak
from aescli.benchmarking.lines import Line
from aescli.benchmarking.records import Record
from aescli.benchmarking.statistics import (
    Interval,
    Statistic,
    are_few,
    bootstrap,
    bootstrap_mean,
    wilson,
)
from aescli.drawn import krcc_of_draws
from aescli.errors import MissingExtra

OVERALL = "overall"
LEVELS = 5
RANKED = ("srcc", "plcc")
COMPARED = (*RANKED, "mae")  # what models are told apart by; a smaller mae is better, and needs the labels' scale
AVA_MIDDLE = 5.0

NO_SCALE = "all labels are the same, so that their scale is not known: --range LO:HI"
RANKS = ("srcc", "krcc")
CORRELATIONS, ERRORS = ("srcc", "plcc", "krcc"), ("rmse", "mae", "mse")
AUTHORS = ("mse_author_root", "mae_author_root")  # of HumanBeauty
MACRO = ("precision_macro", "recall_macro", "f1_macro")  # over levels

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelScale:
    """Where labels begin and end; `stated` where somebody says so, and `unknown` says why they do nowhere."""

    low: float
    high: float
    unknown: str = NO_SCALE
    stated: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """What one model and people say of the same items.

    Args:
        items: their names.
        predicted: out of 10, (items,).
        mapped: the same on the labels' scale.
        actual: labels, (items,).
        scale: of the labels.
        missing: items without a score.
        groups: whose items stand and fall together; None for every item by itself.

    """

    items: tuple[str, ...]
    predicted: Values
    mapped: Values
    actual: Values
    scale: LabelScale
    missing: int
    groups: tuple[str, ...] | None = None


def list_targets(lines: Sequence[Line]) -> list[str]:
    """Return the labels that a model has a score for, `overall` first."""
    labelled = {name for line in lines for name in line.labels}
    scored = {name for line in lines for name in line.dims}
    return [OVERALL] * (OVERALL in labelled) + sorted(labelled & scored)


def collect(lines: Sequence[Line], target: str, scale: LabelScale) -> Judged:
    """Pair scores and labels, which are on a scale; what has no score is counted and left out."""
    asked = [line for line in lines if target in line.labels]
    found = [(line, score) for line in asked if (score := _score(line, target)) is not None]
    predicted = np.array([score for _, score in found], float)
    actual = np.array([line.labels[target] for line, _ in found], float)
    groups = tuple(map(str, find_units([line for line, _ in found])))
    return Judged(
        tuple(line.item for line, _ in found), predicted, scale.low + predicted / 10 * (scale.high - scale.low), actual,
        scale, len(asked) - len(found), groups if len(set(groups)) < len(groups) else None,
    )  # fmt: skip


def find_scales(lines: Iterable[Line]) -> dict[str, LabelScale]:
    """Return the scale of each label of a suite's part, over the lines of all models, which are compared on it.

    Of `overall` it is what the lines state; where they only guess, or say nothing, it holds all labels and guesses. Of
    other labels nobody states any.
    """
    lines = list(lines)
    found: dict[str, LabelScale] = {}
    for target in {name for line in lines for name in line.labels}:
        values = [line.labels[target] for line in lines if target in line.labels]
        found[target] = LabelScale(min(values), max(values))
    if OVERALL in found:
        told = [(line.label_range, line.range_guessed) for line in lines if line.label_range and OVERALL in line.labels]
        found[OVERALL] = _choose_scale(found[OVERALL], told)
    return found


def _choose_scale(labels: LabelScale, told: Sequence[tuple[tuple[float, float], bool]]) -> LabelScale:
    stated = sorted({scale for scale, guessed in told if not guessed})
    if len(stated) > 1:
        listed = " and ".join(f"{low:g} to {high:g}" for low, high in stated)
        return LabelScale(0.0, 0.0, f"the labels' scale is said to be {listed}: run all with one --range, and --fresh")
    if stated:
        return LabelScale(*stated[0], stated=True)
    guesses = [scale for scale, _ in told]
    return LabelScale(
        min([labels.low, *(low for low, _ in guesses)]), max([labels.high, *(high for _, high in guesses)])
    )


def score_records(
    lines: Sequence[Line], model: str, suite: str, split: str, scales: Mapping[str, LabelScale]
) -> Iterator[Record]:
    """Yield every number of one model: overall, then each dimension that people have labelled as well."""
    leak = find_leak(lines)
    for target in list_targets(lines):
        judged = collect(lines, target, scales[target])
        prefix = "" if target == OVERALL else f"{target}/"
        for name, value, interval, note in _numbers(judged, suite):
            notes = (_missing(judged), leak, note, _few(judged), _error(interval))
            yield Record(
                suite=suite, split=split, model=model, metric=f"{prefix}{name}", value=value,
                low=interval.low if interval else None, high=interval.high if interval else None,
                n=len(judged.actual), note="; ".join(filter(None, notes)),
            )  # fmt: skip
        yield _valid_rate(judged, model, suite, split, f"{prefix}valid_rate")
        if judged.missing:
            value = _strict(lines, target)
            note = f"{judged.missing} items without a score ranked lowest"
            yield Record(suite=suite, split=split, model=model, metric=f"{prefix}srcc_strict", value=value,
                         n=len(judged.actual) + judged.missing, note=note)  # fmt: skip


def _valid_rate(judged: Judged, model: str, suite: str, split: str, metric: str) -> Record:
    found, asked = len(judged.actual), len(judged.actual) + judged.missing
    interval = wilson(found, asked)
    return Record(suite=suite, split=split, model=model, metric=metric, value=found / asked, n=asked, low=interval.low,
                  high=interval.high, note=f"{found} of {asked} have a score")  # fmt: skip


def statistic(judged: Judged, name: str) -> Statistic:
    """Return a metric as a function of items' places, for a bootstrap: the same as in `metrics`, row by row."""
    predicted, actual = judged.predicted, judged.actual
    match name:
        case "srcc":
            return lambda at: metrics.plcc_rows(metrics.rank(predicted[at]), metrics.rank(actual[at]))
        case "plcc":
            return lambda at: metrics.plcc_rows(predicted[at], actual[at])
        case "krcc":
            find = krcc_of_draws(predicted, actual)
            return lambda at: find(np.array([np.bincount(row, minlength=len(predicted)) for row in at]))
        case _:
            losses, added = _losses(judged.mapped, actual, name)
            if added is None:
                return lambda at: losses[at].mean(-1)
            return lambda at: np.sqrt(losses[at].mean(-1) + added)


def error(predicted: Values, actual: Values, name: str) -> float:
    """Return one of ERRORS or AUTHORS, in the unit of the values; of its square for `mse`."""
    losses, added = _losses(predicted, actual, name)
    return float(losses.mean() if added is None else np.sqrt(losses.mean() + added))


def _losses(predicted: Values, actual: Values, name: str) -> tuple[Values, float | None]:
    """Return what an error metric is the mean of, and what is added below its root; None where it is no root.

    KwaiVGI/HumanAesExpert's calculate_metrics.py adds 1e-8.
    """
    errors = predicted - actual
    added = 1e-8 if name.endswith("author_root") else 0.0 if name == "rmse" else None
    return np.abs(errors) if name.startswith("mae") else errors**2, added


def _numbers(judged: Judged, suite: str) -> Iterator[tuple[str, float | None, Interval | None, str]]:
    n = len(judged.actual)
    for name in CORRELATIONS:
        yield name, *measure(judged, name), ""
    yield from _logistic(judged)
    if not judged.scale.low < judged.scale.high:
        yield from ((name, None, None, judged.scale.unknown) for name in (*ERRORS, "level_accuracy"))
        return
    for name in (*ERRORS, *(AUTHORS if suite == "humanbeauty" else ())):
        yield name, *measure(judged, name), _NOTES.get(name) or f"{_say_scale(judged)}; no fitting"
    right = _levels(judged, judged.mapped) == _levels(judged, judged.actual)
    levels_of = f"{LEVELS} equal levels of {judged.scale.low:g} to {judged.scale.high:g}"
    yield "level_accuracy", *_share(right, judged), levels_of
    if suite == "humanbeauty" and n:
        levels = [_levels(judged, each).tolist() for each in (judged.mapped, judged.actual)]
        for name, value in zip(MACRO, metrics.macro(*levels), strict=True):
            yield name, value, None, levels_of
    if suite == "ava":
        right = (judged.mapped > AVA_MIDDLE) == (judged.actual > AVA_MIDDLE)
        yield "accuracy", *_share(right, judged), "on which side of 5; 5 itself is low"


def _say_scale(judged: Judged) -> str:
    whose = "the labels' scale" if judged.scale.stated else "the ends of these labels: no scale was stated"
    return f"0 to 10 laid on {judged.scale.low:g} to {judged.scale.high:g}, {whose}"


def share(right: NDArray[np.bool_] | Values) -> Statistic:
    """Return the share of items that are right, for a bootstrap."""
    counted = right.astype(float)
    return lambda at: counted[at].mean(-1)


def measure(judged: Judged, name: str) -> tuple[float | None, Interval | None]:
    """Return one of CORRELATIONS, ERRORS or AUTHORS, and its interval; None where it is not defined."""
    n = len(judged.actual)
    find = statistic(judged, name)
    value = float(find(np.arange(n)[None])[0]) if n else math.nan
    if not math.isfinite(value):
        return None, None
    if name in CORRELATIONS:
        return value, _bootstrap(find, judged, of_ranks=name in RANKS)
    return value, _error_interval(judged, name, value)


def _error_interval(judged: Judged, name: str, value: float) -> Interval | None:
    """Return the interval of an error: of the mean of its losses, or the roots of that."""
    losses, added = _losses(judged.mapped, judged.actual, name)
    found = bootstrap_mean(losses, groups=judged.groups) if len(losses) > metrics.FEWEST else None
    if found is None or added is None:
        return found
    low, high = (math.sqrt(end + added) for end in (found.low, found.high))
    return Interval(low, high, found.error / (2 * value) if value else 0.0)


def _share(right: NDArray[np.bool_], judged: Judged) -> tuple[float | None, Interval | None]:
    """Return a share and its interval: Wilson's, or a bootstrap's where items stand and fall together."""
    n = len(right)
    if not n:
        return None, None
    found = wilson(int(right.sum()), n) if judged.groups is None else _bootstrap(share(right), judged)
    return float(right.mean()), found


def _levels(judged: Judged, values: Values) -> NDArray[np.int64]:
    return metrics.level(values, judged.scale.low, judged.scale.high, LEVELS)


def _logistic(judged: Judged) -> Iterator[tuple[str, float | None, Interval | None, str]]:
    """Yield the PLCC behind a logistic; where scipy is missing nothing, as the rest needs none of it."""
    try:
        value = metrics.plcc_logistic(judged.predicted, judged.actual)
        if value is None:
            yield "plcc_logistic", None, None, "needs more items than parameters, and values that differ"
            return
        mapped = metrics.fit_logistic(judged.predicted, judged.actual)(judged.predicted)
    except MissingExtra:
        return
    sign = math.copysign(1, value)
    interval = _bootstrap(lambda at: sign * np.abs(metrics.plcc_rows(mapped[at], judged.actual[at])), judged)
    yield "plcc_logistic", value, interval, "4 parameters, fitted once on these items, which flatters"


def _bootstrap(find: Statistic, judged: Judged, *, of_ranks: bool = False) -> Interval | None:
    n = len(judged.actual)
    return bootstrap(find, n, groups=judged.groups, of_ranks=of_ranks) if n > metrics.FEWEST else None


def _strict(lines: Sequence[Line], target: str) -> float | None:
    asked = [line for line in lines if target in line.labels]
    scores = [_score(line, target) for line in asked]
    return metrics.srcc([-1.0 if score is None else score for score in scores], [line.labels[target] for line in asked])


def _score(line: Line, target: str) -> float | None:
    return line.overall if target == OVERALL else line.dims.get(target)


def _error(interval: Interval | None) -> str:
    return f"se {interval.error:.4f}" if interval else ""


def _few(judged: Judged) -> str:
    return f"{len(set(judged.groups or ()))} groups are too few for an interval" if are_few(judged.groups) else ""


def _missing(judged: Judged) -> str:
    return f"{judged.missing} items without a score left out" if judged.missing else ""


_NOTES = {
    "mse_author_root": "what the authors print as MSE: a root of it",
    "mae_author_root": "what the authors print as MAE: a root of it",
}
