"""Pictures that lie elsewhere: folders of a bucket are walked as folders of this machine are, one listing at a time."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from aescli import remote
from aescli.errors import AesError, ErrorCode, PictureError, UsageError
from aescli.images.find import Found, Selection, is_glob, pass_over
from aescli.images.source import FileBytes, Identity
from aescli.names import escape

_BLOCK = 8 << 20  # bytes that are read ahead of an archive

# What drivers call the state of a file; the first that is there is taken.
_VERSIONS = ("ETag", "etag", "blob_id", "generation", "Content-MD5", "LastModified", "mtime")


@dataclass(slots=True)
class RemoteFile:
    """A file at an address; `identity` is known from a listing, or is asked for once."""

    address: str
    identity: Identity | None = None

    def identify(self) -> Identity | None:
        try:
            self.identity = self.identity or _identity(self.address, _look(self.address))
        except PictureError:
            return None
        return self.identity

    def read(self) -> FileBytes:
        """Read the file whole.

        Raises:
            PictureError: `vanished`, `permission`, `io_error` or `empty`.

        """
        files, place = remote.open_file_system(self.address), remote.place_of(self.address)
        try:
            data: bytes = remote.ask(lambda: files.cat_file(place))
        except OSError as error:
            raise _failed(error) from error
        if not data:
            raise PictureError(ErrorCode.EMPTY, "the file has no bytes")
        if self.identity is None:  # nothing said which state this is, so it is what it holds
            path = remote.shown(self.address).encode(errors="surrogateescape")
            return FileBytes(data, Identity(path, len(data), _number(hashlib.sha256(data).digest())), changed=False)
        return FileBytes(data, self.identity, changed=len(data) != self.identity.size)

    def open(self) -> BinaryIO:
        """Open the file for reading where it lies, a few megabytes at a time.

        Raises:
            PictureError: `vanished`, `permission` or `io_error`.

        """
        files, place = remote.open_file_system(self.address), remote.place_of(self.address)
        opened: BinaryIO = _ask(lambda: files.open(place, "rb", block_size=_BLOCK))
        return opened


def name_address(address: str) -> Found:
    """Return the file that a list names by its address; a bad address is its problem."""
    try:
        remote.check_address(address)
    except UsageError as error:
        return Found(remote.shown(address), PictureError(ErrorCode.VANISHED, error.message))
    return Found(remote.shown(address), source=RemoteFile(address))


def name_beside(file: str, name: str) -> Found:
    """Return the picture that a table calls `name`: an address, or a path that begins in the table's folder."""
    if remote.is_remote(name):
        return name_address(name)
    if remote.is_remote(file):
        return name_address(f"{file.rpartition('/')[0]}/{name}")
    return Found(os.path.join(os.path.dirname(file), name))  # noqa: PTH118, PTH120 - never normalised


def check_word(address: str) -> None:
    """Refuse an address at which there is nothing, before any weight is loaded.

    Raises:
        UsageError: there is nothing, or it may not be read.
        MissingExtra: its driver is not installed.

    """
    remote.check_address(address)
    if _is_pattern(address) and not _is_there(address):
        return
    try:
        _look(address)
    except PictureError as error:
        raise UsageError(f"{escape(remote.shown(address))}: {error.message}") from error


def exists(address: str) -> bool:
    """Tell whether a file can be seen at an address; what cannot be asked is not there."""
    try:
        remote.check_address(address)
        return bool(_look(address)["type"] == "file")
    except (AesError, PictureError):
        return False


def _is_there(address: str) -> bool:
    """Tell whether a file or a folder has exactly this name."""
    try:
        return bool(_look(address))
    except PictureError:
        return False


def expand_address(address: str, selection: Selection, skipped: Counter[str]) -> Iterator[Found]:
    """Yield what an address stands for: a file, what is below a folder, or what matches a pattern."""
    try:
        if _is_pattern(address) and not _is_there(address):  # as on this machine, what has such a name is that
            yield from _globbed(address, selection, skipped)
            return
        about = _look(address)
        if about["type"] == "directory":
            yield from _walk(address, selection, skipped)
        else:
            yield _found(address, about)
    except PictureError as error:
        yield Found(remote.shown(address), error)


