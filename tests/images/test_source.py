import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from aescli.errors import ErrorCode, PictureError
from aescli.images.source import identify_file, read_file
from tests.conftest import needs_posix


def code_of(path: str) -> ErrorCode:
    with pytest.raises(PictureError) as caught:
        read_file(path)
    return caught.value.code


def test_bytes_and_identity_come_together(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"abc")
    read = read_file(str(file))
    assert read.data == b"abc"
    assert read.identity == identify_file(str(file))
    assert read.identity.size == 3
    assert not read.changed


@pytest.mark.parametrize("second", [2**34, -(2**31)])
def test_a_time_that_no_database_holds_is_one_that_it_does(tmp_path: Path, second: int) -> None:
    """As damaged disks and archives give files: the year 2514."""
    file = tmp_path / "a.jpg"
    file.write_bytes(b"abc")
    os.utime(file, (second, second))
    read = read_file(str(file))
    assert abs(read.identity.mtime_ns) < 2**63
    assert not read.changed


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    assert code_of(str(tmp_path / "empty.jpg")) is ErrorCode.EMPTY
    assert code_of(str(tmp_path / "missing.jpg")) is ErrorCode.VANISHED
    assert code_of(str(tmp_path / "empty.jpg" / "inside.jpg")) is ErrorCode.VANISHED
    assert code_of("nul\0byte.jpg") is ErrorCode.VANISHED
    assert code_of("x" * 5000) is ErrorCode.IO_ERROR


@needs_posix
def test_nothing_that_is_no_regular_file_blocks_the_run(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert code_of(str(tmp_path / "pipe.jpg")) is ErrorCode.NOT_AN_IMAGE
    assert code_of("/dev/zero") is ErrorCode.NOT_AN_IMAGE
    assert code_of(str(tmp_path)) is ErrorCode.NOT_AN_IMAGE
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.jpg"))
        assert code_of(str(tmp_path / "s.jpg")) is ErrorCode.NOT_AN_IMAGE


def test_passing_faults_are_tried_three_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    faults = [OSError(errno.ESTALE, "stale"), OSError(errno.EIO, "i/o")]
    real = os.open

    def failing(*words: Any) -> int:
        if faults:
            raise faults.pop()
        return real(*words)

    monkeypatch.setattr("aescli.images.source.os.open", failing)
    monkeypatch.setattr("aescli.images.source.time.sleep", lambda seconds: None)
    assert read_file(str(tmp_path / "a.jpg")).data == b"abc"
    faults += [OSError(errno.EIO, "i/o")] * 3
    assert code_of(str(tmp_path / "a.jpg")) is ErrorCode.IO_ERROR


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_permission_is_said(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"abc")
    file.chmod(0)
    assert code_of(str(file)) is ErrorCode.PERMISSION
