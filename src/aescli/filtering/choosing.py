"""Which rows of score files a filter keeps: a condition, the best percent, no near-duplicates, the best k.

Files are read twice, once to choose and once to write, so that millions of rows need a few bytes each. A row that is an
error has no score: it never passes, and is counted.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np

from aescli.errors import AesError, PictureError, UsageError
from aescli.filtering.conditions import Condition, columns_of
from aescli.filtering.truth import Bools, Floats, Objects, judge, numbers_of
from aescli.images.alike import Index, look_at, look_at_all
from aescli.images.named import find_named
from aescli.images.opening import Opener
from aescli.labels.values import Problem
from aescli.names import escape
from aescli.registry import nearest
from aescli.score_files import KINDS, Batch, Report, locate, paths_of, read_batches, refuse_several

FOLDER = "folder"  # the stratum that is no column

_OK = "ok"  # the status of a score; a table need not have one


@dataclass(frozen=True, slots=True)
class Filter:
    """What is kept.

    Args:
        condition: that a row must meet; None for every row with a score.
        by: the column that ranks, higher is better.
        percentile: keep what is at or above this percentile, 0 to 100, of what met the condition.
        top: keep this many of the best.
        per: a column, or `folder`: `percentile` and `top` hold inside each of its values.
        alike: drop near-duplicates that differ in at most this many bits from a better picture; None keeps them.

    """

    condition: Condition | None = None
    by: str = "overall"
    percentile: float | None = None
    top: int | None = None
    per: str | None = None
    alike: int | None = None

    @property
    def ranks(self) -> bool:
        return self.percentile is not None or self.top is not None or self.alike is not None


@dataclass(slots=True)
class Chosen:
    """What was kept, and what was not and why.

    Attributes:
        keeps: for each batch of each file, which rows.
        total: rows in all.
        errors: rows that are errors, and so never pass.
        unknown: rows of which a condition cannot be told, since a cell is empty.
        alike: near-duplicates of something better.
        strata: in how many parts it was ranked.
        unreadable: pictures that had to be looked at and could not be.

    """

    keeps: list[list[Bools]] = field(default_factory=list)
    total: int = 0
    errors: int = 0
    unknown: int = 0
    alike: int = 0
    strata: int = 1
    unreadable: list[Problem] = field(default_factory=list)

    @property
    def kept(self) -> int:
        return sum(int(mask.sum()) for masks in self.keeps for mask in masks)


def choose(files: Sequence[Path], wanted: Filter, report: Report, opener: Opener | None = None) -> Chosen:
    """Read the files once and return which rows are kept.

    Args:
        files: of scores.
        wanted: see there.
        report: is told every row that cannot be read.
        opener: of the pictures, where near-duplicates are dropped.

    Raises:
        UsageError: a column is not there or of the wrong kind, or rows of several models would be ranked together.

    """
    chosen, ranked = Chosen(), _Ranked()
    for file in files:
        masks: list[Bools] = []
        for batch in read_batches(file, report):
            _refuse_unknown(batch, wanted, file)
            mask = _meet(batch, wanted, chosen)
            if wanted.ranks:
                ranked.add(batch, mask, wanted, file)
            masks.append(mask)
        chosen.keeps.append(masks)
    if wanted.ranks:
        _keep(chosen, _rank(ranked, wanted, chosen, opener))
    return chosen


def read_chosen(files: Sequence[Path], chosen: Chosen) -> Iterator[tuple[Batch, list[int]]]:
    """Read the files again and yield each batch with the places of the rows that are kept.

    Raises:
        AesError: a file is not what it was when they were chosen.

    """
    for file, masks in zip(files, chosen.keeps, strict=True):
        for batch, mask in zip_longest(read_batches(file, lambda _: None), masks):
            if batch is None or mask is None or len(batch) != len(mask):
                raise AesError(f"{escape(str(file))} has changed while it was read", hint="run the command again")
            if mask.any():
                yield batch, np.flatnonzero(mask).tolist()


def _refuse_unknown(batch: Batch, wanted: Filter, file: Path) -> None:
    asked = {wanted.by} if wanted.ranks else set()
    asked |= columns_of(wanted.condition) if wanted.condition else set()
    asked |= {wanted.per} - {None, FOLDER} if wanted.per else set()
    for name in sorted(asked - set(batch.names)):
        close = nearest(name, batch.names)
        hint = f"did you mean '{close}'?" if close else f"it has {escape(', '.join(batch.names))}"
        raise UsageError(f"{escape(file.name)} has no column '{escape(name)}'", hint=hint)


def _meet(batch: Batch, wanted: Filter, chosen: Chosen) -> Bools:
    """Return which rows meet the condition, and count the others."""
    is_error = np.array([str(status or _OK).lower() != _OK for status in batch.texts("status")], bool)
    scored: Bools = np.isfinite(batch.numbers("overall")) & ~is_error
    chosen.total += len(batch)
    chosen.errors += int((~scored).sum())
    if wanted.condition is None:
        return scored
    truth = judge(wanted.condition, batch)
    chosen.unknown += int((truth.unknown & scored).sum())
    met: Bools = truth.true & scored
    return met


@dataclass(slots=True)
class _Ranked:
    """The rows that met the condition, over all files: what ranks them, and where they stand."""

    values: list[Floats] = field(default_factory=list)
    strata: list[Objects] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    kinds: dict[str, set[str]] = field(default_factory=dict)  # of scores: by model, revision and read-out

    def add(self, batch: Batch, mask: Bools, wanted: Filter, file: Path) -> None:
        self.values.append(numbers_of(batch, wanted.by)[mask])
        for column in KINDS:
            if column in batch.names:
                found = {str(name) for name in batch.texts(column)[mask].tolist() if name}
                self.kinds[column] = self.kinds.get(column, set()) | found
                refuse_several(column, self.kinds[column])
        needs_paths = wanted.per == FOLDER or wanted.alike is not None
        paths = paths_of(batch, np.flatnonzero(mask).tolist()) if needs_paths else []
        if wanted.per == FOLDER:
            self.strata.append(np.array([path.rpartition("/")[0] for path in paths], object))
        elif wanted.per:
            self.strata.append(batch.texts(wanted.per)[mask])
        if wanted.alike is not None:
            self.paths += [locate(path, file) for path in paths]

    def parts(self) -> tuple[np.ndarray, int]:
        """Return each row's stratum as a number, and how many there are; an empty cell is a stratum too."""
        numbers: dict[str | None, int] = {}
        found = [numbers.setdefault(value, len(numbers)) for part in self.strata for value in part]
        return np.array(found, np.int64), max(1, len(numbers))


