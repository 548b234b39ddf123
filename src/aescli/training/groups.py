"""Pictures that belong together, and folds that never part them: a burst on both sides of a split flatters a model."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from unicodedata import normalize

import numpy as np

from aescli.errors import PictureError, UsageError
from aescli.images.alike import USUAL_BITS, Look, find_pairs
from aescli.images.taken import Capture
from aescli.labels.cells import is_empty, without_point
from aescli.labels.links import connect, number
from aescli.labels.values import Labelled, Pair
from aescli.names import escape
from aescli.registry import nearest
from aescli.training.linear import find_basis
from aescli.xmp.taken import read_moment

BURST_SECONDS = 60.0  # a longer pause begins another group
# Cosines of two pictures along the main directions of their features: from where on they are near; and by how much more
# than to any other, and how much at least, where each is the other's nearest.
_NEAR, _BY_FAR, _AT_LEAST = 0.9, 0.2, 0.4
_MOST_COPIES = 50  # of one picture that are nearer to it by far
_DIRECTIONS, _FEWEST_DIRECTIONS, _MANY_DIRECTIONS = 200, 16, 50  # in few all pictures are near some other
_FEWEST_EFFECTIVE = 4.0  # of which photographs have 4.5 and more, be they only four with copies
_MOST_COMPARED, _BLOCK = 20_000, 1_000  # pictures, in all and at once
_CHOOSING = 2  # groups that a training half must have, since it is parted again to choose a head
_FINER = "three groups are the least; --group-by another column, or leave it out"


@dataclass(frozen=True, slots=True)
class Groups:
    """Each picture's group as a number, (pictures,), and a note on those that say nothing and stand alone."""

    numbers: np.ndarray
    note: str = ""

    def take(self, rows: np.ndarray) -> "Groups":
        """Return those of some pictures."""
        return Groups(self.numbers[rows], self.note)


def find_groups(pictures: Sequence[Labelled], by: str | None, pairs: Sequence[Pair] = ()) -> Groups:
    """Find the groups of pictures.

    Args:
        pictures: as labelled.
        by: None (each its own), `folder`, `time` (pauses of more than a minute part groups), or a column of the labels.
        pairs: comparisons of these pictures, whose columns then count: all that stand beside one cell belong together,
            and a picture that stands beside two joins them.

    Raises:
        UsageError: no row has that column, or says when it was taken.

    """
    match by:
        case None:
            return Groups(np.arange(len(pictures)))
        case "folder":
            return Groups(number(_folders(pictures)), _note_column([*pictures, *pairs], by))
        case "time":
            found = _by_time([picture.path for picture in pictures])
            return Groups(found.numbers, _join(found.note, _note_column([*pictures, *pairs], by)))
        case _:
            return _by_pairs(pictures, pairs, by) if pairs else _by_column(pictures, by)


def join_copies(groups: Groups, pictures: Sequence[Labelled], contents: Sequence[str]) -> Groups:
    """Return groups that never part two files with the same bytes, with a note on these.

    Args:
        groups: of the pictures.
        pictures: as labelled.
        contents: SHA-256 of each picture's file.

    """
    first: dict[str, int] = {}
    copies = ((first.setdefault(content, at), at) for at, content in enumerate(contents))
    return _join_pairs(
        groups, pictures, [(before, at) for before, at in copies if before != at],
        "one picture is the same as another, byte for byte, and",
        "pictures are the same as another, byte for byte, and",
    )  # fmt: skip


def join_alike(
    groups: Groups, pictures: Sequence[Labelled], looks: Sequence[tuple[Look, ...] | PictureError]
) -> Groups:
    """Return groups that never part near-duplicates, such as one photograph saved twice, with a note on these.

    One of two may be in black and white, turned by quarters, mirrored, or have a border: of 450 photographs and
    portraits 84 to 99 in a hundred copies with borders and bars are found, 99 and 100 of the others; and of 3,786
    pictures themselves one more pair is joined.

    Args:
        groups: of the pictures, which hold files with the same bytes together.
        pictures: as labelled.
        looks: of each, as `images.alike.look_around` gives them; one that cannot be told joins nothing.

    """
    seen = [(at, each) for at, each in enumerate(looks) if not isinstance(each, PictureError)]
    alike = _find_alike([each for _, each in seen])
    pairs = [(seen[one][0], seen[other][0]) for one, other in sorted(alike)]
    return _join_pairs(
        groups, pictures, [(one, other) for one, other in pairs if groups.numbers[one] != groups.numbers[other]],
        "one pair of pictures looks alike, and is", "pairs of pictures look alike, and are",
    )  # fmt: skip


