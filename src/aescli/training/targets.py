"""From labels to what a head is trained to: scores, votes or comparisons; and what is refused before any training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aescli.dimensions import Scale
from aescli.errors import AesError, NothingMatched, UsageError
from aescli.labels.cells import MOSTLY
from aescli.labels.scale import refuse_outside
from aescli.labels.values import OVERALL, Labelled, LabelledSet, Problem
from aescli.labels.votes import agrees, mean_vote
from aescli.metrics import srcc
from aescli.names import escape
from aescli.registry import may_name_dimension, nearest

FEWEST = 20  # pictures: with fewer no interval says anything

_NARROWEST = 1e-4  # of the largest score: what all scores differ by
_SMALLEST = 1e-30  # what they differ by at all: weights are single precision, which ends at 1e-38


@dataclass(frozen=True, slots=True)
class Targets:
    """What is known of pictures, in their order.

    Args:
        dimensions: `overall` first.
        scores: in the labels' own scale, (pictures, dimensions); of no dimensions for comparisons.
        votes: shares of the levels, (pictures, levels), or None.
        levels: what votes are worth.
        pairs: winner and loser as rows, (pairs, 2), or None.

    """

    dimensions: tuple[str, ...]
    scores: np.ndarray
    votes: np.ndarray | None = None
    levels: tuple[float, ...] = ()
    pairs: np.ndarray | None = None

    @property
    def kind(self) -> str:
        """`pairs`, `votes` or `scores`."""
        return "pairs" if self.pairs is not None else "votes" if self.votes is not None else "scores"

    @property
    def measure(self) -> str:
        """What `agreement` is: `SRCC` or `pairs ordered`."""
        return "SRCC" if self.pairs is None else "pairs ordered"

    def take(self, rows: np.ndarray) -> "Targets":
        """Return the targets of some pictures; comparisons with any other are left out."""
        votes = None if self.votes is None else self.votes[rows]
        if self.pairs is None:
            return replace(self, scores=self.scores[rows], votes=votes)
        place = np.full(len(self.scores), -1)
        place[rows] = np.arange(len(rows))
        pairs = place[self.pairs]
        return replace(self, scores=self.scores[rows], pairs=pairs[(pairs >= 0).all(1)])

    def agreement(self, predicted: np.ndarray) -> float:
        """Return how well `overall`, (pictures,), agrees with people: SRCC, or the share of pairs that it orders."""
        if self.pairs is not None:
            return order_share(predicted, self.pairs)
        return srcc(predicted, self.scores[:, 0]) or 0.0  # one that is not defined agrees with nobody


def order_share(predicted: np.ndarray, pairs: np.ndarray) -> float:
    """Return the share of pairs whose winner is predicted higher; a tie counts half."""
    if not len(pairs):
        return 0.5
    difference = predicted[pairs[:, 0]] - predicted[pairs[:, 1]]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is trained: dimensions, pictures that have all of them, rows that were left out, and what to say of it."""

    dimensions: tuple[str, ...]
    pictures: list[Labelled]
    problems: list[Problem]
    notes: tuple[str, ...] = ()


def choose_pictures(labels: LabelledSet, wanted: str, scale: Scale | None) -> Chosen:
    """Choose the dimensions that are trained, and the pictures that have all of them.

    Args:
        labels: as read.
        wanted: `overall`, `all` or names with commas between them; `overall` is always trained.
        scale: what every score must lie in, or None.

    Raises:
        NothingMatched: no labelled picture is there.
        UsageError: there is no such dimension, a score is outside of the scale, there are fewer than 20 pictures, or
            comparisons are to have a scale or dimensions.

    """
    if labels.compares:
        return _choose_compared(labels, wanted, scale)
    if not labels.pictures:
        says = "no labelled picture is there" if labels.missing or not labels.problems else "no row can be used"
        raise NothingMatched(f"{labels.name}: {says}", hint=labels.say_what_lacks())
    dimensions = _choose_dimensions(labels, wanted)
    kept, problems = [], []
    for picture in labels.pictures:
        lacking = [picture.bad.get(name, f"has no {name}") for name in dimensions if name not in picture.scores]
        if lacking:
            problems.append(Problem(picture.source, ", ".join(lacking)))
        else:
            kept.append(picture)
    if scale:
        refuse_outside(kept, dimensions, scale)
    kept, voteless, notes = _choose_voted(kept, labels.lowest_level)
    if len(kept) < FEWEST:
        least, lost = f"{FEWEST} are the least", problems + voteless
        raise UsageError(
            f"{labels.name}: {len(kept)} labelled pictures are too few",
            hint=f"{least}; {len(lost)} more lack something, such as {lost[0]}" if lost else least,
        )
    return Chosen(dimensions, kept, problems + voteless, notes)