def _rank(ranked: _Ranked, wanted: Filter, chosen: Chosen, opener: Opener | None) -> Bools:
    """Return which of the ranked rows are kept."""
    values = np.concatenate([np.zeros(0), *ranked.values])
    part, chosen.strata = ranked.parts() if wanted.per else (np.zeros(len(values), np.int64), 1)
    known = np.isfinite(values)
    chosen.unknown += int((~known).sum())
    keep: Bools = known.copy()
    order = np.lexsort((-np.where(known, values, -math.inf), part))  # stable: equals stay in the order of the input
    order = order[known[order]]
    starts = np.flatnonzero(np.r_[True, np.diff(part[order]) != 0]) if len(order) else np.zeros(0, np.int64)
    if wanted.percentile is not None:
        for places in np.split(order, starts[1:]) if len(order) else ():
            keep[places] = values[places] >= np.percentile(values[places], wanted.percentile)
    if wanted.alike is not None and opener:
        best_first = np.argsort(-np.where(keep, values, -math.inf), kind="stable")[: int(keep.sum())]
        enough = wanted.top if wanted.top is not None and not wanted.per else len(values)
        _drop_alike(best_first, keep, ranked.paths, _Search(wanted.alike, opener, enough), chosen)
    if wanted.top is not None:
        left = order[keep[order]]
        place = _place_in_part(part[left])
        keep[left[place >= wanted.top]] = False
    return keep


def _place_in_part(parts: np.ndarray) -> np.ndarray:
    """Return for each row of sorted parts how many of its part stand before it."""
    if not len(parts):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.r_[True, np.diff(parts) != 0])
    return np.arange(len(parts)) - np.repeat(starts, np.diff(np.r_[starts, len(parts)]))


@dataclass(frozen=True, slots=True)
class _Search:
    bits: int
    opener: Opener
    enough: int


def _drop_alike(best_first: np.ndarray, keep: Bools, paths: Sequence[str], search: _Search, chosen: Chosen) -> None:
    """Walk from the best picture down and drop whatever looks like one that was kept, until there are enough."""
    index, enough = Index(search.bits), search.enough
    keep[:] = False
    with closing(look_at_all(find_named(paths[at] for at in best_first), search.opener, look_at)) as looks:
        for at, look in zip(best_first, looks, strict=False):
            if isinstance(look, PictureError):
                chosen.unreadable.append(Problem(escape(paths[at]), f"{look.code}: {look.message}"))
            elif index.find(look):
                chosen.alike += 1
            else:
                index.add(look)
                keep[at] = True
                enough -= 1
                if not enough:
                    return


def _keep(chosen: Chosen, keep: Bools) -> None:
    """Take from the masks of the batches what the ranking dropped."""
    at = 0
    for masks in chosen.keeps:
        for mask in masks:
            size = int(mask.sum())
            mask[np.flatnonzero(mask)] = keep[at : at + size]
            at += size
