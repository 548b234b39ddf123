"""Ratings of a photo library: `xmp:Rating` and `xmp:Label` in sidecars and in the pictures themselves.

Stars are 1 to 5, -1 is rejected and counts as 0, and 0 is unrated: no label (XMP part 1).
"""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aescli.images import formats
from aescli.images.find import Found, Selection, find
from aescli.labels.values import OVERALL, Labelled, Problem
from aescli.names import escape
from aescli.xmp.files import SPELLINGS, list_sidecars
from aescli.xmp.marks import Marks, read_marks, read_marks_of

_SIDECARS = Selection(include=tuple(f"*{spelling}" for spelling in SPELLINGS), all_files=True)


@dataclass(slots=True)
class Library:
    """What a folder of photos says: rated pictures, rated sidecars without a picture, and the labels that are given.

    `worthless` counts the colours of pictures that are not rated otherwise, where nobody says what they are worth.
    """

    found: list[Labelled] = field(default_factory=list)
    missing: list[Labelled] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    worthless: Counter[str] = field(default_factory=Counter)


def read_library(folder: Path, colours: Mapping[str, float]) -> Library:
    """Read the ratings of a folder; a sidecar goes before what the picture itself says.

    Args:
        folder: walked as `aes score` walks it.
        colours: what a label is worth where there are no stars; names are compared without case.

    """
    worth = {name.lower(): value for name, value in colours.items()}
    library = Library()
    taken: set[str] = set()  # sidecars that are a picture's
    for each in find((str(folder),), Selection()):
        taken.update(list_sidecars(each.path))
        _add_picture(library, each, worth)
    for each in find((str(folder),), _SIDECARS):
        if not each.problem and each.path not in taken:  # a problem was told while walking the pictures
            _add_lonely(library, each.path, worth)
    return library


def _add_picture(library: Library, found: Found, worth: Mapping[str, float]) -> None:
    if found.problem:
        library.problems.append(Problem(found.path, found.problem.message))
        return
    try:
        marks, source = read_marks(found.path)
    except (ValueError, OSError) as error:
        library.problems.append(Problem(escape(found.path), str(error)))
        return
    library.labels.update(filter(None, [marks.label]))
    if (score := _score(marks, worth)) is not None:
        scores = {OVERALL: score}
        library.found.append(Labelled(found.path, scores, columns=_columns(marks), source=escape(source)))
    elif marks.label:
        library.worthless[marks.label] += 1


def _add_lonely(library: Library, sidecar: str, worth: Mapping[str, float]) -> None:
    """List the picture of a sidecar that no picture has, if it is rated."""
    try:
        marks = read_marks_of(sidecar)
    except (ValueError, OSError) as error:
        library.problems.append(Problem(escape(sidecar), str(error)))
        return
    score = _score(marks, worth)
    if score is None:
        return
    picture = os.path.splitext(sidecar)[0]  # noqa: PTH122 - bytes stay exact; of x.xmp nobody knows the suffix
    if any(os.path.lexists(f"{picture}{suffix}") for suffix in ("", *formats.SUFFIXES)):
        why = "rates what is passed over: a link, or a file without the suffix of a picture"
        library.problems.append(Problem(escape(sidecar), why))
    else:
        library.missing.append(Labelled(picture, {OVERALL: score}, columns=_columns(marks), source=escape(sidecar)))


def _score(marks: Marks, worth: Mapping[str, float]) -> float | None:
    if marks.rating:  # neither unrated nor absent
        return max(marks.rating, 0.0)
    return worth.get(marks.label.lower()) if marks.label else None


def _columns(marks: Marks) -> dict[str, str]:
    return {"label": marks.label} if marks.label else {}
