"""Rows of a table, whatever its format: CSV, TSV, Parquet or JSON lines become the same named cells.

Bytes that are not UTF-8 survive as surrogates, since they may be the bytes of a file name. A row that cannot be read is
a problem, and the rows after it are read all the same.
"""

import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from aescli.errors import AesError, MissingExtra, UsageError, first_line
from aescli.labels.cells import is_number
from aescli.labels.values import Problem
from aescli.names import escape

if TYPE_CHECKING:
    from pyarrow import RecordBatch

FORMAT_OF = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
SUFFIXES = tuple(FORMAT_OF)

_LARGEST_FILE = 1 << 30  # bytes: AVA's table has 19 MB
_DELIMITER = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_LARGEST_CELL = 1 << 20  # characters
_MOST_ROWS = 20_000_000  # of a Parquet file, which says so before it is read

_EITHER = re.compile(r"-?[1-9]\d{0,2},\d{3}")  # a comma that is a point, or parts thousands
_LARGE = re.compile(r"-?([1-9]\d{2,}|\d+\.\d+)")  # numbers that speak for thousands


@dataclass(frozen=True, slots=True)
class TableRow:
    """The cells of one row by the names of their columns, and where it stands.

    Args:
        cells: by column.
        source: file and line.
        commas: cells as they are written, where a comma was taken for a point.

    """

    cells: Mapping[str, Any]
    source: str
    commas: Mapping[str, str] = field(default_factory=dict)


def read_rows(file: Path) -> Iterator[TableRow | Problem]:
    """Yield the rows of a table.

    Raises:
        UsageError: the suffix is of no known format.
        AesError: the file cannot be read.
        MissingExtra: Parquet needs pyarrow.

    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{escape(str(file))} is no table of labels", hint=f"known are {', '.join(SUFFIXES)}, AVA.txt")
    if suffix == ".parquet":
        return _read_parquet(file)
    return _read_text(file, suffix)


def with_microseconds(batch: "RecordBatch") -> "RecordBatch":
    """Return a batch of Arrow whose times of nanoseconds are ones of microseconds: Python's have no more."""
    import pyarrow as arrow

    coarser = {arrow.duration("ns"): arrow.duration("us"), arrow.time64("ns"): arrow.time64("us")}
    for at, column in enumerate(batch.schema):
        is_moment = arrow.types.is_timestamp(column.type) and column.type.unit == "ns"
        kind = arrow.timestamp("us", column.type.tz) if is_moment else coarser.get(column.type)
        if kind:
            batch = batch.set_column(at, column.name, batch.column(at).cast(kind, safe=False))
    return batch


def read_text(file: Path) -> str:
    """Return a file's text: UTF-8 with or without a mark, or UTF-16 with one.

    Raises:
        AesError: it cannot be read, is too large, or is no UTF-16 although it says so.

    """
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise AesError(f"{escape(str(file))} has more than {_LARGEST_FILE >> 30} GB: no table of labels")
        data = file.read_bytes()
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
    except UnicodeDecodeError as error:
        raise AesError(f"{escape(str(file))} is no UTF-16: {error.reason}", hint="save it as UTF-8") from error
    except OSError as error:
        raise AesError(f"{escape(str(file))} cannot be read: {error.strerror}") from error
    return data.decode("utf-8-sig", errors="surrogateescape")


def _read_text(file: Path, suffix: str) -> Iterator[TableRow | Problem]:
    """Read a file of text, a row in memory at a time: a table of a million scores is large."""
    try:
        is_json = suffix in (".jsonl", ".ndjson")
        with file.open("rb") as stream, _as_text(stream, "\n" if is_json else "") as text:
            if is_json:
                yield from _read_json_lines(text, file.name)
            else:
                yield from _read_csv(text, file.name, "\t" if suffix == ".tsv" else None)
    except UnicodeDecodeError as error:
        raise AesError(f"{escape(str(file))} is no UTF-16: {error.reason}", hint="save it as UTF-8") from error
    except OSError as error:
        raise AesError(f"{escape(str(file))} cannot be read: {error.strerror}") from error


def _as_text(stream: io.BufferedReader, newline: str) -> TextIO:
    head = stream.peek(4)[:4]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") and head != b"\xff\xfe\0\0":
        return io.TextIOWrapper(stream, "utf-16", newline=newline)
    if b"\0" in head:  # UTF-32, or UTF-16 without a mark; or no text at all
        raise AesError(f"{escape(str(stream.name))} is no UTF-8, and no UTF-16 with a mark", hint="save it as UTF-8")
    return io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline=newline)


