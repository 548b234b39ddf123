"""Rows of a few flat columns, as a table, CSV, JSON lines or Parquet: plans and long layouts, not scores."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from aescli import names
from aescli.errors import MissingExtra
from aescli.writers.csv import Utf8

Cell = str | float | int | None

_ROWS_IN_GROUP = 10_000
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` is `path`, `text`, `number` or `count`."""

    name: str
    kind: str = "text"


class Sheet(Protocol):
    """Writes rows to the binary stream that it was made with; it never closes that stream."""

    def write(self, cells: Sequence[Cell]) -> None: ...

    def finish(self) -> None:
        """Write what belongs behind the last row."""
        ...


def open_sheet(name: str, stream: BinaryIO, columns: Sequence[Column], *, colour: bool = False) -> Sheet:
    """Return the writer of a format.

    Raises:
        MissingExtra: Parquet without pyarrow.

    """
    match name:
        case "csv":
            return _CsvSheet(stream, columns)
        case "jsonl":
            return _JsonSheet(stream, columns)
        case "parquet":
            return _ParquetSheet(stream, columns)
        case _:
            return _TableSheet(stream, columns, colour)


class _CsvSheet:
    def __init__(self, stream: BinaryIO, columns: Sequence[Column]) -> None:
        self._csv = csv.writer(Utf8(stream), lineterminator="\n")
        self._columns = columns
        self._csv.writerow([column.name for column in columns])

    def write(self, cells: Sequence[Cell]) -> None:
        self._csv.writerow([_csv_cell(*pair) for pair in zip(self._columns, cells, strict=True)])

    def finish(self) -> None:
        pass


class _JsonSheet:
    def __init__(self, stream: BinaryIO, columns: Sequence[Column]) -> None:
        self._stream = stream
        self._columns = columns

    def write(self, cells: Sequence[Cell]) -> None:
        self._stream.write(json.dumps(_record(self._columns, cells), allow_nan=False).encode("ascii") + b"\n")

    def finish(self) -> None:
        pass


class _ParquetSheet:
    def __init__(self, stream: BinaryIO, columns: Sequence[Column]) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise MissingExtra("Parquet", "parquet") from None
        kinds = {"number": pyarrow.float64(), "count": pyarrow.int64()}
        fields = [(column.name, kinds.get(column.kind, pyarrow.string())) for column in columns]
        fields += [(f"{column.name}_b64", pyarrow.string()) for column in columns if column.kind == "path"]
        self._schema = pyarrow.schema(fields)
        self._columns = columns
        self._table_from = pyarrow.Table.from_pylist
        self._file = parquet.ParquetWriter(stream, self._schema)
        self._pending: list[dict[str, Any]] = []

    def write(self, cells: Sequence[Cell]) -> None:
        self._pending.append(_record(self._columns, cells))
        if len(self._pending) >= _ROWS_IN_GROUP:
            self._write_group()

    def finish(self) -> None:
        if self._pending:
            self._write_group()
        self._file.close()

    def _write_group(self) -> None:
        self._file.write_table(self._table_from(self._pending, schema=self._schema))
        self._pending = []


@dataclass(slots=True)
class _TableSheet:
    """Waits for all rows, so that columns are as wide as what is in them."""

    stream: BinaryIO
    columns: Sequence[Column]
    colour: bool
    _rows: list[list[str]] = field(default_factory=list)

    def write(self, cells: Sequence[Cell]) -> None:
        self._rows.append([_table_cell(*pair) for pair in zip(self.columns, cells, strict=True)])

    def finish(self) -> None:
        head = [column.name for column in self.columns]
        widths = [max(map(len, column)) for column in zip(head, *self._rows, strict=True)]
        for at, row in enumerate([head, *self._rows]):
            line = "  ".join(
                cell.rjust(width) if column.kind in ("number", "count") else cell.ljust(width)
                for column, cell, width in zip(self.columns, row, widths, strict=True)
            ).rstrip()
            shown = f"{_DIM}{line}{_PLAIN}" if self.colour and not at else line
            self.stream.write(f"{shown}\n".encode())


def _csv_cell(column: Column, cell: Cell) -> str:
    if cell is None:
        return ""
    match column.kind:
        case "number":
            return f"{cell:.6f}"
        case "path":
            return names.escape_cell(str(cell))
        case _:
            return names.escape_sentence(str(cell))


def _table_cell(column: Column, cell: Cell) -> str:
    if cell is None:
        return ""
    return f"{cell:.2f}" if column.kind == "number" else names.escape(str(cell))


def _record(columns: Sequence[Column], cells: Sequence[Cell]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        record[column.name] = names.escape(cell) if isinstance(cell, str) and column.kind != "path" else cell
        if column.kind == "path" and isinstance(cell, str) and (exact := names.exact_bytes(cell)):
            record |= {column.name: names.escape(cell), f"{column.name}_b64": exact}
    return record
