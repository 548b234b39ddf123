"""Files of scores as the columns of a page to look at."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aescli.errors import NothingMatched
from aescli.images.named import find_archive
from aescli.labels.values import Problem
from aescli.names import escape
from aescli.remote import is_remote
from aescli.results import Failure, Row
from aescli.score_files import Report, dimensions_of, further_columns, locate, read_batches, row_of

GROUP = "group"  # the column of `aes cull` that pictures are grouped by at first

_MOST_WORDS = 1000  # different ones in a column, for it to be worth grouping by


@dataclass(frozen=True, slots=True)
class Gallery:
    """What the page shows: columns of equal length, one place for each picture.

    Args:
        title: of the page.
        paths: as they are shown.
        links: of the pictures themselves, relative to the page and percent-encoded; empty for what is in an
            archive or elsewhere.
        small: names of the thumbnails; empty where there is none.
        thumbs: the folder of the thumbnails, relative and percent-encoded, with a slash; empty for none at all.
        errors: why a picture has no score; empty where it has one.
        notes: flags.
        numbers: columns to sort and filter by; None where there is no number.
        scores: which of them are out of 10.
        words: columns to group by; a picture with an empty word belongs to no group.
        group: the one that pictures are grouped by at first; empty for none.

    """

    title: str
    paths: Sequence[str]
    links: Sequence[str]
    small: Sequence[str]
    thumbs: str
    errors: Sequence[str]
    notes: Sequence[str]
    numbers: Mapping[str, Sequence[float | None]]
    scores: Sequence[str]
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One row: where its picture is, and its further cells."""

    row: Row
    place: str
    cells: Mapping[str, Any]


def read_shown(files: Sequence[Path], report: Report) -> list[Shown]:
    """Return the rows of files of scores.

    Raises:
        NothingMatched: there is none.
        UsageError, AesError: as `score_files.read_batches` and `locate`.

    """
    found = [shown for file in files for shown in _read(file, report)]
    if not found:
        raise NothingMatched("there are no scores to show", hint="aes score ./photos -o scores.csv")
    return found


def lay_out(shown: Sequence[Shown], page: Path, small: Sequence[str], thumbs: str, title: str) -> Gallery:
    """Return the columns of a page.

    Args:
        shown: the rows.
        page: where it will be, which links are relative to.
        small: the name of each row's thumbnail, or nothing.
        thumbs: the folder of the thumbnails beside the page; empty for none.
        title: of the page.

    """
    rows = [each.row for each in shown]
    scored = [None if isinstance(row, Failure) else row for row in rows]
    dimensions = list(dict.fromkeys(name for row in scored if row for name in row.dims))
    numbers: dict[str, Sequence[float | None]] = {
        "overall": [row.overall if row else None for row in scored],
        **{name: [row.dims.get(name) if row else None for row in scored] for name in dimensions},
        "raw": [row.raw if row else None for row in scored],
    }
    words = {"folder": [os.path.dirname(row.path) for row in rows], "model": [row.model for row in rows]}  # noqa: PTH120
    for name in dict.fromkeys(name for each in shown for name in each.cells):
        cells = [_text(each.cells.get(name)) for each in shown]
        values = [_number(cell) for cell in cells]
        if name != GROUP and all(value is not None or not cell for value, cell in zip(values, cells, strict=True)):
            numbers[name] = values
        elif len(set(cells)) <= _MOST_WORDS or name == GROUP:
            words[name] = cells
    words = {name: cells for name, cells in words.items() if len(set(cells)) > 1}
    here = os.path.dirname(os.path.abspath(page))  # noqa: PTH100, PTH120
    return Gallery(
        title=title,
        paths=[row.path for row in rows],
        links=[_link(each.place, here) for each in shown],
        small=small,
        thumbs=f"{quote(os.fsencode(thumbs))}/" if thumbs else "",
        errors=[f"{row.code}: {row.message}" if isinstance(row, Failure) else "" for row in rows],
        notes=[" ".join(row.flags) for row in rows],
        numbers=numbers,
        scores=["overall", *dimensions],
        words=words,
        group=GROUP if GROUP in words else "",
    )


def _read(file: Path, report: Report) -> Iterator[Shown]:
    for batch in read_batches(file, report):
        dimensions, further = dimensions_of(batch.names), further_columns(batch.names)
        for record in batch.records(range(len(batch))):
            try:
                row = row_of(record, dimensions)
            except ValueError as error:
                report(Problem(escape(file.name), str(error)))
                continue
            yield Shown(row, locate(row.path, file), {name: record.get(name) for name in further})


def _link(place: str, here: str) -> str:
    """Return a relative reference to a file, whatever the bytes of its name; empty where a picture is no file."""
    if is_remote(place) or find_archive(place):
        return ""
    return quote(os.fsencode(os.path.relpath(place, here)))


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
