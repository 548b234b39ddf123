"""Where the bytes of a picture wait that is no file: a slice of an archive, or a temporary file without a name.

Several threads may read at once. A picture of a spool travels to another process with its bytes.
"""

import os
import tempfile
import threading
from dataclasses import dataclass, field
from typing import Any

from aescli.errors import ErrorCode, PictureError
from aescli.images.source import FileBytes, Identity, Source, find_mtime

_SPOOL_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes of a file of this machine."""

    file: str
    offset: int
    identity: Identity

    def identify(self) -> Identity:
        return self.identity

    def read(self) -> FileBytes:
        try:
            with open(self.file, "rb") as stream:  # noqa: PTH123 - any bytes
                changed = find_mtime(os.fstat(stream.fileno())) != self.identity.mtime_ns
                stream.seek(self.offset)
                data = stream.read(self.identity.size)
        except OSError as error:
            raise PictureError(ErrorCode.IO_ERROR, f"the archive cannot be read: {error.strerror}") from error
        return _whole(data, self.identity, changed=changed)


@dataclass(frozen=True, slots=True)
class _Content:
    """Bytes at hand: how a picture of a spool travels to another process."""

    data: bytes
    identity: Identity

    def identify(self) -> Identity:
        return self.identity

    def read(self) -> FileBytes:
        return _whole(self.data, self.identity, changed=False)


@dataclass(frozen=True, slots=True)
class _Spooled:
    """Bytes that wait in a spool."""

    spool: "Spool"
    offset: int
    identity: Identity

    def identify(self) -> Identity:
        return self.identity

    def read(self) -> FileBytes:
        return _whole(self.spool.read(self.offset, self.identity.size), self.identity, changed=False)

    def __reduce__(self) -> tuple[type[_Content], tuple[bytes, Identity]]:
        return _Content, (self.spool.read(self.offset, self.identity.size), self.identity)


@dataclass(slots=True)
class Spool:
    """A temporary file without a name; it is gone with the last picture that waits in it."""

    file: Any = field(default_factory=tempfile.TemporaryFile)
    size: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, data: bytes) -> int:
        with self._lock:
            offset = self.size
            self.file.seek(offset)
            self.file.write(data)
            self.size += len(data)
        return offset

    def read(self, offset: int, size: int) -> bytes:
        with self._lock:
            self.file.seek(offset)
            data: bytes = self.file.read(size)
        return data

    def __del__(self) -> None:
        self.file.close()


@dataclass(slots=True)
class Spools:
    """A row of spools, each closed to more once it is large."""

    current: Spool = field(default_factory=Spool)

    def keep(self, data: bytes, identity: Identity) -> Source:
        """Write a picture's bytes away, and return where they are read again."""
        if self.current.size >= _SPOOL_BYTES:
            self.current = Spool()
        return _Spooled(self.current, self.current.add(data), identity)


def _whole(data: bytes, identity: Identity, *, changed: bool) -> FileBytes:
    if not data:
        raise PictureError(ErrorCode.EMPTY, "the file has no bytes")
    return FileBytes(data, identity, changed or len(data) != identity.size)
