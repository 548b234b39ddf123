"""The pictures of a shoot with their scores: scored now, or read from what `aes score` wrote."""

import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aescli.api import score_images
from aescli.cli import console, options
from aescli.errors import NothingMatched, StoreFailed, UsageError
from aescli.home import aes_home
from aescli.images.packed import is_packed
from aescli.images.picture import take_over_pillow
from aescli.names import escape
from aescli.remote import is_remote, shown
from aescli.results import Row, Score
from aescli.score_files import KINDS, refuse_several

if TYPE_CHECKING:
    from aescli.labels.values import Problem

ScoresOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", rich_help_panel=options.INPUTS, help="Take scores from what aes score wrote, and score nothing."),
]  # fmt: skip


def gather(
    paths: list[str] | None, scores: Path | None, model: str, max_pixels: int, dims: str = "overall"
) -> list[Row]:
    """Return a row for each picture of a shoot, of one model; one that is named twice has one.

    Raises:
        UsageError: neither pictures nor a file are named, or both; or the file holds scores of several models.
        NothingMatched: there is no picture with a score.

    """
    take_over_pillow()
    if paths and scores:
        raise UsageError("name the pictures or --scores FILE, not both", hint="a file of scores names its pictures")
    if not paths and not scores:
        raise UsageError("no picture is named", hint="a folder of pictures, or --scores FILE")
    for word in paths or []:
        if is_remote(word) or is_packed(word):
            raise UsageError(
                f"{escape(shown(word))} is no file or folder of this machine, and beside it nothing is written",
                hint="aes score takes it; aes filter and aes report take its scores",
            )
    rows = _once(_read(scores) if scores else _score(paths or [], model, max_pixels, dims))
    scored = [row for row in rows if isinstance(row, Score)]
    if not scored:
        raise NothingMatched(f"none of {len(rows)} pictures has a score")
    for column in KINDS:
        refuse_several(column, {getattr(row, column) for row in scored} - {""})
    return rows


def _once(rows: list[Row]) -> list[Row]:
    """Return the first row of each file: another spelling of its name makes no copy of it."""
    found: dict[str, Row] = {}
    for row in rows:
        folder, name = os.path.split(os.path.abspath(row.path))  # noqa: PTH100 - bytes stay exact
        found.setdefault(os.path.join(os.path.realpath(folder), name), row)  # noqa: PTH118
    if len(found) < len(rows):
        console.print_note(f"note: {len(rows) - len(found)} pictures are named twice, and counted once")
    return list(found.values())


def _score(paths: list[str], model: str, max_pixels: int, dims: str) -> list[Row]:
    store = aes_home() / "scores.db"
    try:
        return _collect(score_images(paths, model=model, dims=dims, store=store, max_pixels=max_pixels))
    except StoreFailed as error:
        console.print_note(f"note: rows are not kept: {error.message}")
        return _collect(score_images(paths, model=model, dims=dims, max_pixels=max_pixels))


def _collect(rows: Generator[Row]) -> list[Row]:
    found: list[Row] = []
    with console.Bar(None) as bar, closing(rows):
        for row in rows:
            bar.advance(row)
            found.append(row)
    return found


def _read(file: Path) -> list[Row]:
    from aescli.score_files import find_files, locate, read_scores

    problems: list[Problem] = []
    rows = [replace(row, path=locate(row.path, file)) for row in read_scores(find_files([file]), problems.append)]
    for problem in problems:
        console.print_note(f"could not be read: {problem}")
    return rows
