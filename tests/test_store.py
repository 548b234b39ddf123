import math
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aescli.errors import ErrorCode, StoreFailed
from aescli.images.source import Identity
from aescli.results import Failure, Score
from aescli.store import FLUSH_ROWS, Key, Store

FINGERPRINT = {"model": "mini", "dimensions": []}


def score(overall: float = 5.0) -> Score:
    return Score("a.jpg", overall, 4.0, "mini", "r1", "onnx-cpu", "regression", {"noise": 9.5}, ("changed",))


def key(name: bytes = b"/a.jpg", size: int = 10, mtime_ns: int = 7, sha256: bytes | None = None) -> Key:
    return Key(Identity(name, size, mtime_ns), sha256)


def test_a_kept_row_comes_back_whole_under_the_name_it_is_asked_by(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db", FINGERPRINT) as store:
        store.keep(key(), score())
    with Store(tmp_path / "s.db", FINGERPRINT) as store:
        found = store.find(key(), "./a.jpg")
    assert found == Score("./a.jpg", 5.0, 4.0, "mini", "r1", "onnx-cpu", "regression", {"noise": 9.5}, ("changed",))


@pytest.mark.parametrize("other", [key(b"/b.jpg"), key(size=11), key(mtime_ns=8), Key(None)])
def test_another_path_size_or_time_is_another_picture(tmp_path: Path, other: Key) -> None:
    with Store(tmp_path / "s.db", FINGERPRINT) as store:
        store.keep(key(), score())
        store._flush()
        assert store.find(other, "a.jpg") is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("dims", None), ("dims", "{"), ("dims", '{"noise": 99}'), ("levels", "[]"), ("flags", b"x"), ("overall", "abc"),
        ("overall", None), ("overall", math.inf), ("overall", 99.0), ("raw", math.inf), ("model", b"mini"),
    ],
)  # fmt: skip
def test_a_damaged_row_is_computed_again(tmp_path: Path, column: str, value: object) -> None:
    with Store(tmp_path / "s.db", FINGERPRINT) as store:
        store.keep(key(), score())
    database = sqlite3.connect(tmp_path / "s.db")
    with database:
        database.execute(f"UPDATE rows SET {column} = ?", (value,))
    database.close()
    with Store(tmp_path / "s.db", FINGERPRINT) as store:
        assert store.find(key(), "a.jpg") is None
        assert store.found == 0
        store.keep(key(), score(6.0))
        store._flush()
        found = store.find(key(), "a.jpg")
    assert found is not None
    assert found.overall == 6.0


def test_fingerprints_live_side_by_side(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    for number in (1.0, 2.0):
        with Store(file, {"model": number}) as store:
            store.keep(key(), score(number))
    for number in (1.0, 2.0):
        with Store(file, {"model": number}) as store:
            found = store.find(key(), "a.jpg")
            assert found is not None
            assert found.overall == number


def test_content_finds_a_picture_that_moved(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db", FINGERPRINT) as store:
        store.keep(key(sha256=b"x" * 32), score())
        store._flush()
        assert store.find(key(b"/moved.jpg", mtime_ns=99, sha256=b"x" * 32), "moved.jpg") is not None
        assert store.find(key(sha256=b"y" * 32), "a.jpg") is None


def test_a_failure_is_kept_and_never_found(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db", FINGERPRINT) as store:
        store.keep(key(), Failure("a.jpg", ErrorCode.CORRUPT, "broken", "mini"))
        store._flush()
        assert store.find(key(), "a.jpg") is None
    rows = sqlite3.connect(tmp_path / "s.db")
    assert rows.execute("SELECT status, error_code FROM rows").fetchall() == [("error", "corrupt")]
    rows.close()


def test_a_killed_process_loses_at_most_one_flush_interval(tmp_path: Path) -> None:
    program = f"""
import os
from pathlib import Path
from tests.test_store import FINGERPRINT, Store, key, score
store = Store(Path({str(tmp_path / "s.db")!r}), FINGERPRINT)
for at in range({FLUSH_ROWS} + 10):
    store.keep(key(b"/%d" % at), score())
os.kill(os.getpid(), 9)
"""
    child = subprocess.run([sys.executable, "-c", program], check=False, cwd=Path(__file__).parents[1])
    assert child.returncode == -9
    with Store(tmp_path / "s.db", FINGERPRINT) as store:
        kept = sum(store.find(key(b"/%d" % at), "x") is not None for at in range(FLUSH_ROWS + 10))
    assert kept >= FLUSH_ROWS


def test_threads_and_processes_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    with Store(file, FINGERPRINT) as one, Store(file, FINGERPRINT) as two:

        def keep_many(store: Store, start: int) -> None:
            for at in range(start, start + 600):
                store.keep(key(b"/%d" % at), score())

        threads = [
            threading.Thread(target=keep_many, args=(store, start))
            for store, start in ((one, 0), (one, 1000), (two, 2000))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    rows = sqlite3.connect(file)
    assert rows.execute("SELECT count(*) FROM rows").fetchone() == (1800,)
    rows.close()


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be read as one" * 40])
def test_a_file_that_is_no_store_is_refused_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "s.db"
    file.write_bytes(content)
    with pytest.raises(StoreFailed) as caught:
        Store(file, FINGERPRINT)
    assert "--no-store" in caught.value.hint
    assert file.read_bytes() == content


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreFailed, match="another version"):
        Store(file, FINGERPRINT)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.db"
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE photos (name TEXT)")
    database.close()
    before = file.read_bytes()
    with pytest.raises(StoreFailed, match="another program"):
        Store(file, FINGERPRINT)
    assert file.read_bytes() == before


def test_many_runs_may_begin_on_a_new_store_at_once(tmp_path: Path) -> None:
    program = "import sys; from tests.test_store import *; Store(Path(sys.argv[1]), FINGERPRINT).close()"
    for at in range(3):
        words = [sys.executable, "-c", program, str(tmp_path / f"{at}.db")]
        runs = [subprocess.Popen(words, cwd=Path(__file__).parents[1]) for _ in range(5)]
        assert [run.wait() for run in runs] == [0] * 5


def test_a_store_of_the_first_version_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    with Store(file, FINGERPRINT) as store:
        store.keep(key(), score())
    database = sqlite3.connect(file)
    database.execute("ALTER TABLE rows DROP COLUMN levels")
    database.execute("DROP TABLE texts")
    database.execute("PRAGMA user_version = 1")
    database.commit()
    database.close()
    opened: list[Exception | None] = []

    def open_it() -> None:
        try:
            Store(file, FINGERPRINT).close()
            opened.append(None)
        except StoreFailed as error:
            opened.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [None] * 6
    with Store(file, FINGERPRINT) as store:
        assert store.find(key(), "a.jpg") == score()


def test_another_programs_rows_stay_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE rows (a)")
    database.execute("CREATE TABLE fingerprints (a)")
    database.execute("PRAGMA user_version = 1")
    database.commit()
    database.close()
    before = file.read_bytes()
    with pytest.raises(StoreFailed, match="another program"):
        Store(file, FINGERPRINT)
    assert file.read_bytes() == before
