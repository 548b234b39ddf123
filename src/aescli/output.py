"""An output file that is the old one or the new one, never half, and that one run at a time may write.

Rows go to a hidden file beside the target, which is locked while its process lives and renamed over the target at the
end. A target that exists and is no regular file (a FIFO, /dev/stdout) is written in place.
"""

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from aescli.errors import OutputFailed, OutputLocked
from aescli.names import escape


@contextmanager
def replace_file(target: Path) -> Iterator[BinaryIO]:
    """Give a binary stream whose content becomes `target` when the block ends well; else nothing changes.

    Raises:
        OutputLocked: another run is writing this target.
        OutputFailed: the folder or the target cannot be written.

    """
    real = _followed(target)
    if _is_special(real):
        with _reported(target), real.open("wb") as special:
            yield special
        return
    part = real.with_name(f".{real.name}.aes-part")
    with _reported(target):
        stream = _locked(part, target)
    try:
        with _reported(target):
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            _keep_mode(real, stream)
            os.replace(part, real)  # noqa: PTH105
            _sync_folder(real.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    finally:
        with contextlib.suppress(OSError):  # what the failed disk could not take cannot be flushed either
            stream.close()


def _followed(target: Path) -> Path:
    """Return what a link points to: renaming over the link would replace it, not the file behind it."""
    return Path(os.path.realpath(target)) if target.is_symlink() else target


def _is_special(target: Path) -> bool:
    try:
        return not stat.S_ISREG(target.stat().st_mode)
    except OSError:
        return False


@contextmanager
def _reported(target: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None and os.fsdecode(error.filename) not in _names_of(target):
            raise
        raise OutputFailed(f"{escape(str(target))} cannot be written: {error.strerror or error}") from error


def _names_of(target: Path) -> set[str]:
    real = _followed(target)
    return {str(target), str(real), str(real.with_name(f".{real.name}.aes-part")), str(real.parent)}


def _locked(part: Path, target: Path) -> BinaryIO:
    """Open the part file and lock it; the lock ends with the process, however it ends."""
    while True:
        stream = part.open("ab")
        try:
            _lock(stream)
        except OSError:
            stream.close()
            raise OutputLocked(
                f"{escape(str(target))} is being written by another run",
                hint="wait for it, or name another file",
            ) from None
        # The run that had it may just have renamed the file that we locked.
        with contextlib.suppress(OSError):
            if sys.platform == "win32" or os.path.samestat(part.stat(), os.fstat(stream.fileno())):
                stream.truncate(0)
                return stream
        stream.close()


def _lock(stream: BinaryIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _keep_mode(target: Path, stream: BinaryIO) -> None:
    if target.exists() and sys.platform != "win32":
        os.fchmod(stream.fileno(), stat.S_IMODE(target.stat().st_mode))


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network drives cannot sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
