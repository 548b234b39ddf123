"""Evaluation: lines to records. It asks no model, so it can be repeated for nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from aescli.benchmarking import baselines, choices, pairs, robust, scores
from aescli.benchmarking.leaks import TRAINED_ON, find_leak
from aescli.benchmarking.lines import Line, digest, latest
from aescli.benchmarking.records import BenchReport, Record
from aescli.benchmarking.statistics import Difference, Statistic, holm, paired, paired_mean
from aescli.metrics import FEWEST

MOST_COMPARED = 8  # models: 28 differences fill a screen

Models = Mapping[str, Sequence[Line]]
Scales = Mapping[str, scores.LabelScale]

_POINTS = {"pairs": ("pair_accuracy", pairs.points), "robust": ("held", robust.points)}


@dataclass(frozen=True, slots=True)
class _Compared:
    """By how much two models differ on the same n items; None where nothing can be said."""

    metric: str
    difference: Difference | None
    n: int
    lower_is_better: bool = False


def evaluate(lines: Iterable[Line]) -> BenchReport:
    """Return the numbers of every suite and split that the lines are of."""
    kept = latest(lines)
    parts: dict[tuple[str, str], list[Line]] = {}
    for line in kept:
        parts.setdefault((line.suite, line.split), []).append(line)
    records: list[Record] = []
    notes: list[str] = []
    of_models: dict[str, list[Line]] = {}
    for (suite, split), chosen in parts.items():
        models = _by_model(chosen, _name_models(chosen))
        records += _part(models, suite, split)
        notes += [*_uneven(models, suite), *_relabelled(models, suite)]
        for model, found in models.items():
            of_models.setdefault(model, []).extend(found)
    return BenchReport(tuple(records), of_models, tuple(notes))


def _part(models: Models, suite: str, split: str) -> Iterator[Record]:
    scales = scores.find_scales(line for lines in models.values() for line in lines)
    for model, lines in models.items():
        yield from _records(lines, model, suite, split, scales)
    longest = max(models.values(), key=len)
    if suite == "pairs":
        yield from pairs.baseline_records(longest, split)
    elif any(line.options for line in longest):
        yield from choices.baseline_records(longest, suite, split)
    if any(line.labels for line in longest):
        targets = scores.list_targets([line for lines in models.values() for line in lines])
        yield from baselines.baseline_records(longest, targets, suite, split, scales)
    yield from _differences(models, suite, split, scales)


def _records(lines: Sequence[Line], model: str, suite: str, split: str, scales: Scales) -> Iterator[Record]:
    if suite == "pairs":
        yield from pairs.pair_records(lines, model, split)
    elif suite == "robust":
        yield from robust.robust_records(lines, model, split)
    else:
        chosen = [line for line in lines if line.options]
        if chosen:
            yield from choices.choice_records(chosen, model, suite, split)
        labelled = [line for line in lines if line.labels]
        if labelled:
            yield from scores.score_records(labelled, model, suite, split, scales)


def _differences(models: Models, suite: str, split: str, scales: Scales) -> Iterator[Record]:
    """Yield paired differences of every two models, corrected for being many; an interval about 0 is a tie.

    Where one of the two was trained on what it is tested on, there is no verdict.
    """
    found: dict[str, list[tuple[tuple[str, str], Difference, _Compared]]] = {}
    leaks = {name: f"{name}: {leak}" for name, lines in models.items() if (leak := find_leak(lines))}
    for first, second in combinations(list(models)[:MOST_COMPARED], 2):
        for each in _shared(models[first], models[second], scales):
            if each.difference:
                found.setdefault(each.metric, []).append(((first, second), each.difference, each))
    for metric, rows in found.items():
        corrected = holm([difference.p for _, difference, _ in rows])
        for (names, difference, each), p in zip(rows, corrected, strict=True):
            seen = [leaks[name] for name in names if name in leaks]
            says = "no verdict" if any(TRAINED_ON in leak for leak in seen) else _verdict(difference, p, each)
            yield Record(
                suite=suite, split=split, model=" - ".join(names), metric=f"{metric}_difference",
                value=difference.value, low=difference.interval.low, high=difference.interval.high, n=each.n,
                note="; ".join([
                    says, *seen, f"p {p:.3g} after Holm for {len(rows)}", f"se {difference.interval.error:.4f}"
                ]),
            )  # fmt: skip


def _shared(one: Sequence[Line], two: Sequence[Line], scales: Scales) -> Iterator[_Compared]:
    """Yield what two models are compared by, on the items that both have."""
    if one[0].suite in _POINTS:
        yield from _by_points(one, two)
        return
    both = {line.item for line in one if line.is_done()} & {line.item for line in two if line.is_done()}
    first = {line.item: line for line in one if line.item in both}
    second = {line.item: line for line in two if line.item in both}
    order = [item for item in first if item in second]
    rated = [item for item in order if first[item].overall is not None and second[item].overall is not None]
    rated = [
        item for item in rated if scores.OVERALL in first[item].labels and _is_labelled_alike(first[item], second[item])
    ]
    if rated:
        scale = scales[scores.OVERALL]
        judged = [scores.collect([lines[item] for item in rated], scores.OVERALL, scale) for lines in (first, second)]
        for name in scores.COMPARED if scale.low < scale.high else scores.RANKED:
            find = [scores.statistic(each, name) for each in judged]
            found = _pair(find[0], find[1], len(rated), judged[0].groups)
            yield _Compared(name, found, len(rated), lower_is_better=name == "mae")
    asked = [first[item] for item in order if first[item].answer]
    for part, lines in choices.split_parts(asked).items():
        if part.endswith(choices.OVERALL):
            right = [[choices.is_right(source[line.item]) for line in lines] for source in (first, second)]
            one_share, two_share = (scores.share(np.array(each)) for each in right)
            yield _Compared(f"{part}/accuracy", _pair(one_share, two_share, len(lines)), len(lines))


def _pair(one: Statistic, two: Statistic, n: int, groups: Sequence[object] | None = None) -> Difference | None:
    return paired(one, two, n, groups=groups) if n > FEWEST else None


def _is_labelled_alike(one: Line, other: Line) -> bool:
    """Tell whether two models' lines of an item have one label: it may have been given another between two runs."""
    return one.labels.get(scores.OVERALL) == other.labels.get(scores.OVERALL)


