"""What `aes score` wrote, read back: CSV, JSON lines or Parquet, in batches, with every further column it has gained.

Whatever the format, a row has flat columns: the dimensions stand beside `overall`, as in CSV.
"""

import math
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from aescli.dimensions import ROW_COLUMNS
from aescli.errors import AesError, ErrorCode, MissingExtra, UsageError, first_line
from aescli.images.named import find_archive
from aescli.labels.columns import decode_path
from aescli.labels.rows import SUFFIXES, TableRow, read_rows, with_microseconds
from aescli.labels.values import Problem
from aescli.names import escape
from aescli.remote import is_remote
from aescli.results import Failure, Row, Score

BATCH_ROWS = 20_000

_NEEDED = ("path", "status", "overall")

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
Objects = np.ndarray[tuple[int], np.dtype[np.object_]]
Report = Callable[[Problem], None]


KINDS = ("model", "revision", "read_out")  # scores of one of each can be compared


class Batch(Protocol):
    """Some rows of a file, by columns."""

    @property
    def names(self) -> Sequence[str]:
        """The columns, flat."""
        ...

    def __len__(self) -> int: ...

    def numbers(self, name: str) -> Floats:
        """Return a column as numbers, NaN where a cell is none."""
        ...

    def texts(self, name: str) -> Objects:
        """Return a column as text, None where a cell is empty."""
        ...

    def records(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Return rows as they stand in the file."""
        ...


@dataclass(frozen=True, slots=True)
class PlainBatch:
    """Rows that Python has read."""

    names: Sequence[str]
    rows: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def numbers(self, name: str) -> Floats:
        return np.array([_as_number(_cell(row, name)) for row in self.rows], np.float64)

    def texts(self, name: str) -> Objects:
        return _objects([_as_text(_cell(row, name)) for row in self.rows])

    def records(self, places: Sequence[int]) -> list[dict[str, Any]]:
        return [dict(self.rows[place]) for place in places]


@dataclass(frozen=True, slots=True)
class ArrowBatch:
    """Rows of a Parquet file, as columns of Arrow: only what is asked for becomes Python's."""

    names: Sequence[str]
    batch: Any

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def numbers(self, name: str) -> Floats:
        column = self._column(name)
        if column is None:
            return np.full(len(self), np.nan)
        import pyarrow

        if pyarrow.types.is_decimal(column.type):  # as databases export them
            column = column.cast(pyarrow.float64())
        if pyarrow.types.is_floating(column.type) or pyarrow.types.is_integer(column.type):
            return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
        return np.array([_as_number(cell) for cell in column.to_pylist()], np.float64)

    def texts(self, name: str) -> Objects:
        column = self._column(name)
        return _objects([None] * len(self) if column is None else [_as_text(cell) for cell in column.to_pylist()])

    def records(self, places: Sequence[int]) -> list[dict[str, Any]]:
        return list(self.batch.take(np.asarray(places, np.int64)).to_pylist())

    def _column(self, name: str) -> Any:
        schema = self.batch.schema
        if name in schema.names:
            return self.batch.column(name)
        import pyarrow
        from pyarrow import compute

        if "dims" in schema.names and pyarrow.types.is_struct(schema.field("dims").type):
            dims = schema.field("dims").type
            if name in [dims.field(at).name for at in range(dims.num_fields)]:
                return compute.struct_field(self.batch.column("dims"), name)
        return None


def refuse_several(column: str, found: set[str]) -> None:
    """Refuse scores of several models, revisions or read-outs: one of KINDS, and what its cells say.

    Raises:
        UsageError: there are two or more.

    """
    if len(found) > 1:
        kind, names = column.replace("_", "-"), ", ".join(map(escape, sorted(found)))
        raise UsageError(
            f"scores of {names} cannot be ranked together: they are comparable within one {kind} only",
            hint=f"aes filter FILE --where \"{column} = '{min(found)}'\"",
        )


def find_files(words: Sequence[Path]) -> list[Path]:
    """Return the files of scores that are named; a folder stands for its Parquet parts.

    Raises:
        UsageError: one is not there, is of another format, or a folder has no part.

    """
    files: list[Path] = []
    for word in words:
        if word.is_dir():
            parts = sorted(word.glob("*.parquet"))
            if not parts:
                raise UsageError(f"{escape(str(word))} has no *.parquet", hint="aes score FOLDER -o scores.parquet")
            files += parts
        elif not word.exists():
            raise UsageError(f"there is no {escape(str(word))}", hint=f"aes score ./photos -o {escape(word.name)}")
        elif word.suffix.lower() not in SUFFIXES:
            raise UsageError(f"{escape(str(word))} is no file of scores", hint=f"known are {', '.join(SUFFIXES)}")
        else:
            files.append(word)
    return files


def read_batches(file: Path, report: Report) -> Generator[Batch]:
    """Yield the rows of a file of scores, BATCH_ROWS at a time.

    Args:
        file: CSV, TSV, JSON lines or Parquet.
        report: is told every row that cannot be read.

    Raises:
        UsageError: its columns are not those of scores.
        AesError: it cannot be read.
        MissingExtra: Parquet needs pyarrow.

    """
    if file.suffix.lower() == ".parquet":
        yield from _read_parquet(file)
        return
    rows = _good(read_rows(file), report)
    while some := list(islice(rows, BATCH_ROWS)):
        names = _flat_names(row.cells for row in some)
        _refuse_unless_scores(names, file)
        yield PlainBatch(names, [row.cells for row in some])


def read_scores(files: Sequence[Path], report: Report) -> Iterator[Row]:
    """Yield the rows of files of scores as `aes score` had them.

    Raises:
        UsageError, AesError, MissingExtra: as `read_batches`.

    """
    for file in files:
        for batch in read_batches(file, report):
            dimensions = dimensions_of(batch.names)
            for record in batch.records(range(len(batch))):
                try:
                    yield row_of(record, dimensions)
                except ValueError as error:
                    report(Problem(escape(file.name), str(error)))


def dimensions_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return which columns are dimensions: those between `overall` and `raw`, as `aes score` writes them."""
    listed = list(names)
    start = listed.index("overall") + 1
    stop = listed.index("raw") if "raw" in listed[start:] else start
    return tuple(name for name in listed[start:stop] if name not in ROW_COLUMNS)


def further_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are not of the contract."""
    known = {*ROW_COLUMNS, *dimensions_of(names)}
    return tuple(name for name in names if name not in known)


def row_of(record: Mapping[str, Any], dimensions: Sequence[str]) -> Row:
    """Return one record as the row it was.

    Raises:
        ValueError: it names no picture, or its score is none.

    """
    path = decode_path(record, "path")
    flags = tuple(flag for flag in (_as_text(record.get("flags")) or "").split() if flag != "escaped_path")
    model, revision, backend, read_out = (
        _as_text(record.get(name)) or "" for name in ("model", "revision", "backend", "read_out")
    )
    if record.get("status") == "error":
        known = record.get("error_code") in {str(code) for code in ErrorCode}
        code = ErrorCode(record["error_code"]) if known else ErrorCode.INTERNAL
        return Failure(path, code, _as_text(record.get("error")) or "", model, revision, backend, read_out, flags)
    overall, raw = _as_number(record.get("overall")), _as_number(record.get("raw"))
    if not math.isfinite(overall):
        raise ValueError(f"{escape(path)} has no overall")
    dims = {name: number for name in dimensions if math.isfinite(number := _as_number(_cell(record, name)))}
    levels = record.get("levels")
    return Score(
        path, overall, raw if math.isfinite(raw) else overall, model, revision, backend, read_out, dims, flags,
        dict(levels) if isinstance(levels, dict) else {},
    )  # fmt: skip


def paths_of(batch: Batch, places: Sequence[int]) -> list[str]:
    """Return the exact paths of some rows.

    Raises:
        AesError: a row names no picture.

    """
    try:
        return [decode_path(record, "path") for record in batch.records(places)]
    except ValueError as error:
        raise AesError(f"a row of scores names no picture: {error}") from error


def locate(path: str, file: Path) -> str:
    """Return where a row's picture is: a relative path begins at the file's folder, else where we are.

    Raises:
        AesError: there is one at both places, and they are not the same.

    """
    if os.path.isabs(path) or is_remote(path):  # noqa: PTH117 - bytes stay exact
        return path
    beside = os.path.join(os.path.dirname(file), path)  # noqa: PTH118, PTH120
    there = find_archive(beside) or beside
    if not os.path.lexists(there):
        return path
    here = find_archive(path) or path
    if os.path.lexists(here) and not os.path.samefile(there, here):  # noqa: PTH121
        raise AesError(
            f"'{escape(path)}' is two pictures: one beside {escape(str(file))}, one in this folder",
            hint=f"cd to where {escape(file.name)} was written from, or give its paths as absolute ones",
        )
    return beside


def _read_parquet(file: Path) -> Iterator[Batch]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None
    try:
        with parquet.ParquetFile(file) as opened:
            names = _arrow_names(opened.schema_arrow)
            _refuse_unless_scores(names, file)
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise UsageError(f"{escape(str(file))} has the column {escape(twice[0])} twice")
            for batch in opened.iter_batches(BATCH_ROWS):
                yield ArrowBatch(names, with_microseconds(batch))
    except (OSError, pyarrow.ArrowException) as error:
        raise AesError(f"{escape(str(file))} cannot be read: {escape(first_line(error))}") from error


def _arrow_names(schema: Any) -> list[str]:
    import pyarrow

    names: list[str] = []
    for field in schema:
        if field.name == "dims" and pyarrow.types.is_struct(field.type):
            names += [field.type.field(at).name for at in range(field.type.num_fields)]
        elif field.name != "dims":
            names.append(field.name)
    return names


def _good(rows: Iterator[TableRow | Problem], report: Report) -> Iterator[TableRow]:
    for row in rows:
        if isinstance(row, Problem):
            report(row)
        else:
            yield row


def _flat_names(rows: Iterator[Mapping[str, Any]]) -> list[str]:
    names: dict[str, None] = {}
    dims: dict[str, None] = {}
    for cells in rows:
        names |= dict.fromkeys(cells)
        if isinstance(nested := cells.get("dims"), dict):
            dims |= dict.fromkeys(nested)
    return [one for name in names for one in (dims if name == "dims" else (name,))]


def _refuse_unless_scores(names: Sequence[str], file: Path) -> None:
    if missing := [name for name in _NEEDED if name not in names]:
        raise UsageError(
            f"{escape(str(file))} is no file of scores: it has no column {', '.join(missing)}",
            hint="aes score ./photos -o scores.parquet",
        )


def _cell(row: Mapping[str, Any], name: str) -> Any:
    if name in row:
        return row[name]
    dims = row.get("dims")
    return dims.get(name) if isinstance(dims, dict) else None


def _as_number(cell: object) -> float:
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return math.nan
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return math.nan


def _as_text(cell: object) -> str | None:
    if cell is None or cell == "":
        return None
    return " ".join(map(str, cell)) if isinstance(cell, list | tuple) else str(cell)


def _objects(cells: Sequence[object]) -> Objects:
    found = np.empty(len(cells), object)
    found[:] = cells
    return found
