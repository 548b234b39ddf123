"""What the columns of a table of labels mean, told by their names: the picture, the score, votes, dimensions, pairs.

Names are those of common data sets and tools: `image,score`, `file_name` (Hugging Face), `image_name` (HumanBeauty),
`path,status,overall` (what `aes score` writes), `images` (ms-swift).
"""

import base64
import binascii
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import UsageError
from aescli.labels.cells import MOSTLY, is_empty, is_number, number, shown, text, without_point
from aescli.labels.rows import TableRow, find_unclear_comma
from aescli.labels.values import OVERALL, Labelled, Pair, Problem
from aescli.labels.votes import SURE, are_counts, find_counts, find_gap, mean_vote, read_counts
from aescli.names import escape

_PICTURE = ("image", "path", "file", "file_name", "filename", "image_name", "image_path", "images", "picture", "photo")
_SCORE = ("score", OVERALL, "rating", "mean", "mos", "mean_score", "label")
_CLASS = "label"  # beside a score it may be a class; every other word of _SCORE means the whole score
_PAIR = ("winner", "loser")
_TIES = ("tie", "draw")  # columns of comparisons, and what their cells say where nobody won and where one did
_YES = ("1", "true", "yes", "y", "t", "x", "tie", "tied", "draw", "equal")
_NO = ("0", "false", "no", "n", "f")
_HALF = 0.5  # of cells are numbers: then a column was meant to hold some
# Numbers beside a score that are no quality of the picture.
_NO_DIMENSION = re.compile(
    r"^(?:raw|id|index|line|rank|width|height|size|year|seed|fold|n|n_.*|num_.*|raters|(?:.*_)?(?:sd|std|var|count|votes)"
    r"|.*_id|timestamp"
    r"|challenge|tag_\d)$",  # of AVA
    re.IGNORECASE,
)
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
        notes: on columns that look like something and are not taken for it.

    """

    picture: str = ""
    score: str = ""
    dimensions: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    lowest_level: int = 1
    pairs: bool = False
    notes: tuple[str, ...] = ()


def understand(rows: Sequence[TableRow], file: Path) -> Layout:
    """Tell what the columns of a table are.

    Raises:
        UsageError: there is no column for the picture, or none for its score, or two that differ; or columns may be
            votes or ratings, and nothing says which.

    """
    names = list(dict.fromkeys(name for row in rows for name in row.cells))
    _refuse_twins(names, file)
    words = [name.strip().lower() for name in names]
    if all(word in words for word in _PAIR):
        others = [name for name, word in zip(names, words, strict=True) if word not in (*_PAIR, *_TIES)]
        note = (f"of comparisons {_list(others)} counts for --group-by of aes train alone",) if others else ()
        return Layout(pairs=True, notes=note)
    picture = find_picture(names)
    if not picture:
        raise UsageError(
            f"{escape(file.name)} has no column for the picture: it has {_list(names)}",
            hint="call it image, path, file or file_name; a file of pairs has winner and loser",
        )
    score, counts, lowest = _find_score(names, rows, file)
    dimensions, notes = _find_dimensions([name for name in names if name not in (picture, score, *counts)], rows)
    return Layout(picture, score, dimensions, counts, lowest, notes=_note_taken(score, counts) + notes)


def _find_score(names: Sequence[str], rows: Sequence[TableRow], file: Path) -> tuple[str, tuple[str, ...], int]:
    """Return the column of the score, those of votes, and what the first of these stands for; one of both is empty."""
    by_word = {name.strip().lower(): name for name in reversed(names)}
    counts, lowest = find_counts(names)
    _refuse_rivals([by_word[word] for word in _SCORE if word in by_word and word != _CLASS], rows, file)
    score = next((by_word[word] for word in _SCORE if word in by_word), "")
    if counts and not are_counts(rows, counts, lowest, score):
        if not score:
            raise UsageError(
                f"{escape(file.name)}: {counts[0]} to {counts[-1]} may be votes for each level, or ratings by "
                f"{len(counts)} people",
                hint=f"call votes count1 to count{len(counts)}; of people's ratings give the mean as score",
            )
        counts = ()
    if not score and not counts:
        gap = find_gap(names)
        raise UsageError(
            f"{escape(file.name)} has no column for the score: it has {_list(names)}",
            hint=f"there are votes, but no {gap}" if gap else "call it score or overall",
        )
    if score and (unclear := find_unclear_comma(rows, score)):
        raise UsageError(
            f"{escape(file.name)}: {escape(score)} has {' and '.join(unclear)}: nobody can say whether that comma is a "
            "point or parts thousands",
            hint="write numbers with a point, or without parting thousands",
        )
    return score, counts, lowest


def _find_dimensions(names: Sequence[str], rows: Sequence[TableRow]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return names of scores, `overall` first, and notes on columns of numbers that are none."""
    unsure = [name for name in names if find_unclear_comma(rows, name)]
    shares = {name: _share_of_numbers(name, rows) for name in names if _may_be_dimension(name) and name not in unsure}
    mostly = [name for name, share in shares.items() if share >= MOSTLY]
    nested = [name for row in rows for name in _nested(row.cells)]
    return (OVERALL, *dict.fromkeys(each for each in (*mostly, *nested) if each != OVERALL)), (
        *(
            f"{escape(name)} is no dimension: only {share:.0%} of its cells are numbers"
            for name, share in shares.items()
            if _HALF <= share < MOSTLY
        ),
        *(f"{escape(name)} is no dimension: its commas may part thousands" for name in unsure),
    )