def _find_alike(looks: Sequence[tuple[Look, ...]]) -> set[tuple[int, int]]:
    """Return places of pictures that look alike, as they are, one of them in black and white, or inside of borders."""
    plain = [first for first, *_ in looks]
    alike = set(find_pairs(plain, USUAL_BITS))
    in_grey = find_pairs([look.without_colours() for look in plain], USUAL_BITS)
    alike.update((one, other) for one, other in in_grey if plain[one].is_grey != plain[other].is_grey)
    inside = [
        (at, look) for turned in zip(*(around[1:] for around in looks), strict=True) for at, look in enumerate(turned)
    ]
    for one, other in find_pairs([look for _, look in inside], USUAL_BITS):
        first, second = sorted((inside[one][0], inside[other][0]))
        if first != second:
            alike.add((first, second))
    return alike


def join_near(groups: Groups, pictures: Sequence[Labelled], features: np.ndarray) -> Groups:
    """Return groups that never part pictures that a model sees as nearly the same, with a note on these.

    Crops, frames and mirrored copies escape a hash, but not the features that a head is trained on. Two pictures are
    near where they point nearly the same way, or where each is by far nearer to the other, and to further copies, than
    to all others. Measured with `mini` among 12 to 250 photographs with one to three copies each: those with 5% cut off
    each side, mirrored ones and both at once are found in 95 to 100 of a hundred, with 10% cut off each side in 76 to
    100; and of 250 photographs themselves 7 are joined in OASIS, which has scenes more than once, 4 among photographs
    of other sets, and none among portraits.

    Args:
        groups: of the pictures.
        pictures: as labelled.
        features: of the same pictures, (pictures, width); of few directions nothing is said.

    """
    if len(features) > _MOST_COMPARED:
        note = f"more than {_MOST_COMPARED:,} pictures: crops and mirrored copies were not looked for"
        return Groups(groups.numbers, _join(groups.note, note))
    basis = find_basis(features)
    effective = basis.squares.sum() ** 2 / np.square(basis.squares).sum()  # directions, if all were equally strong
    if len(basis.squares) < _FEWEST_DIRECTIONS or effective < _FEWEST_EFFECTIVE:
        return groups
    near = _find_near(basis.project(features)[:, :_DIRECTIONS])
    return _join_pairs(
        groups, pictures, [(one, other) for one, other in near if groups.numbers[one] != groups.numbers[other]],
        "one pair of pictures is nearly the same to the model, and is",
        "pairs of pictures are nearly the same to the model, and are",
    )  # fmt: skip


def _find_near(along: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs of pictures that are near each other, (pictures, directions), the earlier first."""
    count, directions = along.shape
    unit = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    near: set[tuple[int, int]] = set()
    nearest_of: list[set[int]] = []
    for start in range(0, count, _BLOCK):
        alike = unit[start : start + _BLOCK] @ unit.T  # (block, pictures)
        rows = np.arange(len(alike))
        alike[rows, start + rows] = -1.0
        if directions >= _MANY_DIRECTIONS:
            found = zip(*np.nonzero(alike >= _NEAR), strict=True)
            near.update((int(before), int(at + start)) for at, before in found if before < at + start)
        nearest_of += _lead(alike)
    near.update((at, int(other)) for at, those in enumerate(nearest_of) for other in those if at in nearest_of[other])
    return sorted((one, other) for one, other in near if one < other)


def _lead(alike: np.ndarray) -> list[set[int]]:
    """Return for each row, (rows, pictures), the places that are nearer by far than all others, if there are any."""
    most = min(_MOST_COPIES + 1, alike.shape[1] - 1)
    order = np.argpartition(-alike, most - 1, 1)[:, :most]
    order = np.take_along_axis(order, np.argsort(-np.take_along_axis(alike, order, 1), 1, kind="stable"), 1)
    values = np.take_along_axis(alike, order, 1)
    leads = (values[:, :-1] - values[:, 1:] >= _BY_FAR) & (values[:, :-1] >= _AT_LEAST)
    copies = np.where(leads.any(1), most - 1 - leads[:, ::-1].argmax(1), 0)
    return [set(places[:found].tolist()) for places, found in zip(order, copies, strict=True)]


def _join_pairs(
    groups: Groups, pictures: Sequence[Labelled], pairs: Sequence[tuple[int, int]], one: str, many: str
) -> Groups:
    if not pairs:
        return groups
    numbers = groups.numbers.copy()
    for before, at in pairs:
        numbers[numbers == numbers[at]] = numbers[before]
    before, at = pairs[0]
    shown = f"{escape(pictures[at].path)} and {escape(pictures[before].path)}"
    count = one if len(pairs) == 1 else f"{len(pairs)} {many}"
    return Groups(numbers, _join(groups.note, f"{count} kept together, such as {shown}"))


def assign_folds(groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold of each picture: whole groups, in an order that the seed shuffles, to the emptiest fold.

    Raises:
        UsageError: there are fewer groups than folds.

    """
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < folds:
        hint = f"--folds {len(names)}" if len(names) > _CHOOSING else _FINER
        raise UsageError(f"{len(names)} groups are too few for {folds} folds", hint=hint)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]  # large ones first, or one fold may end up with all
    filled, place = np.zeros(folds, int), {}
    for at in order:
        fold = int(filled.argmin())
        filled[fold] += sizes[at]
        place[names[at]] = fold
    return np.array([place[group] for group in groups])


