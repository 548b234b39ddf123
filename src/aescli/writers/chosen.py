"""Rows of score files that were chosen: with every column where the format stays, as rows of scores elsewhere."""

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from aescli.errors import AesError, OutputFailed
from aescli.labels.rows import FORMAT_OF
from aescli.names import escape
from aescli.results import Score
from aescli.score_files import ArrowBatch, Batch, dimensions_of, further_columns, paths_of, row_of
from aescli.writers.base import Writer
from aescli.writers.csv import Utf8
from aescli.writers.opening import open_writer
from aescli.writers.sheet import Column, Sheet, open_sheet

LONG = (Column("path", "path"), Column("model"), Column("metric"), Column("value", "number"))


class ChosenWriter(Protocol):
    """Writes some rows of batches to the binary stream that it was made with."""

    def write(self, batch: Batch, places: Sequence[int]) -> None: ...

    def finish(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Form:
    """How chosen rows are written.

    Args:
        format: `list`, `table`, `csv`, `jsonl` or `parquet`.
        long: a row for each number, in place of one for each picture.
        nul: a list of raw bytes with NUL behind each.
        exact: a list is read by programs only, and holds every name's own bytes.
        colour: on a terminal.

    """

    format: str
    long: bool = False
    nul: bool = False
    exact: bool = False
    colour: bool = False


def open_chosen(form: Form, stream: BinaryIO, files: Sequence[Path], first: Batch) -> ChosenWriter:
    """Return the writer for a form.

    Args:
        form: see there.
        stream: that is written to.
        files: whose rows are to come; rows keep every column where all are of the form's format.
        first: batch that will be written.

    Raises:
        MissingExtra: Parquet without pyarrow.

    """
    if form.format == "list":
        return _ListWriter(stream, form)
    if form.long:
        return _LongWriter(open_sheet(form.format, stream, LONG, colour=form.colour))
    if {FORMAT_OF[file.suffix.lower()] for file in files} == {form.format}:
        match form.format:
            case "csv":
                return _CsvCopier(stream, first.names)
            case "jsonl":
                return _JsonCopier(stream)
            case "parquet":
                return _ParquetCopier(stream, first)
    dimensions = dimensions_of(first.names)
    return _RowWriter(open_writer(form.format, stream, dimensions, colour=form.colour), dimensions)


def lost_columns(form: Form, files: Sequence[Path], names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns beside those of scores that the form has no place for."""
    if form.format == "list" or {FORMAT_OF[file.suffix.lower()] for file in files} == {form.format}:
        return ()
    return further_columns(names)


@dataclass(frozen=True, slots=True)
class _ListWriter:
    stream: BinaryIO
    form: Form

    def write(self, batch: Batch, places: Sequence[int]) -> None:
        for path in paths_of(batch, places):
            self.stream.write(self._line(path))

    def finish(self) -> None:
        pass

    def _line(self, path: str) -> bytes:
        name = os.fsencode(path)
        if self.form.nul:
            return name + b"\0"
        if not self.form.exact:
            return escape(path).encode() + b"\n"
        if b"\n" in name or name.endswith(b"\r"):
            raise OutputFailed(f"'{escape(path)}' cannot be a line of a list", hint="-0 separates names with NUL")
        return name + b"\n"


@dataclass(frozen=True, slots=True)
class _LongWriter:
    sheet: Sheet

    def write(self, batch: Batch, places: Sequence[int]) -> None:
        dimensions = dimensions_of(batch.names)
        for record in batch.records(places):
            row = _score(record, dimensions)
            for metric, value in {"overall": row.overall, **row.dims, "raw": row.raw}.items():
                self.sheet.write([row.path, row.model, metric, value])

    def finish(self) -> None:
        self.sheet.finish()


@dataclass(frozen=True, slots=True)
class _RowWriter:
    writer: Writer
    dimensions: tuple[str, ...]

    def write(self, batch: Batch, places: Sequence[int]) -> None:
        for record in batch.records(places):
            row = _score(record, self.dimensions)
            if missing := set(self.dimensions) - set(row.dims):
                raise AesError(
                    f"{escape(row.path)} has no {', '.join(sorted(missing))}, which other rows have",
                    hint="write the format that is read: it keeps rows as they are",
                )
            self.writer.write(row)

    def finish(self) -> None:
        self.writer.finish()


class _CsvCopier:
    def __init__(self, stream: BinaryIO, names: Sequence[str]) -> None:
        self._csv = csv.writer(Utf8(stream), lineterminator="\n")
        self._names = list(names)
        self._csv.writerow(self._names)

    def write(self, batch: Batch, places: Sequence[int]) -> None:
        _refuse_others(batch.names, self._names)
        self._csv.writerows(record.values() for record in batch.records(places))

    def finish(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _JsonCopier:
    stream: BinaryIO

    def write(self, batch: Batch, places: Sequence[int]) -> None:
        for record in batch.records(places):
            self.stream.write(json.dumps(record).encode("ascii") + b"\n")

    def finish(self) -> None:
        pass


class _ParquetCopier:
    def __init__(self, stream: BinaryIO, first: Batch) -> None:
        from pyarrow import parquet

        self._schema = _arrow(first).schema
        self._file = parquet.ParquetWriter(stream, self._schema)

    def write(self, batch: Batch, places: Sequence[int]) -> None:
        found = _arrow(batch)
        _refuse_others(found.schema.names, self._schema.names)
        self._file.write_batch(found.take(places).cast(self._schema))

    def finish(self) -> None:
        self._file.close()


def _arrow(batch: Batch) -> Any:
    if not isinstance(batch, ArrowBatch):
        raise TypeError("only a batch of Arrow is copied to Parquet")
    return batch.batch


def _score(record: dict[str, Any], dimensions: Sequence[str]) -> Score:
    try:
        row = row_of(record, dimensions)
    except ValueError as error:
        raise AesError(f"a row of scores cannot be read: {error}") from error
    if not isinstance(row, Score):
        raise TypeError("what is an error was not chosen")
    return row


def _refuse_others(names: Sequence[str], first: Sequence[str]) -> None:
    if list(names) != list(first):
        different = escape(", ".join(sorted(set(names) ^ set(first))) or "their order")
        raise AesError(f"the files do not have the same columns: {different}", hint="filter them one by one")