def _list(names: Sequence[str]) -> str:
    return escape(", ".join(map(str, names[:12])))


def _note_taken(score: str, counts: Sequence[str]) -> tuple[str, ...]:
    """Say what a table's words leave open and was taken for scores or votes."""
    if score.strip().lower() == _CLASS:
        return (f"{escape(score)} is taken for the score; a column score or overall goes before it",)
    if counts and not score and not counts[0].lower().startswith(SURE):
        return (f"{escape(counts[0])} to {escape(counts[-1])} are taken for the votes of each level",)
    return ()


def find_picture(names: Sequence[str]) -> str:
    """Return the column of the picture; empty where none is called so."""
    by_word = {name.strip().lower(): name for name in reversed(names)}
    return next((by_word[word] for word in _PICTURE if word in by_word), "")


def read_picture(row: TableRow, layout: Layout) -> Labelled | Problem:
    """Return what one row says, or why it says nothing."""
    try:
        path = decode_path(row.cells, layout.picture)
        _refuse_failed(row.cells)
        counts = _votes(row.cells, layout)
        scores = _overall(row.cells, layout, counts)
        _refuse_other(_nested(row.cells).get(OVERALL), scores[OVERALL], OVERALL)
    except ValueError as error:
        return Problem(row.source, str(error))
    others, bad = _others(row.cells, layout)
    words = _words(row.cells, (layout.picture, *layout.counts))
    if is_empty(row.cells.get(layout.score)):
        words.pop(layout.score, None)
    return Labelled(path, {**scores, **others}, counts, words, row.source, bad)


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
    path = _path_of(cells.get(column), column)
    return _unescaped(path) if "escaped_path" in str(cells.get("flags", "")) else _file_of(path)


def read_pair(row: TableRow) -> Pair | Problem:
    """Return one comparison, be it a tie, or why there is none."""
    cells = {name.strip().lower(): value for name, value in row.cells.items()}
    try:
        winner, loser = (_file_of(_path_of(cells.get(word), word)) for word in _PAIR)
        tied = next((word for word in _TIES if _says_tie(cells.get(word), word)), "")
    except ValueError as error:
        return Problem(row.source, str(error))
    named = [name for name in row.cells if name.strip().lower() in (*_PAIR, *_TIES)]
    return Pair(winner, loser, row.source, _words(row.cells, named), tied)


def _says_tie(cell: object, name: str) -> bool:
    """Tell what a cell of ties says.

    Raises:
        ValueError: neither yes nor no; the message names the column.

    """
    said = "" if is_empty(cell) else without_point(str(cell).strip().lower())
    if said in _YES:
        return True
    if said and said not in _NO:
        raise ValueError(f"{name} is neither yes nor no but {shown(cell)}")
    return False


def _words(cells: Mapping[str, Any], without: Collection[str]) -> dict[str, str]:
    """Return cells that hold one value each, or none, as text."""
    return {
        name: "" if value is None else str(value)
        for name, value in cells.items()
        if name not in without and isinstance(value, str | int | float | Decimal | date | None)
    }


def _path_of(cell: object, column: str) -> str:
    """Return the path in a cell, be it by itself, Hugging Face's `bytes` and `path`, or the one of a list (ms-swift).

    Raises:
        ValueError: there is none.

    """
    if isinstance(cell, dict):
        cell = cell.get("path")
        if not cell:
            raise ValueError(f"{column} holds neither a picture nor its path")
    if isinstance(cell, list):
        if len(cell) != 1:
            raise ValueError(f"{column} names {len(cell)} pictures, not one")
        cell = cell[0]
    return text(cell, column)


