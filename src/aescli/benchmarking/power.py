"""What a set of this size can show: `--power`, before anything is run."""

from collections.abc import Iterator

from aescli.benchmarking.records import Record
from aescli.benchmarking.statistics import (
    correlation_interval,
    detectable_accuracy_difference,
    detectable_correlation_difference,
    items_needed,
    wilson,
)

_CORRELATIONS = (0.3, 0.5, 0.7, 0.9)
_DIFFERENCES = (0.01, 0.02, 0.05)
_ACCURACIES = (0.5, 0.75)


def correlation_power(suite: str, split: str, n: int) -> Iterator[Record]:
    """Yield intervals and smallest differences for rank correlations on n items, and the items that more would take."""
    for correlation in _CORRELATIONS if n > 3 else ():
        low, high = correlation_interval(correlation, n)
        yield Record(suite=suite, split=split, model="", metric="srcc_interval", value=correlation, low=low, high=high,
                     n=n, note="what a measured srcc of this size would mean")  # fmt: skip
        yield Record(suite=suite, split=split, model="", metric="srcc_difference", n=n,
                     value=detectable_correlation_difference(correlation, n),
                     note=f"smallest that shows in 4 of 5 runs, two models about {correlation:g}")  # fmt: skip
    for difference in _DIFFERENCES:
        yield Record(suite=suite, split=split, model="", metric="items_needed", n=n,
                     value=float(items_needed(difference)),
                     note=f"to tell two models about 0.7 apart by {difference:g}")  # fmt: skip


def accuracy_power(suite: str, split: str, n: int) -> Iterator[Record]:
    """Yield the same for accuracies."""
    for accuracy in _ACCURACIES:
        interval = wilson(round(accuracy * n), n)
        yield Record(suite=suite, split=split, model="", metric="accuracy_interval", value=accuracy, low=interval.low,
                     high=interval.high, n=n, note="what a measured accuracy of this size would mean")  # fmt: skip
        yield Record(suite=suite, split=split, model="", metric="accuracy_difference", n=n,
                     value=detectable_accuracy_difference(accuracy, n),
                     note=f"smallest that shows in 4 of 5 runs, two models about {accuracy:g}")  # fmt: skip
