"""What the columns of a table of labels mean, told by their names: the picture, the score, votes, dimensions, pairs.

Names are those of common data sets and tools: `image,score`, `file_name` (Hugging Face), `image_name` (HumanBeauty),
`path,status,overall` (what `aes score` writes), `images` (ms-swift).
"""

import base64
import binascii
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import UsageError
from aescli.labels.rows import TableRow
from aescli.labels.values import OVERALL, Labelled, Pair, Problem
from aescli.names import escape

_PICTURE = ("image", "path", "file", "file_name", "filename", "image_name", "image_path", "images", "picture", "photo")
_SCORE = ("score", OVERALL, "rating", "mean", "mos", "mean_score", "label")
_PAIR = ("winner", "loser")
_COUNT = re.compile(r"^(?:h|c|counts?|votes?|level|rating)_?(\d{1,2})$", re.IGNORECASE)
# Numbers beside a score that are no quality of the picture.
_NO_DIMENSION = re.compile(
    r"^(?:raw|id|index|line|width|height|size|year|seed|fold|n_.*|num_.*|.*_(?:sd|std|var|id|count|votes)|timestamp)$",
    re.IGNORECASE,
)
_MOSTLY = 0.9  # of a column's cells are numbers: then the others are mistakes, else it is a column of words
_CONTEXT = ("status", "flags", "error", "error_code", "model", "revision", "backend", "read_out", "path_b64", "dims")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column is what.

    Args:
        picture: the column with the path.
        score: the column that is `overall`; empty where votes are all there is.
        dimensions: names of all scores, `overall` first.
        counts: columns with the votes of each level, lowest first.
        lowest_level: what the first of them stands for.
        pairs: the table is one of comparisons.

    """

    picture: str = ""
    score: str = ""
    dimensions: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    lowest_level: int = 1
    pairs: bool = False


def understand(rows: Sequence[TableRow], file: Path) -> Layout:
    """Tell what the columns of a table are.

    Raises:
        UsageError: there is no column for the picture, or none for its score.

    """
    names = list(dict.fromkeys(name for row in rows[:1000] for name in row.cells))
    by_word = {name.strip().lower(): name for name in reversed(names)}
    if all(word in by_word for word in _PAIR):
        return Layout(pairs=True)
    picture = next((by_word[word] for word in _PICTURE if word in by_word), "")
    listed = escape(", ".join(map(str, names[:12])))
    if not picture:
        raise UsageError(
            f"{escape(file.name)} has no column for the picture: it has {listed}",
            hint="call it image, path, file or file_name; a file of pairs has winner and loser",
        )
    counts, lowest = _find_counts(names)
    score = next((by_word[word] for word in _SCORE if word in by_word), "")
    if not score and not counts:
        raise UsageError(
            f"{escape(file.name)} has no column for the score: it has {listed}", hint="call it score or overall"
        )
    inner = [name for name in names if name not in (picture, score, *counts)]
    dimensions = [name for name in inner if _is_dimension(name, rows)]
    nested = [name for row in rows[:1000] for name in _nested(row.cells)]
    dimensions = [OVERALL, *dict.fromkeys(each for each in (*dimensions, *nested) if each != OVERALL)]
    return Layout(picture, score, tuple(dimensions), counts, lowest)


def read_picture(row: TableRow, layout: Layout) -> Labelled | Problem:
    """Return what one row says, or why it says nothing."""
    try:
        path = decode_path(row.cells, layout.picture)
        _refuse_failed(row.cells)
        counts = _counts(row.cells, layout)
        scores = _scores(row.cells, layout, counts)
    except ValueError as error:
        return Problem(row.source, str(error))
    words = {
        name: str(value)
        for name, value in row.cells.items()
        if name not in (layout.picture, *layout.counts) and isinstance(value, str | int | float) and value != ""
    }
    return Labelled(path, scores, counts, words, row.source)


def decode_path(cells: Mapping[str, Any], column: str) -> str:
    """Return the path that a row names, with the bytes it had when `aes` wrote it.

    Raises:
        ValueError: there is none.

    """
    if isinstance(exact := cells.get("path_b64"), str) and exact:
        try:
            return os.fsdecode(base64.b64decode(exact, validate=True))
        except binascii.Error:
            raise ValueError("path_b64 is no base64") from None
    cell = cells.get(column)
    if isinstance(cell, dict):  # Hugging Face's pictures in Parquet
        cell = cell.get("path")
        if not cell:
            raise ValueError(f"{column} holds the picture itself: only paths are read")
    if isinstance(cell, list):  # ms-swift
        if len(cell) != 1:
            raise ValueError(f"{column} names {len(cell)} pictures, not one")
        cell = cell[0]
    path = _text(cell, column)
    return _unescaped(path) if "escaped_path" in str(cells.get("flags", "")) else path


def read_pair(row: TableRow) -> Pair | Problem:
    """Return one comparison, or why there is none."""
    cells = {name.strip().lower(): value for name, value in row.cells.items()}
    try:
        winner, loser = (_text(cells.get(word), word) for word in _PAIR)
    except ValueError as error:
        return Problem(row.source, str(error))
    if winner == loser:
        return Problem(row.source, f"{escape(winner)} is compared with itself")
    return Pair(winner, loser, row.source)


def _find_counts(names: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Return columns such as h1 to h7, if their numbers leave none out."""
    found = {int(match[1]): name for name in names if (match := _COUNT.match(name))}
    levels = sorted(found)
    if len(levels) < 2 or levels != list(range(levels[0], levels[0] + len(levels))) or levels[0] > 1:
        return (), 1
    return tuple(found[level] for level in levels), levels[0]