def assign_outer_folds(groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return folds as `assign_folds` does, each of which leaves groups enough to choose a head by.

    Raises:
        UsageError: there are fewer groups than folds, or one fold has all groups but one.

    """
    place = assign_folds(groups, folds, seed)
    if min(len(np.unique(groups[place != fold])) for fold in range(folds)) < _CHOOSING:
        count = len(np.unique(groups))
        raise UsageError(
            f"{count} groups are too few for {folds} folds: with one held out, a single group is left to learn from",
            hint=f"--folds {_CHOOSING + 1}" if count > _CHOOSING else _FINER,
        )
    return place


def _folders(pictures: Sequence[Labelled]) -> list[str]:
    """Return the folders of pictures, each by one name, however it is spelled."""
    spelled = [os.path.dirname(picture.path) for picture in pictures]  # noqa: PTH120
    real = {folder: os.path.realpath(folder) for folder in set(spelled)}
    return [real[folder] for folder in spelled]


def _by_time(paths: Sequence[str]) -> Groups:
    captures = [read_moment(path) for path in paths]
    silent = sum(capture.taken is None for capture in captures)
    if silent == len(paths):
        raise UsageError("no picture says when it was taken", hint="--group-by folder")
    links = [
        *_link_bursts([capture.taken for capture in captures]),
        *_link_bursts([_instant(each) for each in captures]),
    ]
    note = _note_alone(silent, len(paths), "do not say when they were taken")
    return Groups(connect(len(paths), links), note)  # one that does not say is a group of its own


def _instant(capture: Capture) -> float | None:
    """Return the moment in UTC: two cameras of one party may be set to the clocks of two countries."""
    return None if capture.taken is None or capture.offset is None else capture.taken - capture.offset


def _link_bursts(moments: Sequence[float | None]) -> Iterator[tuple[int, int]]:
    """Yield the places of neighbours in time with no pause between them."""
    known = sorted((moment, at) for at, moment in enumerate(moments) if moment is not None)
    return ((one, other) for (before, one), (after, other) in pairwise(known) if after - before <= BURST_SECONDS)


def _by_column(pictures: Sequence[Labelled], column: str) -> Groups:
    cells = _cells_of(pictures, column)
    # A picture without the cell is a group of its own.
    numbers = number([cell or f"\0{at}" for at, cell in enumerate(cells)])
    return Groups(numbers, _note_alone(cells.count(""), len(cells), f"have no {column}"))


def _by_pairs(pictures: Sequence[Labelled], pairs: Sequence[Pair], column: str) -> Groups:
    place = {picture.path: at for at, picture in enumerate(pictures)}  # then those that only link others
    beside: dict[str, set[str]] = defaultdict(set)
    first: dict[str, int] = {}
    links = []
    for pair, cell in zip(pairs, _cells_of(pairs, column), strict=True):
        for path in (pair.winner, pair.loser) if cell else ():
            at = place.setdefault(path, len(place))
            beside[path].add(cell)
            links.append((first.setdefault(cell, at), at))
    silent = sum(picture.path not in beside for picture in pictures)
    alone = _note_alone(silent, len(pictures), f"have no {column}")
    joining = [path for path, cells in beside.items() if len(cells) > 1]
    several = f"{len(joining)} with more than one {column}, such as {escape(joining[0])}, join these" if joining else ""
    return Groups(connect(len(place), links)[: len(pictures)], _join(alone, several))


def _cells_of(rows: Sequence[Labelled | Pair], column: str) -> list[str]:
    """Return what each row says in a column; nothing where it is empty.

    Raises:
        UsageError: there is no such column, or it is empty all the way down.

    """
    known = dict.fromkeys(name for row in rows for name in row.columns if name)
    if column not in known:
        close = nearest(column, [*known, "folder", "time"])
        raise UsageError(
            f"the labels have no column '{escape(column)}' to group by",
            hint=f"did you mean '{close}'?" if close else f"--group-by {'|'.join(['folder', 'time', *known])}",
        )
    cells = (row.columns.get(column) for row in rows)
    found = ["" if is_empty(cell) else without_point(normalize("NFC", str(cell).strip())) for cell in cells]
    if not any(found):
        raise UsageError(f"no row says its {escape(column)}", hint="--group-by another column, or leave it out")
    return found


def _note_column(rows: Sequence[Labelled | Pair], by: str) -> str:
    """Say that a column of that name is not what is meant."""
    known = {name for row in rows for name in row.columns}
    return f"grouped by the pictures' own {by}, not by the column '{by}' of the labels" if by in known else ""


def _note_alone(count: int, pictures: int, why: str) -> str:
    return f"{count} of {pictures} pictures {why}: each is a group of its own" if count else ""


def _join(*notes: str) -> str:
    return "; ".join(filter(None, notes))
