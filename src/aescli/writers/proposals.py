"""What `aes cull` proposes: rows of scores with a verdict, so that `aes filter` and `aes report` read them too."""

from collections.abc import Sequence
from typing import BinaryIO

from aescli.culling.proposing import Proposal
from aescli.names import is_unsafe
from aescli.results import Failure, Score
from aescli.writers.csv import ESCAPED
from aescli.writers.sheet import Cell, Column, open_sheet

_SHORT = (
    Column("verdict"), Column("group", "count"), Column("overall", "number"), Column("path", "path"), Column("reason"),
)  # fmt: skip


def write_proposals(proposals: Sequence[Proposal], name: str, stream: BinaryIO, *, colour: bool = False) -> None:
    """Write them in a format; a table has the frames of a group beside each other, and fewer columns."""
    if name == "table":
        sheet = open_sheet(name, stream, _SHORT, colour=colour)
        for each in sorted(proposals, key=lambda each: (each.group or 0, each.place or 0)):
            overall = each.row.overall if isinstance(each.row, Score) else None
            sheet.write([each.verdict, each.group, overall, each.row.path, each.reason])
        sheet.finish()
        return
    dimensions = next((tuple(each.row.dims) for each in proposals if isinstance(each.row, Score)), ())
    sheet = open_sheet(name, stream, _columns(dimensions))
    for each in proposals:
        sheet.write(_cells(each, dimensions))
    sheet.finish()


def _columns(dimensions: Sequence[str]) -> list[Column]:
    numbers = [Column(name, "number") for name in ("overall", *dimensions, "raw")]
    words = [Column(name) for name in ("model", "flags", "error_code", "error", "verdict")]
    counts = [Column(name, "count") for name in ("group", "place", "size")]
    return [Column("path", "path"), Column("status"), *numbers, *words, *counts, Column("reason")]


def _cells(each: Proposal, dimensions: Sequence[str]) -> list[Cell]:
    row = each.row
    flags = " ".join(sorted({*row.flags, ESCAPED}) if is_unsafe(row.path) else row.flags)
    own: list[Cell] = [each.verdict, each.group, each.place, each.size, each.reason]
    if isinstance(row, Failure):
        nothing: list[Cell] = [None] * (len(dimensions) + 2)
        return [row.path, "error", *nothing, row.model, flags, row.code, row.message, *own]
    numbers: list[Cell] = [row.overall, *(row.dims.get(name) for name in dimensions), row.raw]
    return [row.path, "ok", *numbers, row.model, flags, None, None, *own]