def _is_dimension(name: str, rows: Sequence[TableRow]) -> bool:
    if not name or name.lower() in _CONTEXT or _NO_DIMENSION.match(name):
        return False
    cells = [value for row in rows if (value := row.cells.get(name)) is not None and value != ""]
    numbers = sum(_is_number(cell) for cell in cells)
    return numbers > 0 and numbers >= _MOSTLY * len(cells)


def _is_number(cell: object) -> bool:
    try:
        number(cell, "")
    except ValueError:
        return False
    return True


def number(cell: object, name: str) -> float:
    """Return a cell as a finite number.

    Raises:
        ValueError: it is none; the message names the column.

    """
    try:
        found = float("none" if isinstance(cell, bool) or not isinstance(cell, str | int | float) else cell)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is no number but {_shown(cell)}") from None
    if not math.isfinite(found):
        raise ValueError(f"{name} is not finite: {_shown(cell)}")
    return found


def _scores(cells: Mapping[str, Any], layout: Layout, counts: Sequence[float]) -> dict[str, float]:
    scores: dict[str, float] = {}
    value = cells.get(layout.score) if layout.score else None
    if isinstance(value, list):
        return _twelve(value)
    if layout.score and (value is not None and value != ""):
        scores[OVERALL] = number(value, layout.score)
    elif counts:
        total = sum(counts)
        scores[OVERALL] = sum((layout.lowest_level + at) * votes for at, votes in enumerate(counts)) / total
    else:
        raise ValueError(f"it has no {layout.score}")
    nested = _nested(cells)
    for name in layout.dimensions:
        cell = nested.get(name, cells.get(name)) if name != OVERALL else None
        if cell is not None and cell != "":
            scores[name] = number(cell, name)
    return scores


def _twelve(values: Sequence[object]) -> dict[str, float]:
    """Return HumanBeauty-50K's list of twelve scores by their names; the last is the whole."""
    if len(values) != len(HUMAN_DIMENSIONS):
        raise ValueError(f"its score is a list of {len(values)}, HumanBeauty's has {len(HUMAN_DIMENSIONS)}")
    named = {name: number(value, name) for name, value in zip(HUMAN_DIMENSIONS, values, strict=True)}
    return {OVERALL: named["comprehensive"], **named}


def _nested(cells: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the scores of an object of their own, `dims` or `scores`, or of HumanBeauty's list."""
    for name in ("dims", "scores"):
        if isinstance(found := cells.get(name), dict):
            return found
    values = cells.get("score")
    return dict.fromkeys(HUMAN_DIMENSIONS) if isinstance(values, list) else {}


def _counts(cells: Mapping[str, Any], layout: Layout) -> tuple[float, ...]:
    if not layout.counts or all(cells.get(name) in (None, "") for name in layout.counts):
        return ()
    counts = tuple(number(cells.get(name), name) for name in layout.counts)
    if min(counts) < 0 or sum(counts) <= 0:
        raise ValueError("its votes are negative, or there are none")
    return counts


def _text(cell: object, name: str) -> str:
    if not isinstance(cell, str) or not cell.strip():
        raise ValueError(f"{name} is empty" if cell in (None, "") or isinstance(cell, str) else f"{name} is no text")
    if "\0" in cell:
        raise ValueError(f"{name} holds a NUL")
    return cell


def _unescaped(path: str) -> str:
    r"""Take back what `aes score` did to a path with control characters: `\xNN`, `\uNNNN`, `\UNNNNNNNN`, `\\`."""
    pattern = r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|\\)"
    return re.sub(pattern, lambda found: chr(int(next(filter(None, found.groups()), "5c"), 16)), path)


def _refuse_failed(cells: Mapping[str, Any]) -> None:
    if cells.get("status") == "error":
        raise ValueError(f"has no score: {escape(str(cells.get('error') or cells.get('error_code') or 'it failed'))}")


def _shown(cell: object) -> str:
    text = repr(cell)
    return escape(text if len(text) <= 40 else f"{text[:37]}...")
