"""Faults of the file that keeps paid answers, with a real SQLite: no traceback, and nothing paid twice in silence."""

import errno
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aescli.errors import StoreFailed
from aescli.models import responses
from aescli.models.responses import Responses
from tests import faults
from tests.conftest import Aes, photograph
from tests.endpoint import OBJECT, Server, serving
from tests.faults import needs_compiler

LONG = json.dumps({**json.loads(OBJECT), "summary": "light " * 1500})


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.setattr(responses, "_BUSY_SECONDS", 0.2)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for at in range(20):
        photograph(at, (60, 40)).save(folder / f"{at:02}.png")
    return folder


def words(server: Server, *more: object) -> tuple[object, ...]:
    return ("--model", "endpoint:m", "--base-url", server.address, "--format", "jsonl", *more)


def ok(lines: str) -> list[str]:
    return [row["path"] for row in map(json.loads, lines.splitlines()) if row["status"] == "ok"]


def fill_at_once(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """Let the file of answers hold so many pages, as a full disk would."""
    connect = sqlite3.connect

    def limited(file: Path, *more: Any, **named: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = connect(file, *more, **named)
        if Path(file).name == "responses.db":
            database.execute(f"PRAGMA max_page_count = {pages}")
        return database

    monkeypatch.setattr(sqlite3, "connect", limited)


def test_a_full_disk_ends_the_run_with_what_was_paid_for(
    aes: Aes, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(*[LONG] * 40) as server:
        with monkeypatch.context() as patched:
            fill_at_once(patched, 8)
            first = aes("critique", pictures, *words(server))
        paid = len(server.requests)
        assert first.code == 1
        assert "responses.db, which keeps paid answers, failed: database or disk is full" in first.err
        assert "answers that were paid for are not in it" in first.err
        assert 0 < paid < 20
        assert len(ok(first.out)) == paid  # each has its row
        again = aes("critique", pictures, *words(server))
        assert again.code == 0, again.err
        assert len(server.requests) == 20  # rows are kept beside the answers


def test_a_full_disk_at_the_last_answer_is_said_as_well(
    aes: Aes, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_at_once(monkeypatch, 3)
    with serving(LONG) as server:
        done = aes("critique", pictures / "00.png", *words(server, "--no-store"))
    assert len(ok(done.out)) == 1
    assert done.code == 1
    assert "1 answers that were paid for are not in it" in done.err


def damage(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.seek(24)  # from the counter of changes on, so that no copy in memory is taken for good
        stream.write(os.urandom(file.stat().st_size - 24))


def lock(file: Path) -> None:
    database = sqlite3.connect(file, check_same_thread=False)
    database.execute("BEGIN EXCLUSIVE")
    LOCKS.append(database)


LOCKS: list[sqlite3.Connection] = []


@pytest.mark.parametrize(("harm", "said"), [(damage, "responses.db"), (lock, "locked")])
def test_a_file_that_fails_under_way_stops_the_asking(
    aes: Aes, pictures: Path, home: Path, harm: Callable[[Path], None], said: str
) -> None:
    with serving() as server:
        server.before = lambda number: harm(home / "responses.db") if number == 9 else None  # between two batches
        done = aes("critique", pictures, *words(server))
        while LOCKS:
            LOCKS.pop().close()
        assert done.code == 1
        assert said in done.err
        assert "Traceback" not in done.err
        assert len(ok(done.out)) == len(server.requests) < 20
        scored = aes("score", pictures, *words(server))  # the damage is still there, the lock is not
        assert scored.code == (1 if harm is damage else 3)


def test_a_file_that_cannot_be_opened_ends_the_run_before_anything_is_asked(
    aes: Aes, pictures: Path, home: Path
) -> None:
    home.mkdir()
    file = home / "responses.db"
    with serving() as server:
        file.write_bytes(b"no database at all " * 300)
        for command in ("critique", "score"):
            done = aes(command, pictures, *words(server))
            assert done.code == 1
            assert "responses.db, which keeps paid answers, failed: file is not a database" in done.err
        file.unlink()
        file.mkdir()
        assert "unable to open" in aes("critique", pictures, *words(server)).err
        file.rmdir()
        Responses(file).close()
        lock(file)
        assert "locked" in aes("critique", pictures, *words(server)).err
        LOCKS.pop().close()
        assert server.requests == []


def test_an_answer_that_is_damaged_is_not_asked_for_again_in_silence(tmp_path: Path) -> None:
    file = tmp_path / "r.db"
    kept = Responses(file)
    kept.keep("a", {"text": "x"})
    kept.close()
    database = sqlite3.connect(file)
    database.execute("UPDATE responses SET content = 'no json'")
    database.commit()
    database.close()
    again = Responses(file)
    with pytest.raises(Exception, match="might be paid for twice"):
        again.find("a")
    with pytest.raises(StoreFailed):
        again.close()


@needs_compiler
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_whatever_call_on_the_file_fails_nothing_is_paid_twice_in_silence(
    pictures: Path, home: Path, tmp_path: Path, error: int
) -> None:
    """Each run begins with an empty file; a second run, undisturbed, asks for what has no row and no answer."""
    for picture in sorted(pictures.iterdir())[4:]:
        picture.unlink()
    for at in (1, 3, 7, 12, 19):
        home.mkdir(exist_ok=True)
        for file in home.iterdir():
            file.unlink()
        with serving() as server:
            command = ("critique", pictures, *words(server, "--no-store"))
            done = faults.run(*command, under=home / "responses.db", at=at, error=error)
            assert "Traceback" not in done.stderr, at
            assert done.returncode in (0, 1, 3), (at, done.stderr)
            paid = len(server.requests)
            assert len(ok(done.stdout)) == paid
            if not paid:
                continue
            faults.run(*command, under=tmp_path / "nowhere", at=0, error=0)
            twice = len(server.requests) - 4
            assert twice == 0 or "responses.db" in done.stderr, (at, twice, done.stderr)
