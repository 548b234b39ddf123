"""Features that were computed before: one SQLite file, by the picture's identity and all that features depend on.

A row is found only for the same path, size and mtime and the same model, preprocessing and decoding, so it is never
stale; and only if its own digest is right, since SQLite would not see that a disk has changed a bit of it. Rows are
written in batches, so a run that is killed loses its last seconds at most.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from aescli.errors import StoreFailed
from aescli.images.source import Identity
from aescli.models.base import Features
from aescli.names import escape

_FLUSH_ROWS = 64
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    fingerprint TEXT NOT NULL, path BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL, rating REAL, vector BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (fingerprint, path)
) WITHOUT ROWID
"""


class FeatureCache:
    """Features of one fingerprint in one file; several threads may use it at once."""

    def __init__(self, file: Path, fingerprint: Mapping[str, Any]) -> None:
        """Open or create the file.

        Raises:
            StoreFailed: it cannot be opened or is no cache.

        """
        self.file = file
        self._lock = threading.Lock()
        self._pending: list[tuple[object, ...]] = []
        text = json.dumps(fingerprint, sort_keys=True)
        self._fingerprint = hashlib.sha256(text.encode()).hexdigest()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(file, timeout=30.0, check_same_thread=False, isolation_level=None)
            self._database.text_factory = lambda data: data.decode(errors="replace")  # a bit of it may have changed
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute("DROP TABLE IF EXISTS features")  # of versions before: rows without a digest
            self._database.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise self._problem(error) from error

    def find(self, identity: Identity) -> tuple[Features, str] | None:
        """Return a picture's features and its content's SHA-256, if they are kept for this state of its file."""
        query = (
            "SELECT sha256, rating, vector, digest FROM vectors "
            "WHERE fingerprint = ? AND path = ? AND size = ? AND mtime_ns = ?"
        )
        values = (self._fingerprint, identity.path, identity.size, identity.mtime_ns)
        with self._lock:
            try:
                found = self._database.execute(query, values).fetchone()
            except sqlite3.Error as error:
                raise self._problem(error) from error
        if found is None:
            return None
        sha256, rating, vector, digest = found
        if digest != _digest(values, sha256, rating, vector):
            return None
        return Features(np.frombuffer(vector, np.float32), rating), sha256

    def keep(self, identity: Identity, features: Features, sha256: str) -> None:
        """Keep a picture's features."""
        vector = np.ascontiguousarray(features.values, np.float32).tobytes()
        rating = None if features.rating is None else float(features.rating) + 0.0  # SQLite knows no -0.0
        values = (self._fingerprint, identity.path, identity.size, identity.mtime_ns)
        with self._lock:
            self._pending.append((*values, sha256, rating, vector, _digest(values, sha256, rating, vector)))
            if len(self._pending) >= _FLUSH_ROWS:
                self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock, closing(self._database):
            self._flush()

    def _flush(self) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._pending)
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise self._problem(error) from error
        self._pending.clear()

    def _problem(self, error: Exception) -> StoreFailed:
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        return StoreFailed(
            f"{escape(str(self.file))} cannot be used: {error}",
            hint="move it away: features are computed again"
            if damaged
            else "set AES_HOME to a folder that can be written",
        )


def _digest(of: tuple[object, ...], sha256: object, rating: object, vector: object) -> bytes:
    return hashlib.sha256(repr((*of, sha256, rating, vector)).encode()).digest()
