"""What `aes` changed among the user's own files, so that it knows its own writes and can take them back.

One SQLite file under `AES_HOME`. A run's whole plan is on disk before its first change: whenever a run is killed,
what it did is told by how the files stand, not by how far the journal got.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aescli.errors import NothingMatched, StoreFailed
from aescli.home import aes_home
from aescli.names import escape

_BUSY_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, began REAL NOT NULL, undone INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS changes (
    run INTEGER NOT NULL REFERENCES runs (id), place INTEGER NOT NULL, path BLOB NOT NULL, before BLOB, after BLOB,
    PRIMARY KEY (run, place)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS changes_by_path ON changes (path);
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One file: absolute path; what it was and what it became, in the terms of whoever changes it."""

    path: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was begun: its number, its kind such as `tag`, seconds since 1970, and its changes."""

    number: int
    kind: str
    began: float
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Undone:
    """A file that was to be put back: why it is not, empty where it is, and whether another try may help."""

    path: str
    problem: str = ""
    again: bool = False


def begin_run(kind: str, changes: Sequence[Change]) -> int:
    """Write a plan down, synced to disk, and return its number.

    Raises:
        StoreFailed: it cannot be written; then nothing may be changed.

    """
    with _opened() as database:
        run = database.execute("INSERT INTO runs (kind, began) VALUES (?, ?)", (kind, time.time())).lastrowid
        database.executemany(
            "INSERT INTO changes VALUES (?, ?, ?, ?, ?)",
            [(run, at, os.fsencode(each.path), each.before, each.after) for at, each in enumerate(changes)],
        )
    return int(run or 0)


def last_run(kind: str) -> Run | None:
    """Return the latest run of a kind that was not undone."""
    with _opened() as database:
        row = database.execute(
            "SELECT id, began FROM runs WHERE kind = ? AND NOT undone ORDER BY id DESC LIMIT 1", (kind,)
        ).fetchone()
        if row is None:
            return None
        found = database.execute("SELECT path, before, after FROM changes WHERE run = ? ORDER BY place", (row[0],))
        changes = tuple(Change(os.fsdecode(path), before, after) for path, before, after in found)
    return Run(row[0], kind, row[1], changes)


def end_run(number: int) -> None:
    """Note that a run was undone."""
    with _opened() as database:
        database.execute("UPDATE runs SET undone = 1 WHERE id = ?", (number,))


def take_back(kind: str, undo: Callable[[Change], Undone]) -> Generator[Undone]:
    """Undo the latest run of a kind, its last change first, and yield what became of each file.

    The run is over unless another try may help with a file; then it stays the latest.

    Raises:
        NothingMatched: there is no run to take back.

    """
    run = last_run(kind)
    if run is None:
        raise NothingMatched(f"there is no run of aes {kind} that could be taken back")
    again = False
    for change in reversed(run.changes):
        undone = undo(change)
        again = again or undone.again
        yield undone
    if not again:
        end_run(run.number)


def known_writes(kind: str, paths: Iterable[str]) -> dict[str, set[bytes]]:
    """Return for each absolute path everything that runs of this kind have made of it; undone runs too."""
    if not journal_file().exists():
        return {}
    found: dict[str, set[bytes]] = {}
    with _opened() as database:
        for path in paths:
            rows = database.execute(
                "SELECT after FROM changes JOIN runs ON run = id WHERE path = ? AND kind = ? AND after IS NOT NULL",
                (os.fsencode(path), kind),
            )
            if afters := {bytes(after) for (after,) in rows}:
                found[path] = afters
    return found


def journal_file() -> Path:
    return aes_home() / "journal.db"


@contextmanager
def _opened() -> Iterator[sqlite3.Connection]:
    """Give the database for one transaction, which is on disk when the block ends."""
    file = journal_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=_BUSY_SECONDS)) as database:
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(_SCHEMA)
            with database:
                yield database
    except (sqlite3.Error, OSError) as error:
        raise StoreFailed(
            f"the journal {escape(str(file))} cannot be used: {error}",
            hint="without it nothing is changed: what cannot be undone is not done",
        ) from error
