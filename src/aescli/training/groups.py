"""Pictures that belong together, and folds that never part them: a burst on both sides of a split flatters a model."""

import os
from collections.abc import Sequence

import numpy as np

from aescli.errors import UsageError
from aescli.images.taken import read_taken
from aescli.labels.values import Labelled
from aescli.registry import nearest

BURST_SECONDS = 60.0  # a longer pause begins another group


def find_groups(pictures: Sequence[Labelled], by: str | None) -> np.ndarray:
    """Return each picture's group as a number, (pictures,).

    Args:
        pictures: as labelled.
        by: None (each its own), `folder`, `time` (pauses of more than a minute part groups), or a column of the labels.

    Raises:
        UsageError: no picture has that column, or says when it was taken.

    """
    match by:
        case None:
            return np.arange(len(pictures))
        case "folder":
            return _number([os.path.dirname(picture.path) for picture in pictures])  # noqa: PTH120
        case "time":
            return _by_time([picture.path for picture in pictures])
        case _:
            return _by_column(pictures, by)


def assign_folds(groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold of each picture: whole groups, in an order that the seed shuffles, to the emptiest fold.

    Raises:
        UsageError: there are fewer groups than folds.

    """
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < folds:
        raise UsageError(f"{len(names)} groups are too few for {folds} folds", hint=f"--folds {max(2, len(names))}")
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]  # large ones first, or one fold may end up with all
    filled, place = np.zeros(folds, int), {}
    for at in order:
        fold = int(filled.argmin())
        filled[fold] += sizes[at]
        place[names[at]] = fold
    return np.array([place[group] for group in groups])


def _by_time(paths: Sequence[str]) -> np.ndarray:
    taken = [read_taken(path) for path in paths]
    if all(moment is None for moment in taken):
        raise UsageError("no picture says when it was taken", hint="--group-by folder")
    groups = np.arange(len(paths))  # one that does not say is a group of its own
    before: tuple[float, int] | None = None
    for moment, at in sorted((moment, at) for at, moment in enumerate(taken) if moment is not None):
        if before and moment - before[0] <= BURST_SECONDS:
            groups[at] = groups[before[1]]
        before = moment, at
    return groups


def _by_column(pictures: Sequence[Labelled], column: str) -> np.ndarray:
    known = dict.fromkeys(name for picture in pictures for name in picture.columns)
    if column not in known:
        close = nearest(column, [*known, "folder", "time"])
        raise UsageError(
            f"the labels have no column '{column}' to group by",
            hint=f"did you mean '{close}'?" if close else f"--group-by {'|'.join(['folder', 'time', *known])}",
        )
    # A picture without the cell is a group of its own.
    return _number([picture.columns.get(column) or f"\0{at}" for at, picture in enumerate(pictures)])


def _number(names: Sequence[str]) -> np.ndarray:
    place = {name: at for at, name in enumerate(dict.fromkeys(names))}
    return np.array([place[name] for name in names])
