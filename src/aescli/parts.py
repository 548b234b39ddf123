"""Outputs of `aes score`, read back row by row and written again without a change: CSV, JSON lines, Parquet."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from aescli import names
from aescli.errors import AesError, MissingExtra, UsageError, first_line

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Part:
    """One output: what it is called, and where it can be read."""

    name: str
    file: Path


@dataclass(frozen=True, slots=True)
class PartRow:
    """A row as it stands, and what of it is compared.

    Args:
        path: as this format writes it.
        scored: it has a score.
        model: which, as far as the format says.
        content: a line, or the cells of a Parquet row.

    """

    path: str
    scored: bool
    model: tuple[str, ...]
    content: Any


class Format(Protocol):
    """How parts of one format are read and written."""

    def head(self, part: Part) -> Any:
        """Return the columns, comparable with those of other parts; None where the format has none."""
        ...

    def rows(self, part: Part) -> Iterator[PartRow]:
        """Yield the rows of a part.

        Raises:
            AesError: it cannot be read, or ends too early.

        """
        ...

    def begin(self, stream: BinaryIO, head: Any, /) -> None: ...

    def write(self, content: Any) -> None: ...

    def finish(self) -> None: ...

    def spell(self, path: str) -> str:
        """Return a path as this format writes it."""
        ...


def find_format(name: str) -> Format:
    """Return what reads and writes `csv`, `jsonl` or `parquet`.

    Raises:
        UsageError: there are no rows to be read in such a format.

    """
    match name:
        case "csv":
            return _Csv()
        case "jsonl":
            return _JsonLines()
        case "parquet":
            return _Parquet()
        case _:
            raise UsageError(f"rows cannot be read back from {name}", hint="merge CSV, JSON lines or Parquet")


class _Csv:
    def head(self, part: Part) -> list[str]:
        head = _cells(next(_lines(part), b""))
        if not {"path", "status", "model"} <= set(head):
            raise UsageError(f"{names.escape(part.name)} is no output of aes score: it has no path, status and model")
        return head

    def rows(self, part: Part) -> Iterator[PartRow]:
        lines = _lines(part)
        head = _cells(next(lines))
        path, status, model = (head.index(name) for name in ("path", "status", "model"))
        for number, line in enumerate(lines, 2):
            cells = _cells(line)
            if len(cells) != len(head):
                raise AesError(f"{names.escape(part.name)}:{number} has {len(cells)} cells, the header has {len(head)}")
            yield PartRow(cells[path], cells[status] == "ok", (cells[model],), line)

    def begin(self, stream: BinaryIO, head: list[str]) -> None:
        self._stream = stream
        stream.write(",".join(head).encode() + b"\n")

    def write(self, content: bytes) -> None:
        self._stream.write(content)

    def finish(self) -> None:
        pass

    def spell(self, path: str) -> str:
        return names.escape_cell(path)


class _JsonLines:
    def head(self, part: Part) -> None:
        next(self.rows(part), None)  # to see that it is one

    def rows(self, part: Part) -> Iterator[PartRow]:
        for number, line in enumerate(_lines(part), 1):
            try:
                yield _row_of(json.loads(line), line)
            except (ValueError, TypeError, KeyError):
                raise AesError(f"{names.escape(part.name)}:{number} is no row of aes score") from None

    def begin(self, stream: BinaryIO, _head: None) -> None:
        self._stream = stream

    def write(self, content: bytes) -> None:
        self._stream.write(content)

    def finish(self) -> None:
        pass

    def spell(self, path: str) -> str:
        return _spell_exactly(path)


class _Parquet:
    def __init__(self) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise MissingExtra("Parquet", "parquet") from None
        self._arrow = pyarrow
        self._parquet = parquet
        self._pending: list[dict[str, Any]] = []

    def head(self, part: Part) -> Any:
        schema = self._open(part).schema_arrow
        if not {"path", "status", "model"} <= set(schema.names):
            raise UsageError(f"{names.escape(part.name)} is no output of aes score: it has no path, status and model")
        return schema

    def rows(self, part: Part) -> Iterator[PartRow]:
        try:
            for batch in self._open(part).iter_batches(_ROWS_AT_ONCE):
                for cells in batch.to_pylist():
                    yield _row_of(cells, cells)
        except (OSError, self._arrow.ArrowException) as error:
            raise _unreadable(part, error) from error

    def begin(self, stream: BinaryIO, head: Any) -> None:
        self._schema = head
        self._file = self._parquet.ParquetWriter(stream, head)

    def write(self, content: dict[str, Any]) -> None:
        self._pending.append(content)
        if len(self._pending) >= _ROWS_AT_ONCE:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._file.close()

    def spell(self, path: str) -> str:
        return _spell_exactly(path)

    def _flush(self) -> None:
        if self._pending:
            self._file.write_table(self._arrow.Table.from_pylist(self._pending, schema=self._schema))
        self._pending = []

    def _open(self, part: Part) -> Any:
        try:
            return self._parquet.ParquetFile(part.file)
        except (OSError, self._arrow.ArrowException) as error:
            raise _unreadable(part, error) from error


def _lines(part: Part) -> Iterator[bytes]:
    try:
        with part.file.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    raise AesError(f"{names.escape(part.name)} is cut: its last line has no end")
                yield line
    except OSError as error:
        raise _unreadable(part, error) from error


def _cells(line: bytes) -> list[str]:
    return next(csv.reader([line.decode(errors="replace").removesuffix("\n")]), [])


def _row_of(cells: Any, content: Any) -> PartRow:
    model = tuple(str(cells[name]) for name in ("model", "revision", "read_out"))
    return PartRow(str(cells["path"]), cells["status"] == "ok", model, content)


def _spell_exactly(path: str) -> str:
    return path if names.exact_bytes(path) is None else names.escape(path)


def _unreadable(part: Part, error: Exception) -> AesError:
    reason = getattr(error, "strerror", None) or first_line(error)
    return AesError(f"{names.escape(part.name)} cannot be read: {reason}")
