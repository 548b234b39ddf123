"""Votes of a table of labels: which columns hold them, what they say, and whether scores beside them say the same."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aescli.labels.cells import MOSTLY, number
from aescli.labels.values import OVERALL, Labelled

_COUNT = re.compile(r"^((?:h|c|counts?|votes?|level|rating)_?)(\d{1,2})$", re.IGNORECASE)
_AGREE = 0.05  # of the scale: a score that is further from the mean of its votes is another thing


def find_counts(names: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Return columns such as h1 to h7, lowest first, and what the first stands for; none if there are none.

    Columns belong together that differ in their number alone; of two such families the larger one holds the votes.
    """
    whole = [family for family in _find_families(names).values() if _leaves_none_out(sorted(family))]
    found = max(whole, key=len, default={})
    levels = sorted(found)
    return tuple(found[level] for level in levels), levels[0] if levels else 1


def find_gap(names: Sequence[str]) -> str:
    """Return the first column that is missing among votes that are no whole family; empty if nothing looks like one."""
    for prefix, family in _find_families(names).items():
        missing = [level for level in range(1, max(family)) if level not in family]
        if len(family) > 1 and missing:
            return f"{prefix}{missing[0]}"
    return ""


def read_counts(cells: Mapping[str, Any], columns: Sequence[str]) -> tuple[float, ...]:
    """Return the votes of a row; none if all of its cells are empty.

    Raises:
        ValueError: one is no number, or they are no votes.

    """
    if all(cells.get(name) in (None, "") for name in columns):
        return ()
    counts = tuple(number(cells.get(name), name) for name in columns)
    if min(counts) < 0 or sum(counts) <= 0:
        raise ValueError("its votes are negative, or there are none")
    return counts


def mean_vote(counts: Sequence[float], lowest_level: int) -> float:
    """Return the mean of votes for each level, lowest first."""
    return sum((lowest_level + at) * votes for at, votes in enumerate(counts)) / sum(counts)


def agrees(picture: Labelled, lowest_level: int) -> bool:
    """Tell whether a picture's score is the mean of its votes, as far as rounding and a few voters left out allow."""
    away = abs(mean_vote(picture.counts, lowest_level) - picture.scores[OVERALL])
    return away <= _AGREE * (len(picture.counts) - 1)


def are_means(pictures: Sequence[Labelled], lowest_level: int) -> bool:
    """Tell whether the scores of pictures that have votes are the means of them, but for a few mistakes."""
    return sum(agrees(each, lowest_level) for each in pictures) >= MOSTLY * len(pictures)


def _find_families(names: Sequence[str]) -> dict[str, dict[int, str]]:
    """Return the columns whose names differ in their number alone, by what they share."""
    families: dict[str, dict[int, str]] = defaultdict(dict)
    for name in names:
        if match := _COUNT.match(name):
            families[match[1]][int(match[2])] = name
    return families


def _leaves_none_out(levels: Sequence[int]) -> bool:
    return len(levels) >= 2 and levels[0] <= 1 and list(levels) == list(range(levels[0], levels[-1] + 1))
