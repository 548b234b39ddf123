"""One row as a record: the keys of JSON lines and the columns of Parquet (`docs/rows.md`)."""

from typing import Any

from aescli import names
from aescli.results import Failure, Row
from aescli.writers.csv import ESCAPED


def record_of(row: Row) -> dict[str, Any]:
    """Return the row's values; `path` is exact when it is UTF-8, else escaped with its bytes in `path_b64`."""
    exact = names.exact_bytes(row.path)
    failed = isinstance(row, Failure)
    record: dict[str, Any] = {
        "path": row.path if exact is None else names.escape(row.path),
        "status": "error" if failed else "ok",
        "overall": None if isinstance(row, Failure) else row.overall,
        "dims": {} if isinstance(row, Failure) else dict(row.dims),
        "raw": None if isinstance(row, Failure) else row.raw,
        "model": row.model,
        "revision": row.revision,
        "backend": row.backend,
        "read_out": row.read_out,
        "flags": list(row.flags) if exact is None else sorted({*row.flags, ESCAPED}),
        "error_code": str(row.code) if isinstance(row, Failure) else None,
        "error": names.escape(row.message) if isinstance(row, Failure) else None,
    }
    if exact is not None:
        record["path_b64"] = exact
    if not isinstance(row, Failure) and row.levels:
        record["levels"] = dict(row.levels)
    return record