def _read_csv(stream: TextIO, name: str, delimiter: str | None) -> Iterator[TableRow | Problem]:
    head = _read_head(stream)
    if said := _DELIMITER.fullmatch(head[-1]):  # as spreadsheets write it for themselves
        delimiter, head[-1] = said[1], "\n"
        head += _read_head(stream)
    delimiter = delimiter or max(",;\t|", key=head[-1].count)
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(itertools.chain(head, stream), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Problem(f"{name}:{line}", f"no row of a table: {error}{_lost(line, reader.line_num)}")
            continue
        if not any(cells) or (header is None and not any(map(str.strip, cells))):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            _refuse_twins(header, name)
        elif fault := _find_fault(cells, len(header), delimiter):
            yield Problem(f"{name}:{line}", f"{fault}{_lost(line, reader.line_num)}")
        else:
            row = dict(zip(header, cells, strict=True))
            # Tables parted by semicolons come from places where a comma stands in numbers.
            points = {column: _with_point(cell) for column, cell in row.items()} if delimiter == ";" else row
            commas = {column: cell for column, cell in row.items() if points[column] != cell}
            yield TableRow(points, f"{name}:{line}", commas)


def _read_head(stream: TextIO) -> list[str]:
    """Return the lines up to the first that says something; an empty one says nothing of delimiters."""
    head = [stream.readline(_LARGEST_CELL)]
    while head[-1] and not head[-1].strip():
        head.append(stream.readline(_LARGEST_CELL))
    return head


def _find_fault(cells: Sequence[str], width: int, delimiter: str) -> str | None:
    if len(cells) != width:
        return f"{len(cells)} cells, the header has {width}"
    if any(_holds_row(cell, width, delimiter) for cell in cells):
        return "one cell holds a whole row: a quote is one too many"
    return None


def _holds_row(cell: str, width: int, delimiter: str) -> bool:
    """Tell rows that a stray quote swallowed from a note of several lines: one of them has a number among its cells.

    Of two columns any line with one delimiter may be a row: `winner,loser` has no number.
    """
    lines = [line.split(delimiter) for line in cell.splitlines()]
    rows = [cells for cells in lines if len(cells) == width] if len(lines) > 1 else []
    return any(width == 2 or any(is_number(_with_point(each.strip(' "'))) for each in cells) for cells in rows)


def find_unclear_comma(rows: Sequence[TableRow], column: str) -> tuple[str, str] | None:
    """Return two cells of a column of 998 and 1,005 without a 0,5: it may be one of thousands, not of decimals."""
    commas = [row.commas[column] for row in rows if column in row.commas]
    if not commas or not all(map(_EITHER.fullmatch, commas)):
        return None
    others = (str(row.cells.get(column, "")).strip() for row in rows if column not in row.commas)
    large = next(filter(_LARGE.fullmatch, others), None)
    return (large, commas[0]) if large else None


def _lost(first: int, last: int) -> str:
    """Say which lines a bad row takes with it: a quote that is not closed may swallow hundreds."""
    return f"; lines {first} to {last} are lost" if last > first else ""


def _refuse_twins(header: Sequence[str], name: str) -> None:
    twins = {each for each in header if each and header.count(each) > 1}
    if twins:
        raise UsageError(f"{escape(name)} has the column {escape(', '.join(sorted(twins)))} twice")


def _with_point(cell: str) -> str:
    whole, comma, rest = cell.partition(",")
    return f"{whole}.{rest}" if comma and (whole.lstrip("-") + rest).isdigit() else cell


def _read_json_lines(stream: TextIO, name: str) -> Iterator[TableRow | Problem]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        source = f"{name}:{number}"
        try:
            fields = json.loads(line, object_pairs_hook=_without_twins)
        except (json.JSONDecodeError, RecursionError) as error:
            yield Problem(source, f"no JSON: {error}")
            continue
        except ValueError as error:
            yield Problem(source, str(error))
            continue
        if isinstance(fields, dict):
            yield TableRow(fields, source)
        else:
            kind = "a list" if isinstance(fields, list) else "no object"
            yield Problem(source, f"{kind}: JSON lines have one object a line")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; one with two values of a name says nothing."""
    found = dict(pairs)
    if len(found) < len(pairs):
        (twin, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{escape(twin)} stands twice")
    return found


def _read_parquet(file: Path) -> Iterator[TableRow | Problem]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None
    number = 0
    try:
        opened = parquet.ParquetFile(file)
        if opened.metadata.num_rows > _MOST_ROWS:
            raise AesError(f"{escape(str(file))} says it has {opened.metadata.num_rows:,} rows")
        _refuse_twins(opened.schema_arrow.names, file.name)
        for batch in opened.iter_batches():
            for cells in with_microseconds(batch).to_pylist():
                number += 1
                yield TableRow(cells, f"{file.name}:{number}")
    except (OSError, ValueError, arrow.ArrowException) as error:
        raise AesError(f"{escape(str(file))} cannot be read: {first_line(error)}") from error
