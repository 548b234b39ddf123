"""Files that lie elsewhere: `s3://`, `gs://`, `hf://` and `https://`, through fsspec and the driver of each.

Credentials come from where each driver looks for them (the environment, its own files), never from an address. What an
address carries all the same, such as the signature of a link, is used and never shown: rows, the store and errors have
`shown(address)`. Text of a driver is never passed on, since it may quote an address whole.
"""

import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from aescli.errors import AesError, MissingExtra, OutputFailed, UsageError
from aescli.names import escape

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_EXTRAS = {"s3": "s3", "gs": "gcs", "http": "https", "https": "https"}
_SCHEMES = frozenset({*_EXTRAS, "hf"})  # its driver comes with huggingface-hub
_WEB = frozenset({"http", "https"})
_SECRET = re.compile(r"sig|token|secret|password|credential|policy|key|auth", re.IGNORECASE)
_HIDDEN = "***"
# s3fs asks for an object's size before it reads it, so as to read parts at once: a second request for each picture.
_OPTIONS = {"s3": {"max_concurrency": 1}}
_LOGGERS = ("fsspec", "gcsfs", "s3fs")
_NO_LOG = logging.NullHandler()
_ATTEMPTS = 3
_FIRST_PAUSE = 0.2  # seconds; doubled after each attempt

_Answer = TypeVar("_Answer")


def is_remote(word: str) -> bool:
    """Tell an address from a path; `./s3://x` is a path."""
    scheme, slashes, _ = word.partition("://")
    return bool(slashes) and scheme in _SCHEMES


def is_web(address: str) -> bool:
    """Tell whether an address is one of the web, where nothing can be listed or written."""
    return address.partition("://")[0] in _WEB


def name_in(address: str) -> str:
    """Return an address up to its query, which is no part of a file's name; a path as it is."""
    return address.partition("#")[0].partition("?")[0] if is_web(address) else address


def shown(address: str) -> str:
    """Return an address as rows and errors have it: what opens doors is left out, or is `***`; a path as it is."""
    if not is_remote(address):
        return address
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    place = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    if scheme not in _WEB:
        return place
    place, mark, query = place.partition("#")[0].partition("?")
    fields = (field.partition("=") for field in query.split("&"))
    hidden = (f"{name}{sign}{_HIDDEN if sign and _SECRET.search(name) else value}" for name, sign, value in fields)
    return f"{place}{mark}{'&'.join(hidden)}"


def check_address(address: str) -> None:
    """Refuse an address that cannot be meant, or whose driver is missing, before anything is asked of it.

    Raises:
        UsageError: it has a password in it, or names nothing.
        MissingExtra: the driver is not installed.

    """
    place = address.partition("://")[2]
    if "@" in place.partition("/")[0]:
        raise UsageError(
            f"{escape(shown(address))}: an address carries no password",
            hint="credentials come from the environment, or from the driver's own files",
        )
    if not place.strip("/"):
        raise UsageError(f"'{escape(address)}' names nothing", hint="s3://BUCKET/FOLDER/")
    open_file_system(address)


def open_file_system(address: str) -> "AbstractFileSystem":
    """Return the file system of an address; nothing is asked of it yet.

    Raises:
        MissingExtra: the driver is not installed.

    """
    import fsspec

    scheme = address.partition("://")[0]
    for name in _LOGGERS:  # gcsfs has a warning for every object; who sets logging up sees it
        logging.getLogger(name).addHandler(_NO_LOG)
    try:
        # Listings are not kept: a bucket may hold millions of names.
        return fsspec.filesystem(scheme, use_listings_cache=False, **_OPTIONS.get(scheme, {}))
    except (ImportError, ValueError):
        raise MissingExtra(f"{scheme}://", _EXTRAS.get(scheme, "all")) from None


def place_of(address: str) -> str:
    """Return what a file system calls an address."""
    # Not through `url_to_fs`: it takes `::` in a name for a chain of file systems.
    return address if is_web(address) else address.partition("://")[2]


