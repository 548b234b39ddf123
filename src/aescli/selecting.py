"""Which rows an output shows, and in which order. A picture that failed stays a row, after the chosen ones."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aescli.results import Failure, Row, Score


@dataclass(frozen=True, slots=True)
class Choice:
    """What `--sort`, `--top` and `--min-score` ask for.

    Args:
        sort: None keeps the order of the input; `path` sorts by name, `score` puts the best first.
        top: keep only this many of the best; implies `score`.
        minimum: keep only pictures whose overall is at least this.

    """

    sort: str | None = None
    top: int | None = None
    minimum: float | None = None


def select(rows: Iterable[Row], choice: Choice) -> Iterator[Row]:
    """Yield the chosen rows; without sorting and `top`, each as soon as it comes."""
    chosen = (row for row in rows if _reaches(row, choice.minimum))
    if choice.top is not None:
        yield from _best(chosen, choice.top, by_path=choice.sort == "path")
    elif choice.sort == "score":
        yield from sorted(chosen, key=_rank)
    elif choice.sort == "path":
        yield from sorted(chosen, key=lambda row: row.path)
    else:
        yield from chosen


def _reaches(row: Row, minimum: float | None) -> bool:
    return minimum is None or isinstance(row, Failure) or row.overall >= minimum


def _best(rows: Iterable[Row], count: int, *, by_path: bool) -> list[Row]:
    failures: list[Row] = []

    def scores() -> Iterator[Score]:
        for row in rows:
            if isinstance(row, Failure):
                failures.append(row)
            else:
                yield row

    best: list[Row] = [*heapq.nsmallest(count, scores(), key=_rank)]
    if by_path:
        return sorted([*best, *failures], key=lambda row: row.path)
    return best + failures


def _rank(row: Row) -> tuple[bool, float]:
    if isinstance(row, Failure):
        return True, 0.0
    return False, -row.overall