def build_targets(labels: LabelledSet, pictures: Sequence[Labelled], dimensions: tuple[str, ...]) -> Targets:
    """Return what these pictures are trained to.

    Raises:
        AesError: all scores are equal, or no comparison is left.
        UsageError: they differ by next to nothing beside their size.

    """
    if labels.pairs:
        rows = {picture.path: at for at, picture in enumerate(pictures)}
        pairs = [
            (rows[each.winner], rows[each.loser]) for each in labels.pairs if each.winner in rows and each.loser in rows
        ]
        if len(pairs) < FEWEST:
            raise AesError(f"{labels.name}: {len(pairs)} comparisons are too few", hint=f"{FEWEST} are the least")
        return Targets(dimensions, np.zeros((len(pictures), 1)), pairs=np.array(pairs))
    scores = np.array([[picture.scores[name] for name in dimensions] for picture in pictures])
    equal = [name for name, column in zip(dimensions, scores.T, strict=True) if column.min() == column.max()]
    if equal:
        raise AesError(f"{labels.name}: every picture has the same {', '.join(equal)}: there is nothing to learn")
    for name, column in zip(dimensions, scores.T, strict=True):
        if np.ptp(column) < _NARROWEST * np.abs(column).max():  # weights are single precision
            raise UsageError(
                f"{labels.name}: {name} is {column.min():.10g} to {column.max():.10g}: too narrow for numbers so large",
                hint="take away what all of them have in common",
            )
        if np.ptp(column) < _SMALLEST:
            raise UsageError(
                f"{labels.name}: {name} is {column.min():.10g} to {column.max():.10g}: too small to be learnt",
                hint="multiply all of them",
            )
    votes, levels = _votes(labels, pictures)
    return Targets(dimensions, scores, votes, levels)


def find_scales(targets: Targets, given: Scale | None) -> tuple[Scale, ...]:
    """Return the native range of each dimension: as given, else levels of votes, else smallest and largest label.

    Comparisons have none: the result is empty.
    """
    if targets.pairs is not None:
        return ()
    if given:
        return (given,) * len(targets.dimensions)
    scales = [Scale(float(column.min()), float(column.max())) for column in targets.scores.T]
    if targets.votes is not None:
        scales[0] = Scale(targets.levels[0], targets.levels[-1])
    return tuple(scales)


def _choose_compared(labels: LabelledSet, wanted: str, scale: Scale | None) -> Chosen:
    for given, option in ((scale is not None, "--range"), (wanted != OVERALL, "--dims")):
        if given:
            raise UsageError(f"{option} is for scores, and {labels.name} holds comparisons")
    if not labels.pairs:
        raise NothingMatched(f"{labels.name}: no comparison has both of its pictures", hint=labels.say_what_lacks())
    if len(labels.pictures) < FEWEST:
        raise UsageError(
            f"{labels.name}: {len(labels.pictures)} compared pictures are too few", hint=f"{FEWEST} are the least"
        )
    return Chosen((OVERALL,), list(labels.pictures), [])


def _choose_dimensions(labels: LabelledSet, wanted: str) -> tuple[str, ...]:
    names = [word.strip() for word in wanted.split(",") if word.strip()]
    for name in names:
        if name not in ("all", *labels.dimensions):
            close = nearest(name, [*labels.dimensions, "all"])
            listed = ", ".join(labels.dimensions)
            raise UsageError(
                f"{labels.name} has no dimension '{name}'",
                hint=f"did you mean '{close}'?" if close else f"it has {listed}",
            )
    chosen = tuple(name for name in labels.dimensions if name == OVERALL or name in names or "all" in names)
    for name in chosen:
        if name != OVERALL and not may_name_dimension(name):
            raise UsageError(
                f"{labels.name} has a dimension that cannot be a column of scores: '{escape(name)}'",
                hint="rename it: no other column's name, no commas, no control characters, no = + - @ at the beginning",
            )
    return chosen


def _choose_voted(pictures: list[Labelled], lowest_level: int) -> tuple[list[Labelled], list[Problem], tuple[str, ...]]:
    """Leave out pictures without votes where nearly all have some; else say that votes are not what is trained."""
    if not any(picture.counts for picture in pictures):
        return pictures, [], ()
    without = [(each, why) for each in pictures if (why := _why_no_votes(each, lowest_level))]
    if len(pictures) - len(without) >= MOSTLY * len(pictures):
        left_out = {id(each) for each, _ in without}
        voted = [each for each in pictures if id(each) not in left_out]
        return voted, [Problem(each.source, why) for each, why in without], ()
    first, why = without[0]
    note = f"{len(without)} of {len(pictures)} pictures have none, or none whose mean is the score"
    return pictures, [], (f"scores are trained, not votes: {note}, first {first.source}: {why}",)


def _why_no_votes(picture: Labelled, lowest_level: int) -> str:
    if not picture.counts:
        return "has no votes"
    if agrees(picture, lowest_level):
        return ""
    return f"its score is {picture.scores[OVERALL]:g}, its votes say {mean_vote(picture.counts, lowest_level):g}"


def _votes(labels: LabelledSet, pictures: Sequence[Labelled]) -> tuple[np.ndarray | None, tuple[float, ...]]:
    """Return shares of votes where all pictures have votes and their score is the mean of them."""
    if not all(picture.counts and agrees(picture, labels.lowest_level) for picture in pictures):
        return None, ()
    votes = np.array([picture.counts for picture in pictures])
    votes /= votes.sum(1, keepdims=True)
    levels = labels.lowest_level + np.arange(votes.shape[1], dtype=np.float64)
    return votes, tuple(levels.tolist())