def ask(call: Callable[[], _Answer]) -> _Answer:
    """Ask something of a driver; what may pass is asked three times.

    Raises:
        FileNotFoundError, PermissionError: what the driver says so of.
        OSError: whatever else it says, in words that hold no address.

    """
    pause = _FIRST_PAUSE
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return call()
        except FileNotFoundError:
            raise FileNotFoundError("there is no such file") from None
        except PermissionError:
            raise PermissionError("may not be read with these credentials") from None
        except Exception as error:  # noqa: BLE001 - drivers raise what their libraries do
            if _is_final(error) or attempt == _ATTEMPTS:
                raise _problem(error) from None
        time.sleep(pause)
        pause *= 2
    raise AssertionError("the loop returns or raises")


def _is_final(error: Exception) -> bool:
    return isinstance(error, (ValueError, TypeError, NotImplementedError)) or 400 <= _status(error) < 500


def _status(error: Exception) -> int:
    status = getattr(error, "status", 0)
    return status if isinstance(status, int) else 0


def _problem(error: Exception) -> OSError:
    status = _status(error)
    if status in (401, 403) or "Credentials" in type(error).__name__:
        return PermissionError("may not be read with these credentials")
    if status in (404, 410):
        return FileNotFoundError("there is no such file")
    return OSError(f"the server failed ({status or type(error).__name__})")


@contextmanager
def fetched(address: str) -> Iterator[Path]:
    """Give a copy of a file on this machine until the block ends.

    Raises:
        AesError: it cannot be read.

    """
    check_address(address)
    with tempfile.TemporaryDirectory(prefix="aes-") as folder:
        copy = Path(folder) / (address.rstrip("/").rpartition("/")[2] or "copy")
        try:
            ask(lambda: open_file_system(address).get_file(place_of(address), str(copy)))
        except OSError as error:
            raise AesError(f"{escape(shown(address))}: {error}") from error
        yield copy


@contextmanager
def replace_remote(address: str) -> Iterator[BinaryIO]:
    """Give a binary stream whose content becomes the file at `address` when the block ends well.

    It is written here and sent whole. What cannot be sent stays here, and the error says where.

    Raises:
        UsageError: nothing can be written there.
        OutputFailed: it cannot be sent.

    """
    check_target(address)
    try:
        descriptor, name = tempfile.mkstemp(prefix="aes-", suffix=f"-{address.rpartition('/')[2][-40:]}")
    except OSError as error:
        raise _not_kept(address, error) from error
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
    except BaseException as error:
        part.unlink()
        if isinstance(error, OSError) and error.filename is None:  # others name a file that is not this one
            raise _not_kept(address, error) from error
        raise
    try:
        ask(lambda: open_file_system(address).put_file(name, place_of(address)))
    except OSError as error:
        said = "may not be written with these credentials" if isinstance(error, PermissionError) else str(error)
        raise OutputFailed(f"{escape(shown(address))}: {said}", hint=f"the rows are in {escape(name)}") from error
    part.unlink()


def _not_kept(address: str, error: OSError) -> OutputFailed:
    folder = escape(tempfile.gettempdir())
    return OutputFailed(
        f"{escape(shown(address))} cannot be written: its copy in {folder}: {error.strerror or error}",
        hint="TMPDIR=FOLDER   puts the copy elsewhere",
    )


def check_target(address: str) -> None:
    """Refuse an address to which nothing can be written: a file, or files below it when it ends with a slash.

    Raises:
        UsageError: it is one of the web, or there is no such bucket.
        MissingExtra: the driver is not installed.

    """
    check_address(address)
    if is_web(address):
        raise UsageError("nothing can be written to https://", hint="-o s3://BUCKET/FILE, gs://, hf:// or a file")
    bucket, slash, _ = place_of(address).partition("/")
    if not slash:
        raise UsageError(f"'{escape(address)}' names no file", hint=f"-o {escape(address)}/scores.parquet")
    if address.startswith("hf://"):
        return
    files = open_file_system(address)
    try:
        ask(lambda: files.info(bucket))
    except FileNotFoundError:
        raise UsageError(f"there is no bucket '{escape(bucket)}'") from None
    except OSError:
        pass  # who may write into a bucket need not be allowed to look at it
