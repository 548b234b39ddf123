"""Every n-th call on store and output fails: no kept row is lost, and the output is the old one or the new one."""

import errno
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import faults
from tests.conftest import encoded, photograph
from tests.faults import needs_compiler

pytestmark = needs_compiler


@dataclass(frozen=True)
class Disk:
    """Pictures, and a folder with a store of rows from before and an old output, on the disk that fails."""

    photos: Path
    kept: Path
    output: Path
    new: bytes

    def words(self, *more: str) -> list[object]:
        return ["score", self.photos, "--store", self.store, "-o", self.output, *more]

    @property
    def store(self) -> Path:
        return self.kept / "s.db"

    def rows(self) -> int:
        """Return how many rows are kept; the file must be whole."""
        database = sqlite3.connect(self.store)
        try:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return int(database.execute("SELECT count(*) FROM rows WHERE status = 'ok'").fetchone()[0])
        finally:
            database.close()

    def reset(self, before: bytes) -> None:
        for file in self.kept.iterdir():
            file.unlink()
        self.store.write_bytes(before)
        self.output.write_bytes(b"old")


def build(folder: Path, pictures: int, kept: int) -> tuple[Disk, bytes]:
    """Return the disk and the bytes of a store that has the rows of the first `kept` pictures."""
    # Long paths fill the pages of the store faster than more pictures would.
    photos, disk = folder / "photos" / ("long" * 50) / ("name" * 50), folder / "disk"
    photos.mkdir(parents=True)
    disk.mkdir()
    for at in range(pictures):
        (photos / f"{at:04}.png").write_bytes(encoded(photograph(at % 7, (32, 24))))
    output = disk / "out.csv"
    made = Disk(photos, disk, output, b"")
    listed = folder / "first"
    listed.write_text("".join(f"{photos}/{at:04}.png\n" for at in range(kept)))
    first = faults.run(
        "score", "--files-from", listed, "--store", made.store, "-q", under=folder / "nowhere", at=0, error=0
    )
    assert first.returncode == 0, first.stderr
    before = made.store.read_bytes()
    whole = faults.run(*made.words(), under=folder / "nowhere", at=0, error=0)
    assert whole.returncode == 0, whole.stderr
    return Disk(photos, disk, output, output.read_bytes()), before


def outlives(disk: Disk, before: bytes, kept: int, at: int, error: int) -> str:
    """Let one call fail and run again; return what is wrong, or nothing."""
    disk.reset(before)
    done = faults.run(*disk.words(), under=disk.kept, at=at, error=error)
    output, rows = disk.output.read_bytes(), disk.rows()
    wrong = []
    if "Traceback" in done.stderr or done.returncode not in (0, 1):
        wrong.append(f"exit {done.returncode}: {done.stderr[-300:]}")
    if done.returncode == 1 and not any(str(path) in done.stderr for path in (disk.store, disk.output)):
        wrong.append(f"no path is named: {done.stderr[-300:]}")
    if output != (disk.new if done.returncode == 0 else b"old") and output not in (disk.new, b"old"):
        wrong.append("half an output")
    if done.returncode == 0 and output != disk.new:
        wrong.append("exit 0 without the new output")
    if rows < kept:
        wrong.append(f"{kept - rows} kept rows lost")
    again = faults.run(*disk.words(), under=disk.kept, at=0, error=0)
    if again.returncode != 0 or disk.output.read_bytes() != disk.new:
        wrong.append(f"the run after it: exit {again.returncode} {again.stderr[-300:]}")
    return "; ".join(wrong)


def test_a_failed_call_on_store_or_output_loses_no_row(tmp_path: Path) -> None:
    disk, before = build(tmp_path, 40, 20)
    disk.reset(before)
    calls = faults.count(*disk.words(), under=disk.kept, log=tmp_path / "log")
    assert calls > 30
    for at in range(1, calls + 1, max(1, calls // 12)):
        error = (errno.EIO, errno.ENOSPC)[at % 2]
        assert not outlives(disk, before, 20, at, error), (at, error)


def test_a_failed_rename_leaves_the_old_output_and_says_so(tmp_path: Path) -> None:
    disk, before = build(tmp_path, 4, 1)
    disk.reset(before)
    done = faults.run(*disk.words(), under=disk.kept, at=1, error=errno.EIO, kinds=("rename",))
    assert done.returncode == 1
    assert str(disk.output) in done.stderr
    assert disk.output.read_bytes() == b"old"
    assert not list(disk.kept.glob(".*"))


@pytest.mark.parametrize("at", [1, 3])
def test_a_drive_that_fails_once_is_read_again(tmp_path: Path, at: int) -> None:
    disk, _ = build(tmp_path, 4, 1)
    words = ["score", disk.photos, "--no-store", "--format", "jsonl", "--workers", "1"]
    done = faults.run(*words, under=disk.photos, at=at, error=errno.EIO, kinds=("read",))
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["ok"] * 4


def test_a_file_that_cannot_be_read_is_one_row(tmp_path: Path) -> None:
    disk, _ = build(tmp_path, 4, 1)
    words = ["score", disk.photos, "--no-store", "--format", "jsonl"]
    done = faults.run(*words, under=disk.photos / "0002.png", at=1, error=errno.EISDIR, kinds=("read",))
    assert done.returncode == 3
    codes = [json.loads(line)["error_code"] for line in done.stdout.splitlines()]
    assert codes == [None, None, "io_error", None]


def test_a_full_disk_behind_the_copies_of_a_benchmark_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, _ = build(tmp_path, 2, 1)
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setenv("TMPDIR", str(copies))
    # At the first call Python only tries whether anything can be kept there.
    done = faults.run("bench", "robust", disk.photos, under=copies, at=3, error=errno.ENOSPC, kinds=("write",))
    assert done.returncode == 1
    assert f"copies cannot be kept in {copies}: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(copies.iterdir())