def _file_of(path: str) -> str:
    """Return the path of a `file://` address of this machine, and any other path as it is."""
    found = re.fullmatch(r"file://(?:localhost)?(/.*)", path, re.IGNORECASE | re.DOTALL)
    return os.fsdecode(unquote_to_bytes(os.fsencode(found[1]))) if found else path


def _refuse_twins(names: Sequence[str], file: Path) -> None:
    """Refuse two columns of one meaning whose names differ in case or blanks alone."""
    first: dict[str, str] = {}
    for name in names:
        word = name.strip().lower()
        if word in (*_PICTURE, *_SCORE, *_PAIR, *_TIES) and first.setdefault(word, name) != name:
            listed = escape(f"{first[word]} and {name}")
            raise UsageError(f"{escape(file.name)} has the columns {listed}", hint="rename one of them, or drop it")


def _refuse_rivals(columns: Sequence[str], rows: Sequence[TableRow], file: Path) -> None:
    """Refuse two columns that could both be the score, unless they say the same wherever both say something."""
    columns = [name for name in columns if len(columns) > 1 and _share_of_numbers(name, rows) >= MOSTLY]
    for name in columns[1:]:
        for row in rows:
            one, other = row.cells.get(columns[0]), row.cells.get(name)
            if is_number(one) and is_number(other) and number(one, name) != number(other, name):
                raise UsageError(
                    f"{escape(file.name)} has two columns for the score, {escape(f'{columns[0]} and {name}')}, and "
                    f"they differ, first at {row.source}",
                    hint="rename the one that is not the score, or drop it",
                )


def _may_be_dimension(name: str) -> bool:
    return bool(name) and name.lower() not in _CONTEXT and not _NO_DIMENSION.match(name)


def _share_of_numbers(name: str, rows: Sequence[TableRow]) -> float:
    """Return how many of a column's cells that say something are numbers, as a share."""
    cells = [value for row in rows if not is_empty(value := row.cells.get(name))]
    return sum(map(is_number, cells)) / len(cells) if cells else 0.0


def _votes(cells: Mapping[str, Any], layout: Layout) -> tuple[float, ...]:
    """Return the votes of a row; none where some are missing or none at all and there is a score beside them."""
    try:
        return read_counts(cells, layout.counts)
    except ValueError:
        if layout.score and not is_empty(cells.get(layout.score)):
            return ()
        raise


def _overall(cells: Mapping[str, Any], layout: Layout, counts: Sequence[float]) -> dict[str, float]:
    """Return the score of a row; of HumanBeauty's list all twelve, since they are one cell."""
    value = cells.get(layout.score) if layout.score else None
    if isinstance(value, list):
        return _twelve(value)
    if not is_empty(value):
        return {OVERALL: number(value, layout.score)}
    if counts:
        return {OVERALL: mean_vote(counts, layout.lowest_level)}
    raise ValueError(f"it has no {layout.score}" if layout.score else "it has no votes")


def _others(cells: Mapping[str, Any], layout: Layout) -> tuple[dict[str, float], dict[str, str]]:
    """Return the scores of the other dimensions, and what is wrong with cells that hold none."""
    scores: dict[str, float] = {}
    bad: dict[str, str] = {}
    nested = _nested(cells)
    for name in layout.dimensions:
        cell = nested.get(name, cells.get(name)) if name != OVERALL else None
        if not is_empty(cell):
            try:
                scores[name] = number(cell, name)
                _refuse_other(cells.get(name), scores[name], name)
            except ValueError as error:
                scores.pop(name, None)
                bad[name] = str(error)
    return scores, bad


def _refuse_other(cell: object, value: float, name: str) -> None:
    """Raise ValueError where a row says another number of the same name elsewhere."""
    if is_number(cell) and number(cell, name) != value:
        raise ValueError(f"{name} is {value:g}, and elsewhere in the row {shown(cell)}")


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


def _unescaped(path: str) -> str:
    r"""Take back what `aes score` did to a path with control characters: `\xNN`, `\uNNNN`, `\UNNNNNNNN`, `\\`."""
    pattern = r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|\\)"
    return re.sub(pattern, lambda found: chr(int(next(filter(None, found.groups()), "5c"), 16)), path)


def _refuse_failed(cells: Mapping[str, Any]) -> None:
    if cells.get("status") == "error":
        raise ValueError(f"has no score: {escape(str(cells.get('error') or cells.get('error_code') or 'it failed'))}")
