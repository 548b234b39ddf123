"""Bytes of a picture, read so that nothing in its place can block or surprise the run."""

import errno
import os
import stat
import time
from dataclasses import dataclass
from typing import Protocol

from aescli.errors import ErrorCode, PictureError
from aescli.images import formats
from aescli.remote import name_in

_ATTEMPTS = 3
_FIRST_PAUSE = 0.05  # seconds; doubled after each attempt
_PASSING = frozenset({errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT})
_FARTHEST = 2**63 - 1  # ns: what a database can hold
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one state of a file from another: absolute path, size in bytes, mtime in nanoseconds.

    What lies elsewhere has its address for a path, and 63 bits of a hash of its ETag where a file has its mtime.
    """

    path: bytes
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class FileBytes:
    """A file's content, the identity it had when it was opened, and whether it changed while it was read."""

    data: bytes
    identity: Identity
    changed: bool


class Source(Protocol):
    """Where the bytes of a picture are that is no file of its own; several threads may read several at once."""

    def identify(self) -> Identity | None:
        """Return what tells this state of the picture from another without reading it, or None."""
        ...

    def read(self) -> FileBytes:
        """Read the picture whole, or raise PictureError."""
        ...


def flag(path: str, file: FileBytes, seen: set[str]) -> tuple[str, ...]:
    """Return a row's flags, sorted: those that its picture has, and what the file itself says.

    Args:
        path: of the picture, as rows name it.
        file: as it was read.
        seen: flags of the picture.

    """
    flags = set(seen)
    suffix = os.path.splitext(name_in(path))[1].lower()  # noqa: PTH122
    name = formats.identify(file.data)
    if suffix and name and not formats.matches_suffix(name, suffix):
        flags.add("ext_mismatch")
    if file.changed:
        flags.add("changed")
    return tuple(sorted(flags))


def identify_file(path: str) -> Identity | None:
    """Return the identity of a regular file without opening it, or None."""
    try:
        status = os.stat(path)  # noqa: PTH116 - surrogates and spelling stay as they are
    except (OSError, ValueError):
        return None
    return _identity(path, status) if stat.S_ISREG(status.st_mode) else None


def read_file(path: str) -> FileBytes:
    """Read a regular file whole; passing faults of network drives are tried three times.

    Raises:
        PictureError: `vanished`, `permission`, `io_error`, `empty`, or `not_an_image` for what is no regular file.

    """
    pause = _FIRST_PAUSE
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _read_once(path)
        except (OSError, ValueError) as error:
            number = getattr(error, "errno", None)
            if number not in _PASSING or attempt == _ATTEMPTS:
                raise _problem(error) from error
            time.sleep(pause)
            pause *= 2
    raise AssertionError("the loop returns or raises")


def _read_once(path: str) -> FileBytes:
    # Non-blocking, since opening a FIFO would wait for a writer for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(_regular(descriptor), "rb") as file:
        before = os.fstat(descriptor)
        data = file.read()
        after = os.fstat(descriptor)
    if not data:
        raise PictureError(ErrorCode.EMPTY, "the file has no bytes")
    changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    return FileBytes(data, _identity(path, before), changed or len(data) != before.st_size)


def _regular(descriptor: int) -> int:
    """Return a descriptor of a regular file; that of anything else is closed: Python would not say what it is."""
    mode = os.fstat(descriptor).st_mode
    kind = next((kind for is_kind, kind in _KINDS if is_kind(mode)), None)
    if kind:
        os.close(descriptor)
        raise PictureError(ErrorCode.NOT_AN_IMAGE, f"is {kind}, no regular file")
    return descriptor


def find_mtime(status: os.stat_result) -> int:
    """Return when a file was changed, ns; the years before 1678 and after 2262, of damaged disks, are these."""
    return max(-_FARTHEST, min(status.st_mtime_ns, _FARTHEST))


def _identity(path: str, status: os.stat_result) -> Identity:
    return Identity(os.fsencode(os.path.abspath(path)), status.st_size, find_mtime(status))  # noqa: PTH100


def _problem(error: Exception) -> PictureError:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return PictureError(ErrorCode.VANISHED, "there is no such file")
        case PermissionError():
            return PictureError(ErrorCode.PERMISSION, "may not be read")
        case OSError(errno=errno.ENXIO):
            return PictureError(ErrorCode.NOT_AN_IMAGE, "is a socket, or a device that is not there")
        case OSError():
            return PictureError(ErrorCode.IO_ERROR, error.strerror or str(error))
        case _:
            return PictureError(ErrorCode.VANISHED, f"is no possible file name: {error}")
