"""Answers that were paid for, by what they depend on, in one SQLite file that several threads and runs use.

A file that cannot be opened ends the run before anything is asked. One that fails later stops the asking, not the run's
answers: what was paid for becomes a row, nothing more is asked, and the run ends with what is wrong with the file.
"""

import json
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aescli.errors import ErrorCode, PictureError, StoreFailed
from aescli.names import escape

_BUSY_SECONDS = 30.0  # another run may be writing


class Responses:
    """See the module; after a failure nothing is found and nothing is kept any more."""

    def __init__(self, file: Path) -> None:
        """Open or create the file.

        Raises:
            StoreFailed: it cannot be opened, or is no such file.

        """
        self._file = file
        self._lock = threading.Lock()
        self._problem = ""
        self._unkept = 0
        self._is_told = False
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(file, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None)
            table = "CREATE TABLE IF NOT EXISTS responses (sha256 TEXT PRIMARY KEY, content TEXT NOT NULL)"
            self._database.execute(table)
            self._database.execute("SELECT sha256, content FROM responses LIMIT 1").fetchone()
        except (OSError, sqlite3.Error) as error:
            self._problem = str(error)
            raise self._failure() from error

    def find(self, key: str) -> dict[str, Any] | None:
        """Return what was answered before.

        Raises:
            PictureError: the file failed, now or before: asking might pay twice.

        """
        with self._lock:
            self._refuse_after_failure()
            try:
                found = self._database.execute("SELECT content FROM responses WHERE sha256 = ?", (key,)).fetchone()
                content: dict[str, Any] | None = json.loads(found[0]) if found else None
            except (sqlite3.Error, ValueError) as error:
                self._problem = str(error)
                self._refuse_after_failure()
                raise
        return content

    def keep(self, key: str, content: Mapping[str, Any]) -> None:
        """Keep an answer; where that fails it is counted, and the run goes on to its end with what it has."""
        if not self._change("INSERT OR REPLACE INTO responses VALUES (?, ?)", (key, json.dumps(content))):
            with self._lock:
                self._unkept += 1

    def drop(self, key: str) -> None:
        """Forget an answer that was of no use."""
        self._change("DELETE FROM responses WHERE sha256 = ?", (key,))

    def check(self) -> None:
        """Raise StoreFailed, once, where the file has failed."""
        if self._problem and not self._is_told:
            self._is_told = True
            raise self._failure()

    def close(self) -> None:
        """Close the file.

        Raises:
            StoreFailed: it has failed, and nobody was told yet.

        """
        with self._lock:
            self._database.close()
        self.check()

    def _change(self, statement: str, values: tuple[str, ...]) -> bool:
        with self._lock:
            if self._problem:
                return False
            try:
                self._database.execute(statement, values)
            except sqlite3.Error as error:
                self._problem = str(error)
                return False
        return True

    def _refuse_after_failure(self) -> None:
        if self._problem:
            raise PictureError(
                ErrorCode.ENDPOINT_ERROR,
                f"not asked: {escape(str(self._file))} failed ({self._problem}), and an answer might be paid for twice",
            )

    def _failure(self) -> StoreFailed:
        unkept = f"; {self._unkept} answers that were paid for are not in it" if self._unkept else ""
        return StoreFailed(
            f"{escape(str(self._file))}, which keeps paid answers, failed: {self._problem}{unkept}",
            hint="free some space, or end what holds it; moved away, its answers are paid for again",
        )
