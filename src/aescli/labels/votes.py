"""Votes of a table of labels: which columns hold them, what they say, and whether scores beside them say the same."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import StatisticsError, correlation
from typing import Any

from aescli.labels.cells import MOSTLY, is_empty, is_number, number
from aescli.labels.rows import TableRow
from aescli.labels.values import OVERALL, Labelled

_COUNT = re.compile(r"^((?:h|c|counts?|votes?|level|rating)_?)(\d{1,2})$", re.IGNORECASE)
SURE = ("count", "counts", "votes")  # what columns are called that can be nothing else
_LIKELY = "h"  # of a histogram, or of humans
_STEEP, _RISING = 4.0, 2.0  # a histogram's largest column beside its smallest, and beside both of its ends
_TOGETHER, _FEWEST = 0.3, 10  # a correlation that people who agree have, and the rows that show one
_SAME = 0.01  # of the sum of a row's votes: shares are rounded
_AGREE = 0.05  # of the scale: a score that is further from the mean of its votes is another thing


def find_counts(names: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Return columns such as h1 to h7, lowest first, and what the first stands for; none if there are none.

    Columns belong together that differ in their number alone; of two such families the larger one holds the votes.
    """
    whole = [family for family in _find_families(names).values() if _leaves_none_out(sorted(family))]
    found = max(whole, key=len, default={})
    levels = sorted(found)
    return tuple(found[level] for level in levels), levels[0] if levels else 1


def are_counts(rows: Sequence[TableRow], columns: Sequence[str], lowest_level: int, score: str) -> bool:
    """Tell votes for each level from ratings by several people, or of several qualities, in columns named alike.

    Only votes have a mean that is the score, or add up to the same number on every row. Others are whole numbers whose
    lower half does not rise and fall with the upper half, as several people's ratings do. Columns with a histogram's
    usual name are then votes; others if there is no score, and few are at both ends of the scale and many in
    between, or the fewer in its lower half the more there are in its upper half.

    Args:
        rows: of the table.
        columns: that may be votes, lowest level first.
        lowest_level: what the first of them stands for.
        score: the column of the score, or nothing.

    """
    prefix = re.sub(r"_?\d+$", "", columns[0]).lower()
    if prefix in SURE:
        return True
    told = [row.cells for row in rows if all(is_number(row.cells.get(name)) for name in columns)]
    votes = [[number(cells[name], name) for name in columns] for cells in told]
    if not votes or not _mostly(min(each) >= 0 and sum(each) > 0 for each in votes):
        return False
    scored = [
        _agree(each, lowest_level, number(cells[score], score))
        for each, cells in zip(votes, told, strict=True)
        if score and sum(each) > 0 and is_number(cells.get(score))
    ]
    if (scored and _mostly(scored)) or _add_up(votes):
        return True
    together = _correlate_halves(votes)
    if together > _TOGETHER or not all(value.is_integer() for each in votes for value in each):
        return False
    return prefix == _LIKELY or (not scored and (together < -_TOGETHER or _are_steep(votes)))


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
    if all(is_empty(cells.get(name)) for name in columns):
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
    return _agree(picture.counts, lowest_level, picture.scores[OVERALL])


def are_means(pictures: Sequence[Labelled], lowest_level: int) -> bool:
    """Tell whether the scores of pictures that have votes are the means of them, but for a few mistakes."""
    return sum(agrees(each, lowest_level) for each in pictures) >= MOSTLY * len(pictures)


def _agree(counts: Sequence[float], lowest_level: int, score: float) -> bool:
    return abs(mean_vote(counts, lowest_level) - score) <= _AGREE * (len(counts) - 1)


def _mostly(found: Iterable[bool]) -> bool:
    each = list(found)
    return sum(each) >= MOSTLY * len(each)


def _add_up(votes: Sequence[Sequence[float]]) -> bool:
    """Tell whether rows add up to one number, as shares do, and votes of a panel that sees all pictures."""
    sums = sorted(map(sum, votes))
    middle = sums[len(sums) // 2]
    return len(sums) > 1 and _mostly(abs(each - middle) <= _SAME * middle for each in sums)


def _are_steep(votes: Iterable[Sequence[float]]) -> bool:
    """Tell whether few votes are at both ends of the scale, and many in between."""
    sums = [sum(column) for column in zip(*votes, strict=True)]
    largest = max(sums)
    return bool(largest >= _STEEP * min(sums) and largest >= _RISING * max(sums[0], sums[-1]))


def _correlate_halves(votes: Sequence[Sequence[float]]) -> float:
    """Return how the sums of the lower and of the upper half of columns go together; 0 where nobody can say."""
    half = len(votes[0]) // 2
    low, high = [sum(each[:half]) for each in votes], [sum(each[half:]) for each in votes]
    try:
        return correlation(low, high) if len(votes) >= _FEWEST else 0.0
    except StatisticsError:  # one of them never changes
        return 0.0


def _find_families(names: Sequence[str]) -> dict[str, dict[int, str]]:
    """Return the columns whose names differ in their number alone, by what they share."""
    families: dict[str, dict[int, str]] = defaultdict(dict)
    for name in names:
        if match := _COUNT.match(name):
            families[match[1]][int(match[2])] = name
    return families


def _leaves_none_out(levels: Sequence[int]) -> bool:
    return len(levels) >= 2 and levels[0] <= 1 and list(levels) == list(range(levels[0], levels[-1] + 1))
