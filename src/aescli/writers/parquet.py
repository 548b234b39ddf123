"""Parquet: the columns of JSON lines, a row group for every ten thousand rows (extra `parquet`)."""

from collections.abc import Sequence
from typing import Any, BinaryIO

from aescli.errors import MissingExtra
from aescli.results import Row
from aescli.writers.record import record_of

ROWS_IN_GROUP = 10_000


class ParquetWriter:
    """Columns as in JSON lines; `dims` is a struct of the dimensions, or an empty map where there are none.

    Raises:
        MissingExtra: pyarrow is not installed.

    """

    def __init__(self, stream: BinaryIO, dimensions: Sequence[str]) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise MissingExtra("Parquet", "parquet") from None
        text, number = pyarrow.string(), pyarrow.float64()
        # Parquet has no struct without fields.
        dims = pyarrow.struct([(name, number) for name in dimensions]) if dimensions else pyarrow.map_(text, number)
        self._schema = pyarrow.schema(
            [
                ("path", text),
                ("status", text),
                ("overall", number),
                ("dims", dims),
                ("raw", number),
                ("model", text),
                ("revision", text),
                ("backend", text),
                ("read_out", text),
                ("flags", pyarrow.list_(text)),
                ("error_code", text),
                ("error", text),
                ("path_b64", text),
            ]
        )
        self._has_dimensions = bool(dimensions)
        self._table_from = pyarrow.Table.from_pylist
        self._file = parquet.ParquetWriter(stream, self._schema)
        self._pending: list[dict[str, Any]] = []

    def write(self, row: Row) -> None:
        record = record_of(row)
        if not record["dims"]:
            record["dims"] = None if self._has_dimensions else []
        self._pending.append(record)
        if len(self._pending) >= ROWS_IN_GROUP:
            self._write_group()

    def finish(self) -> None:
        if self._pending:
            self._write_group()
        self.close()

    def close(self) -> None:
        """End the file without the rows that wait; a second time does nothing."""
        self._file.close()

    def _write_group(self) -> None:
        self._file.write_table(self._table_from(self._pending, schema=self._schema))
        self._pending = []
