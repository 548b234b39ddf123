"""Rows that survive anything: every finished row is kept, so that running again continues.

One SQLite file, write-ahead logging where the file system allows. A row's key is the picture's identity (absolute path,
size, mtime in ns; or the content's SHA-256) and the model's fingerprint; fingerprints live side by side. Rows are
written at most one flush interval after they are finished, and synced to disk with it.
"""

import hashlib
import json
import math
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aescli.errors import StoreFailed
from aescli.images.source import Identity
from aescli.names import escape
from aescli.results import Failure, Row, Score

FLUSH_ROWS = 256
FLUSH_SECONDS = 1.0
_SCHEMA_VERSION, _OLDER_VERSIONS = 2, (1,)
_BUSY_SECONDS = 30.0  # another run may be writing

_SCHEMA = """
CREATE TABLE IF NOT EXISTS fingerprints (
    id INTEGER PRIMARY KEY, sha256 TEXT UNIQUE NOT NULL, content TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS rows (
    fingerprint INTEGER NOT NULL REFERENCES fingerprints (id),
    path BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 BLOB,
    status TEXT NOT NULL, overall REAL, raw REAL, dims TEXT, model TEXT NOT NULL, revision TEXT NOT NULL,
    backend TEXT NOT NULL, read_out TEXT NOT NULL, flags TEXT NOT NULL, error_code TEXT, error TEXT, levels TEXT,
    PRIMARY KEY (fingerprint, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS texts (
    fingerprint INTEGER NOT NULL REFERENCES fingerprints (id),
    path BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (fingerprint, path)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rows_by_content ON rows (fingerprint, sha256) WHERE sha256 IS NOT NULL;
"""
_COLUMNS = "overall, raw, dims, model, revision, backend, read_out, flags, levels"


@dataclass(frozen=True, slots=True)
class Key:
    """What a row is found by: the file's identity, or its content where `sha256` is given."""

    identity: Identity | None
    sha256: bytes | None = None


