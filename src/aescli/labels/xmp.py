"""Ratings of a photo library: `xmp:Rating` and `xmp:Label` in sidecars and in the pictures themselves.

Stars are 1 to 5, -1 is rejected and counts as 0, and 0 is unrated: no label (XMP part 1).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from aescli.images.find import Selection, find
from aescli.labels.values import OVERALL, Labelled, Problem
from aescli.names import escape
from aescli.xmp.marks import Marks, read_marks


def read_library(folder: Path, colours: Mapping[str, float]) -> Iterator[Labelled | Problem]:
    """Yield the rated pictures of a folder; a sidecar goes before what the picture itself says.

    Args:
        folder: walked as `aes score` walks it.
        colours: what a label is worth where there are no stars; names are compared without case.

    """
    worth = {name.lower(): value for name, value in colours.items()}
    for found in find((str(folder),), Selection()):
        if found.problem:
            yield Problem(found.path, found.problem.message)
            continue
        try:
            marks, source = read_marks(found.path)
        except (ValueError, OSError) as error:
            yield Problem(escape(found.path), str(error))
            continue
        score = _score(marks, worth)
        if score is not None:
            yield Labelled(found.path, {OVERALL: score}, columns=_columns(marks), source=escape(source))


def _score(marks: Marks, worth: Mapping[str, float]) -> float | None:
    if marks.rating:  # neither unrated nor absent
        return max(marks.rating, 0.0)
    return worth.get(marks.label.lower()) if marks.label else None


def _columns(marks: Marks) -> dict[str, str]:
    return {"label": marks.label} if marks.label else {}
