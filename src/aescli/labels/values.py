"""What a file of labels says, as frozen values: pictures and their scores, comparisons, and what was wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aescli.names import escape

OVERALL = "overall"


@dataclass(frozen=True, slots=True)
class Labelled:
    """What people say of one picture.

    Args:
        path: of the picture; a relative one of the file was resolved against the file's folder.
        scores: mean score of each dimension in the file's own scale; `overall` where there is one score.
        counts: votes for each level, lowest first; level k of a scale that starts at `LabelledSet.lowest_level`.
        columns: every other cell of the row as text, such as `theme`; empty where it says nothing.
        source: where it says so, `labels.csv:12`.
        bad: what is wrong with the cells of dimensions that hold no score, by the dimension.

    """

    path: str
    scores: Mapping[str, float]
    counts: tuple[float, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    bad: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """One comparison: people prefer `winner` to `loser`, both paths of `LabelledSet.pictures`.

    `columns` is every other cell of the row as text, such as `series`; `tied` is the column that says neither won.
    """

    winner: str
    loser: str
    source: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    tied: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One row that says nothing usable, and why."""

    source: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.message}"


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """What a source of labels says, in the order of the source.

    Args:
        name: what the data is called: its folder, or the file where that has a name of its own.
        pictures: those whose file is there; each once, however it is spelled.
        dimensions: that any picture has a score of, `overall` first.
        problems: every bad row, by file and line.
        missing: labelled pictures whose file is not there.
        scale: lowest and highest score of `overall`, or lowest and highest level where that is the mean of votes; None
            of pairs.
        scale_stated: it is that of levels, which nobody need guess.
        sha256: of the labels; of what was read from a photo library, where they have no file of their own.
        pairs: of a file of comparisons, which has no scores; only pairs whose pictures are both there.
        left_out: ties, and pairs with a picture that is not there: these, too, tell what belongs together.
        lowest_level: what the first of `counts` stands for.
        compares: it is a file of comparisons, even if none of their pictures are there.
        notes: what whoever trains on it should know of it as a whole.

    """

    name: str
    pictures: tuple[Labelled, ...]
    dimensions: tuple[str, ...]
    problems: tuple[Problem, ...]
    missing: tuple[Labelled, ...]
    scale: tuple[float, float] | None
    sha256: str
    pairs: tuple[Pair, ...] = ()
    left_out: tuple[Pair, ...] = ()
    lowest_level: int = 1
    compares: bool = False
    scale_stated: bool = False
    notes: tuple[str, ...] = ()

    def say_what_lacks(self) -> str:
        """Return the first labelled picture that is not there, or the first bad row; nothing where there is neither."""
        if self.missing:
            return f"first missing: {escape(self.missing[0].path)}"
        return f"first: {self.problems[0]}" if self.problems else ""