class Store:
    """The rows of one fingerprint in one file; several threads may use it at once.

    Attributes:
        file: where the rows are.
        found: how many rows have been found so far.

    """

    def __init__(self, file: Path, fingerprint: Mapping[str, Any]) -> None:
        """Open or create the file.

        Raises:
            StoreFailed: it cannot be opened, is no store, or is one of another version.

        """
        self.file = file
        self.found = 0
        self._lock = threading.Lock()
        self._pending: list[tuple[Any, ...]] = []
        self._flushed_at = time.monotonic()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(file, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None)
            self._prepare_schema()
            self._fingerprint = self._register(fingerprint)
        except (OSError, sqlite3.Error) as error:
            raise self._problem(error) from error

    def find(self, key: Key, path: str) -> Score | None:
        """Return the score that is kept for this picture, spelled `path`; a failure is not found: it is tried again."""
        found = self._select(key, _COLUMNS)
        score = _score_from(found, path) if found else None
        self.found += score is not None
        return score

    def has(self, key: Key) -> bool:
        """Tell whether there is a score of this picture, which does not count as found."""
        return self._select(key, "1") is not None

    def keep(self, key: Key, row: Row) -> None:
        """Keep a finished row; it is on disk after the next flush."""
        if key.identity is None:
            return
        identity = key.identity
        values = (
            self._fingerprint,
            identity.path,
            identity.size,
            identity.mtime_ns,
            key.sha256,
            *_values(row),
        )
        with self._lock:
            self._pending.append(values)
            overdue = time.monotonic() - self._flushed_at >= FLUSH_SECONDS
            if overdue or len(self._pending) >= FLUSH_ROWS:
                self._flush()

    def find_text(self, identity: Identity) -> str | None:
        """Return the text that is kept for this state of a file."""
        query = "SELECT content FROM texts WHERE fingerprint = ? AND path = ? AND size = ? AND mtime_ns = ?"
        with self._lock:
            try:
                values = (self._fingerprint, identity.path, identity.size, identity.mtime_ns)
                found = self._database.execute(query, values).fetchone()
            except sqlite3.Error as error:
                raise self._problem(error) from error
            self.found += found is not None
        return str(found[0]) if found else None

    def keep_text(self, identity: Identity, content: str) -> None:
        """Keep a text at once: each took seconds to come by."""
        with self._lock:
            try:
                values = (self._fingerprint, identity.path, identity.size, identity.mtime_ns, content)
                self._database.execute("INSERT OR REPLACE INTO texts VALUES (?, ?, ?, ?, ?)", values)
            except sqlite3.Error as error:
                raise self._problem(error) from error

    def close(self) -> None:
        """Write what is pending and close the file."""
        with self._lock:
            try:
                self._flush()
            finally:
                self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _select(self, key: Key, columns: str) -> tuple[Any, ...] | None:
        values: tuple[object, ...]
        if key.sha256 is not None:
            where, values = "sha256 = ?", (key.sha256,)
        elif key.identity:
            where = "path = ? AND size = ? AND mtime_ns = ?"
            values = (key.identity.path, key.identity.size, key.identity.mtime_ns)
        else:
            return None
        query = f"SELECT {columns} FROM rows WHERE fingerprint = ? AND {where} AND status = 'ok' LIMIT 1"  # noqa: S608
        with self._lock:
            try:
                found: tuple[Any, ...] | None = self._database.execute(query, (self._fingerprint, *values)).fetchone()
            except sqlite3.Error as error:
                raise self._problem(error) from error
        return found

    def _prepare_schema(self) -> None:
        self._refuse_foreign()
        self._use_write_ahead_log()
        self._database.execute("PRAGMA synchronous = FULL")
        self._add_columns()
        self._database.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version = {_SCHEMA_VERSION};COMMIT;")

    def _add_columns(self) -> None:
        """Bring rows of version 1 to version 2, which has level words; another process may do so at the same time."""
        self._database.execute("BEGIN IMMEDIATE")
        columns = {row[1] for row in self._database.execute("PRAGMA table_info(rows)")}
        if columns and "levels" not in columns:
            self._database.execute("ALTER TABLE rows ADD COLUMN levels TEXT")
        self._database.execute("COMMIT")

    def _refuse_foreign(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if version not in (0, *_OLDER_VERSIONS, _SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"it was written by another version of aes (schema {version})")
        if tables and not {"rows", "fingerprints"} <= tables:
            raise sqlite3.DatabaseError("it is another program's database")
        columns = {row[1] for row in self._database.execute("PRAGMA table_info(rows)")}
        if tables and not {"fingerprint", "mtime_ns", "error_code"} <= columns:
            raise sqlite3.DatabaseError("it is another program's database")

    def _use_write_ahead_log(self) -> None:
        """Switch once; SQLite does not wait for others here, and a network drive may refuse: it keeps what it has."""
        until = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._database.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return

    def _register(self, fingerprint: Mapping[str, Any]) -> int:
        content = json.dumps(fingerprint, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(content.encode()).hexdigest()
        self._database.execute("INSERT OR IGNORE INTO fingerprints (sha256, content) VALUES (?, ?)", (digest, content))
        (number,) = self._database.execute("SELECT id FROM fingerprints WHERE sha256 = ?", (digest,)).fetchone()
        return int(number)

    def _flush(self) -> None:
        rows, self._pending = self._pending, []
        self._flushed_at = time.monotonic()
        if not rows:
            return
        marks = ", ".join("?" * len(rows[0]))
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(f"INSERT OR REPLACE INTO rows VALUES ({marks})", rows)  # noqa: S608
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise self._problem(error) from error

    def _problem(self, error: Exception) -> StoreFailed:
        return StoreFailed(
            f"the store {escape(str(self.file))} failed: {error}",
            hint="--store FILE keeps rows elsewhere, --no-store keeps none",
        )


def _values(row: Row) -> tuple[Any, ...]:
    flags = " ".join(row.flags)
    if isinstance(row, Failure):
        return (
            "error", None, None, None, row.model, row.revision, row.backend, row.read_out, flags,
            str(row.code), row.message, None,
        )  # fmt: skip
    dims, levels = json.dumps(dict(row.dims)), json.dumps(dict(row.levels))
    return (
        "ok", row.overall, row.raw, dims, row.model, row.revision, row.backend, row.read_out, flags, None, None, levels,
    )  # fmt: skip


def _score_from(found: tuple[Any, ...], path: str) -> Score | None:
    """Return the score of a row; None of one that was damaged, which is computed again."""
    overall, raw, dims, model, revision, backend, read_out, flags, levels = found
    try:
        score = Score(
            path=path,
            overall=float(overall),
            raw=float(raw),
            model=model,
            revision=revision,
            backend=backend,
            read_out=read_out,
            dims={str(name): float(value) for name, value in json.loads(dims).items()},
            flags=tuple(flags.split()),
            levels={str(name): float(value) for name, value in json.loads(levels or "{}").items()},
        )
    except (TypeError, ValueError, AttributeError):
        return None
    whole = all(isinstance(each, str) for each in (model, revision, backend, read_out, *score.flags))
    ranges = all(0 <= value <= 10 for value in (score.overall, *score.dims.values()))
    return score if whole and ranges and math.isfinite(score.raw) else None
