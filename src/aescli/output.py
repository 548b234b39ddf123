"""An output that is the old one or the new one, never half, and that one run at a time may write.

Rows go to a hidden file beside the target, which is locked while its process lives and renamed over the target at the
end. A target that exists and is no regular file (a FIFO, /dev/stdout) is written in place.
"""

import contextlib
import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from aescli.errors import OutputFailed, OutputLocked, ReaderGone, UsageError
from aescli.names import escape
from aescli.remote import is_remote, replace_remote

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def replace_target(target: str) -> Iterator[BinaryIO]:
    """Give a binary stream whose content becomes a file or what an address names; else nothing changes.

    Raises:
        UsageError: nothing can be written to the address.
        OutputLocked, OutputFailed: as `replace_file` and `replace_remote`; an address has no lock.

    """
    with replace_remote(target) if is_remote(target) else replace_file(Path(target)) as stream:
        yield stream


@contextmanager
def replace_file(target: Path) -> Iterator[BinaryIO]:
    """Give a binary stream whose content becomes `target` when the block ends well; else nothing changes.

    Raises:
        OutputLocked: another run is writing this target.
        OutputFailed: the folder or the target cannot be written.

    """
    if str(target) in ("", "."):
        raise UsageError("the output has no name", hint="-o FILE")
    if _is_special(target):
        with _reported(target):
            special = _opened_in_place(target)
            try:
                yield special
                special.flush()
            except BrokenPipeError:
                raise ReaderGone from None
            finally:
                with contextlib.suppress(OSError):  # what nobody took cannot be flushed either
                    special.close()
        return
    real = _followed(target)
    part = _part_of(real)
    with _reported(target):
        stream = _locked(part, target)
    try:
        with _reported(target):
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            _keep_mode(real, stream)
            os.replace(part, real)  # noqa: PTH105
            sync_folder(real.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    finally:
        with contextlib.suppress(OSError):  # what the failed disk could not take cannot be flushed either
            stream.close()


def discard_part(target: Path) -> None:
    """Remove what a killed run has left of its writing `target`; what is being written stays."""
    part = _part_of(_followed(target))
    with contextlib.suppress(OSError, OutputLocked):  # at worst a hidden file stays
        if part.exists():
            with _locked(part, target):
                part.unlink()


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a hidden folder that gets the name `target` when the block ends well; else nothing is left behind.

    Raises:
        OutputFailed: the target exists, or cannot be written.

    """
    refuse_existing(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield part
        try:
            part.chmod(0o777 & ~find_umask())  # a temporary folder is for its owner alone
            part.rename(target)
        except OSError as error:
            raise _unwritable(target, error) from error
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise _unwritable(target, error) from error
        raise


def refuse_existing(target: Path) -> None:
    """Raise OutputFailed where there is a folder or file of this name."""
    if os.path.lexists(target):
        raise OutputFailed(f"{escape(str(target))} exists", hint="name a folder that does not")


def find_umask() -> int:
    """Return which permissions this process takes from what it makes."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _followed(target: Path) -> Path:
    """Return what a link points to: renaming over the link would replace it, not the file behind it."""
    return Path(os.path.realpath(target)) if target.is_symlink() else target


def _part_of(real: Path) -> Path:
    return real.with_name(f".{real.name}.aes-part")


def _is_special(target: Path) -> bool:
    if _descriptor_of(target) is not None:
        return True
    try:
        return not stat.S_ISREG(target.stat().st_mode)
    except OSError:
        return False


def _descriptor_of(target: Path) -> int | None:
    """Return the descriptor that a name such as /dev/stdout or /dev/fd/63 stands for."""
    named = {"/dev/stdout": 1, "/dev/stderr": 2}
    match = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d+)", str(target))
    return int(match[1]) if match else named.get(str(target))


def _opened_in_place(target: Path) -> BinaryIO:
    """Open what is no regular file; a descriptor that the shell opened is used as it is, wherever it stands."""
    descriptor = _descriptor_of(target)
    return target.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb")


@contextmanager
def _reported(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename is not None and os.fsdecode(error.filename) not in _names_of(target):
            raise
        raise _unwritable(target, error) from error


def _unwritable(target: Path, error: OSError) -> OutputFailed:
    return OutputFailed(f"{escape(str(target))} cannot be written: {error.strerror or error}")


def _names_of(target: Path) -> set[str]:
    real = _followed(target)
    return {str(target), str(real), str(real.with_name(f".{real.name}.aes-part")), str(real.parent)}


def _locked(part: Path, target: Path) -> BinaryIO:
    """Open the part file and lock it; the lock ends with the process, however it ends."""
    while True:
        # Not through a link that somebody else may have put there.
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        stream = os.fdopen(os.open(part, flags | getattr(os, "O_BINARY", 0), 0o666), "wb", closefd=True)
        try:
            lock_file(stream)
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


def lock_file(stream: BinaryIO) -> None:
    """Lock an open file for this process; an OSError says that another has it. The lock ends with the stream."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _keep_mode(target: Path, stream: BinaryIO) -> None:
    if target.exists() and sys.platform != "win32":
        os.fchmod(stream.fileno(), stat.S_IMODE(target.stat().st_mode))


def sync_file(file: Path) -> None:
    """Have a file that was written reach its disk."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in a folder reach its disk."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network drives cannot sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