def _by_points(one: Sequence[Line], two: Sequence[Line]) -> Iterator[_Compared]:
    """Yield the mean of what counts as 1 or 0 for each pair, or for each copy of a picture."""
    metric, count = _POINTS[one[0].suite]
    first, second = count(one), count(two)
    shared = [each for each in first if each in second]
    if not shared:
        return
    values = [np.array([found[each] for each in shared]) for found in (first, second)]
    if metric == "pair_accuracy":
        units = pairs.units_of(one)
        ends = np.array([[units[name] for name in each[:2]] for each in shared])
        difference = paired_mean(values[0] - values[1], ends)
    else:
        groups = [each[0] for each in shared]
        means = [scores.share(each) for each in values]
        difference = _pair(means[0], means[1], len(shared), groups if len(set(groups)) < len(shared) else None)
    yield _Compared(metric, difference, len(shared))


def _verdict(difference: Difference, p: float, compared: _Compared) -> str:
    if difference.interval.low <= 0 <= difference.interval.high or p > 0.05:
        return "tie"
    return "the first is better" if (difference.value > 0) != compared.lower_is_better else "the second is better"


def _name_models(lines: Iterable[Line]) -> dict[tuple[str, str, str], str]:
    """Return what each model is called: its name, with revision or setup where one name stands for several."""
    kinds: dict[str, set[tuple[str, str]]] = {}
    for line in lines:
        kinds.setdefault(line.model, set()).add((line.revision, digest(line.setup)))
    return {
        (model, revision, setup): model if len(found) == 1 else f"{model} [{revision[:7]}{setup}]"
        for model, found in kinds.items()
        for revision, setup in found
    }


def _by_model(lines: Iterable[Line], names: Mapping[tuple[str, str, str], str]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(names[line.model, line.revision, digest(line.setup)], []).append(line)
    return found


def _uneven(models: Models, suite: str) -> Iterator[str]:
    sizes = {name: len({line.item for line in lines}) for name, lines in models.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        yield f"{suite}: not all models saw the same items ({listed}); differences are of those that both saw"


def _relabelled(models: Models, suite: str) -> Iterator[str]:
    labels: dict[str, set[float]] = {}
    for line in (line for lines in models.values() for line in lines if scores.OVERALL in line.labels):
        labels.setdefault(line.item, set()).add(line.labels[scores.OVERALL])
    if count := sum(len(each) > 1 for each in labels.values()):
        yield f"{suite}: {count} items have one label in one run and another in the next; differences leave them out"
