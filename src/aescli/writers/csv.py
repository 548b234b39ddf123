"""CSV: the columns of the contract, one line for each picture, no cell that a spreadsheet takes for a formula."""

import csv
from collections.abc import Sequence
from typing import BinaryIO

from aescli import names
from aescli.results import Failure, Row

_SMALL = 1e-3

ESCAPED = "escaped_path"


class CsvWriter:
    """Writes UTF-8, lines end with LF; `dimensions` are the columns between overall and raw."""

    def __init__(self, stream: BinaryIO, dimensions: Sequence[str]) -> None:
        self._csv = csv.writer(Utf8(stream), lineterminator="\n")
        self._dimensions = dimensions
        self._csv.writerow(
            [
                "path",
                "status",
                "overall",
                *dimensions,
                "raw",
                "model",
                "flags",
                "error_code",
                "error",
            ]
        )

    def write(self, row: Row) -> None:
        flags = sorted({*row.flags, ESCAPED}) if names.is_unsafe(row.path) else row.flags
        path, model, listed = (
            names.escape_cell(row.path),
            names.escape_sentence(row.model),
            " ".join(flags),
        )
        if isinstance(row, Failure):
            empty = [""] * (len(self._dimensions) + 2)
            error = names.escape_sentence(row.message)
            self._csv.writerow([path, "error", *empty, model, listed, row.code, error])
            return
        numbers = [
            _number(row.overall),
            *(_number(row.dims[name]) for name in self._dimensions),
            _own_number(row.raw),
        ]
        self._csv.writerow([path, "ok", *numbers, model, listed, "", ""])

    def finish(self) -> None:
        pass


class Utf8:
    """What `csv` needs of a text file, over a binary one that stays its owner's to close."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text.encode())


def _number(value: float) -> str:
    return f"{value:.6f}"


def _own_number(value: float) -> str:
    """Write a model's own number, which may be small whatever it means: not as nothing."""
    return f"{value:.6e}" if 0 < abs(value) < _SMALL else _number(value)