def _globbed(pattern: str, selection: Selection, skipped: Counter[str]) -> Iterator[Found]:
    """Expand a pattern as a shell would; with `**` only files that a walk would select."""
    scheme = pattern.partition("://")[0]
    files = remote.open_file_system(pattern)
    matches = _ask(lambda: files.glob(remote.place_of(pattern), detail=True))
    for place, about in sorted(matches.items()):
        address, name = f"{scheme}://{place}", place.rpartition("/")[2]
        folder = about["type"] == "directory"
        if name.startswith(".") and not pattern.rpartition("/")[2].startswith("."):
            continue
        if "**" not in pattern:
            yield from _walk(address, selection, skipped) if folder else [_found(address, about)]
        elif not folder and selection.selects(name, place):
            yield _found(address, about)
        elif not folder:
            yield from pass_over(address, "not selected", selection, skipped)


def _walk(address: str, selection: Selection, skipped: Counter[str]) -> Iterator[Found]:
    """Walk the folders below an address, sorted as on this machine; only their listings are held."""
    root = address.rstrip("/")
    waiting: list[Iterator[tuple[str, Mapping[str, Any]]]] = [iter([("", {"type": "directory"})])]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        below, about = entry
        name = below.rpartition("/")[2]
        where = f"{root}/{below}".rstrip("/")
        if reason := _reason_to_skip(name, below, about, selection):
            yield from pass_over(where if name else f"{where}//", reason, selection, skipped)
        elif about["type"] != "directory":
            yield _found(where, about)
        else:
            try:
                waiting.append(iter(_list(where, below)))
            except PictureError as error:
                yield Found(where, error)


def _reason_to_skip(name: str, below: str, about: Mapping[str, Any], selection: Selection) -> str:
    if not name:
        return "folder without a name" if below else ""
    if name.startswith("."):
        return "hidden"
    if about["type"] != "directory":
        return "" if selection.selects(name, below) else "not selected"
    return "excluded" if selection.excludes(name, below) else ""


def _list(folder: str, below: str) -> list[tuple[str, Mapping[str, Any]]]:
    files = remote.open_file_system(folder)
    listing = _ask(lambda: files.ls(remote.place_of(folder), detail=True))
    here = remote.place_of(folder)
    found = []
    for about in listing:
        place = str(about["name"])
        if place.rstrip("/") != here:
            found.append((f"{below}/{place.rstrip('/').rpartition('/')[2]}".lstrip("/"), about))
        elif about["type"] == "directory":  # what has two slashes before its name lies in one without any
            found.append((f"{below}/", about))
        # Else an object with the folder's own name, as consoles leave.
    return sorted(found, key=lambda each: each[0])


def _found(address: str, about: Mapping[str, Any]) -> Found:
    return Found(remote.shown(address), source=RemoteFile(address, _identity(address, about)))


def _identity(address: str, about: Mapping[str, Any]) -> Identity | None:
    version = next((about[name] for name in _VERSIONS if about.get(name)), None)
    if version is None or about.get("size") is None:
        return None
    path = remote.shown(address).encode(errors="surrogateescape")
    return Identity(path, int(about["size"]), _number(hashlib.sha256(str(version).encode()).digest()))


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big") >> 1  # SQLite's integers have a sign


def _look(address: str) -> Mapping[str, Any]:
    files = remote.open_file_system(address)
    about: Mapping[str, Any] = _ask(lambda: files.info(remote.place_of(address)))
    return about


def _ask(call: Any) -> Any:
    try:
        return remote.ask(call)
    except OSError as error:
        raise _failed(error) from error


def _failed(error: OSError) -> PictureError:
    match error:
        case FileNotFoundError():
            return PictureError(ErrorCode.VANISHED, str(error))
        case PermissionError():
            return PictureError(ErrorCode.PERMISSION, str(error))
        case _:
            return PictureError(ErrorCode.IO_ERROR, str(error))


def _is_pattern(address: str) -> bool:
    return not remote.is_web(address) and is_glob(address)
