import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aescli.errors import OutputFailed, OutputLocked
from aescli.output import new_folder, replace_file
from tests.conftest import needs_posix


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if "aes-part" in path.name]


def test_the_target_is_the_new_file_only_when_the_block_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), replace_file(target) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert target.read_text() == "old"
    with replace_file(target) as stream:
        stream.write(b"new")
        stream.flush()
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert leftovers(tmp_path) == []


def test_a_second_run_on_the_same_target_is_refused_at_once(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with replace_file(target) as stream:
        stream.write(b"first")
        with pytest.raises(OutputLocked), replace_file(target):
            pass
    assert target.read_bytes() == b"first"


@needs_posix
def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    program = (
        "import os,sys; from pathlib import Path; from aescli.output import replace_file\n"
        f"with replace_file(Path({str(target)!r})) as s:\n s.write(b'x'*100); s.flush(); os.kill(os.getpid(), 9)"
    )
    child = subprocess.run([sys.executable, "-c", program], check=False)
    assert child.returncode == -9
    assert leftovers(tmp_path)
    with replace_file(target) as stream:
        stream.write(b"second")
    assert target.read_bytes() == b"second"
    assert leftovers(tmp_path) == []


@needs_posix
def test_a_fifo_is_written_in_place(tmp_path: Path) -> None:
    target = tmp_path / "pipe"
    os.mkfifo(target)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(target.read_bytes()))
    reader.start()
    with replace_file(target) as stream:
        stream.write(b"row")
    reader.join(5)
    assert got == [b"row"]
    assert target.is_fifo()


@needs_posix
def test_a_link_stays_a_link_and_the_mode_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    with replace_file(link) as stream:
        stream.write(b"new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_folder_that_is_missing_or_a_target_that_is_a_folder_is_named(tmp_path: Path) -> None:
    for target in (tmp_path / "missing" / "out.csv", tmp_path):
        with pytest.raises(OutputFailed, match=target.name), replace_file(target):
            pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_named() -> None:
    with pytest.raises(OutputFailed, match="/dev/full"), replace_file(Path("/dev/full")) as stream:
        stream.write(b"x" * 100_000)


@needs_posix
def test_standard_output_by_name_is_the_stream_that_the_shell_opened(photos: Path, tmp_path: Path) -> None:
    aes = f"{sys.executable} -m aescli score {photos} --no-store --format csv"
    log = tmp_path / "log.csv"
    log.write_text("kept\n")
    for line in (f"{aes} -o /dev/stdout | cat", f"{aes} -o >(cat)", f"{aes} -o /dev/stdout >> {log}; cat {log}"):
        done = subprocess.run(["bash", "-c", f"{line}; sleep 0.3"], capture_output=True, text=True, check=False)
        assert done.stdout.count(",ok,") == 6, (line, done.stderr)
    assert log.read_text().startswith("kept\n")


@needs_posix
def test_a_link_in_place_of_the_part_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".out.csv.aes-part").symlink_to("precious")
    with pytest.raises(OutputFailed), replace_file(tmp_path / "out.csv"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


@needs_posix
def test_a_fifo_whose_reader_leaves_ends_the_run_quietly(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "pipe.csv"
    os.mkfifo(target)
    reader = threading.Thread(target=lambda: os.close(os.open(target, os.O_RDONLY)))
    reader.start()
    words = [sys.executable, "-m", "aescli", "score", str(photos), "--no-store", "-o", str(target)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    reader.join(5)
    assert done.returncode == 0
    assert "rror" not in done.stderr


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match="new cannot be written"), new_folder(tmp_path / "new") as folder:
        (folder / "a").write_text("x")
        raise OSError(errno.EFBIG, "File too large")
    assert not list(tmp_path.iterdir())
