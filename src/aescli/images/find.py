"""Which files a command means: files, folders, globs and lists, in a stable order, one at a time.

Folders are walked recursively and sorted, links are followed only when asked, hidden and `._*` files are skipped, and
only the suffixes of `formats.SUFFIXES` are selected. A file that is named itself or in a list is always selected.
"""

import codecs
import errno
import fnmatch
import glob
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aescli.errors import ErrorCode, PictureError, UsageError
from aescli.images.formats import SUFFIXES
from aescli.images.source import FileBytes, Identity, Source, identify_file, read_file
from aescli.names import escape

STANDARD_INPUT = "-"

_CHUNK = 1 << 16  # bytes of a list: longer than any path, so the first chunk shows what separates the names


@dataclass(frozen=True, slots=True)
class Found:
    """One input, spelled as the user gave it.

    Args:
        path: what rows call it.
        problem: why it can be no picture.
        source: where its bytes are, when `path` is no file.

    """

    path: str
    problem: PictureError | None = None
    source: Source | None = None

    def identify(self) -> Identity | None:
        """Return what tells this state of the picture from another, without reading it, or None."""
        return self.source.identify() if self.source else identify_file(self.path)

    def read(self) -> FileBytes:
        """Read the picture whole.

        Raises:
            PictureError: its problem; or as `read_file`.

        """
        if self.problem:
            raise self.problem
        return self.source.read() if self.source else read_file(self.path)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a walk selects.

    Args:
        include: patterns of which one must match a file's name or its path below the folder.
        exclude: patterns of which none may match a file's or a folder's.
        all_files: whatever the suffix.
        follow: links to files and folders too; each folder once, however many links lead to it.
        report_skipped: what a walk passes over is an input with the problem `skipped`.
        column: of a table, which holds the pictures or their names; None finds it.

    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    all_files: bool = False
    follow: bool = False
    report_skipped: bool = False
    column: str | None = None

    def selects(self, name: str, below: str) -> bool:
        """Tell whether a walk takes the file `name`, found at `below` inside the walked folder."""
        if self.include and not _matches(self.include, name, below):
            return False
        if self.excludes(name, below):
            return False
        return self.all_files or os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 - bytes stay exact

    def excludes(self, name: str, below: str) -> bool:
        """Tell whether a walk passes over the file or folder `name`, found at `below`."""
        return _matches(self.exclude, name, below)


def check_words(words: Sequence[str], files_from: Sequence[str] = ()) -> None:
    """Refuse a path that does not exist before anything else happens.

    Raises:
        UsageError: it names the first missing path.

    """
    for word in (*words, *files_from):
        if word != STANDARD_INPUT and _is_missing(word) and not (word in words and is_glob(word)):
            raise UsageError(f"'{escape(word)}' does not exist", hint=_hint_for_path(word))


def _is_missing(word: str) -> bool:
    """Tell what is not there from what may not be looked at, which is a row."""
    try:
        os.lstat(word)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError as error:
        return error.errno in (errno.ENAMETOOLONG, errno.ELOOP)
    return False


def find(words: Iterable[str], selection: Selection, *, skipped: Counter[str] | None = None) -> Iterator[Found]:
    """Yield every file of this machine that the words stand for, in their order.

    Args:
        words: files, folders, glob patterns, or `-` for a list on standard input.
        selection: what walks select.
        skipped: counts by reason what walks passed over.

    """
    passed_over: Counter[str] = Counter() if skipped is None else skipped
    for word in words:
        if word == STANDARD_INPUT:
            yield from map(Found, read_list(word))
        elif not os.path.lexists(word) and is_glob(word):
            yield from _globbed(word, selection, passed_over)
        else:
            yield from _expand(word, selection, passed_over)


def read_list(file: str) -> Iterator[str]:
    """Yield the names that a file lists, one a line or with NUL behind each; `-` is standard input.

    Raises:
        UsageError: the file cannot be read.

    """
    with _opened(file) as stream:
        content = stream.read(_CHUNK)
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UsageError(f"the list '{escape(file)}' is in UTF-16", hint="save it as UTF-8")
        content = content.removeprefix(codecs.BOM_UTF8)
        separator = b"\0" if b"\0" in content else b"\n"
        while chunk := stream.read(_CHUNK):
            *names, rest = content.split(separator)
            yield from _names(names, separator)
            content = rest + chunk
        yield from _names(content.split(separator), separator)


def _globbed(pattern: str, selection: Selection, skipped: Counter[str]) -> Iterator[Found]:
    """Expand a pattern as a shell would; with `**` it is a walk: only selected files, and no links."""
    recursive = "**" in pattern
    for match in sorted(glob.iglob(pattern, recursive=True)):
        if not recursive:
            yield from _expand(match, selection, skipped)
        elif not os.path.isdir(match) and not _passes_link(pattern, match):  # noqa: PTH112
            if os.path.exists(match) and not os.path.isfile(match):  # noqa: PTH110, PTH113
                yield from pass_over(match, _NO_FILE, selection, skipped)
            elif selection.selects(os.path.basename(match), match):  # noqa: PTH119
                yield Found(match)
            else:
                yield from pass_over(match, "not selected", selection, skipped)


def _passes_link(pattern: str, match: str) -> bool:
    """Tell whether a match goes through a link behind the part of the pattern that the user spelled out."""
    spelled = pattern.partition("**")[0].count("/")
    parts = match.split("/")
    return any(os.path.islink("/".join(parts[:end])) for end in range(spelled + 1, len(parts) + 1))  # noqa: PTH114


def _expand(path: str, selection: Selection, skipped: Counter[str]) -> Iterator[Found]:
    if os.path.isdir(path):  # noqa: PTH112 - a named link to a folder is followed
        yield from _walk(path, "", selection, skipped)
    else:
        yield Found(path)


def _walk(folder: str, below: str, selection: Selection, skipped: Counter[str]) -> Iterator[Found]:
    """Walk without recursion: a tree may be deeper than Python's stack."""
    waiting = [_Folder(folder, below)]
    walked: set[tuple[int, int]] = set()  # device and inode, for links only: they can make a circle
    while waiting:
        here = waiting[-1]
        if here.entries is None:
            try:
                if selection.follow and _is_walked(here.path, walked):
                    waiting.pop()
                    yield from pass_over(here.path, "walked already", selection, skipped)
                    continue
                with os.scandir(here.path) as listing:
                    here.entries = iter(sorted(listing, key=lambda entry: entry.name))
            except OSError as error:
                waiting.pop()
                yield Found(here.path, _unlistable(error))
                continue
        entry = next(here.entries, None)
        if entry is None:
            waiting.pop()
            continue
        inside = f"{here.below}{entry.name}"
        path = os.path.join(here.path, entry.name)  # noqa: PTH118 - never normalised
        reason = _reason_to_skip(entry, inside, selection)
        if reason == _FOLDER:
            waiting.append(_Folder(path, f"{inside}/"))
        elif reason:
            yield from pass_over(path, reason, selection, skipped)
        else:
            yield Found(path)


_FOLDER, _NO_FILE = "folder", "no regular file"


class _Folder:
    __slots__ = ("below", "entries", "path")

    def __init__(self, path: str, below: str) -> None:
        self.path = path
        self.below = below
        self.entries: Iterator[os.DirEntry[str]] | None = None


def _is_walked(folder: str, walked: set[tuple[int, int]]) -> bool:
    status = os.stat(folder)  # noqa: PTH116
    identity = (status.st_dev, status.st_ino)
    if identity in walked:
        return True
    walked.add(identity)
    return False


def pass_over(path: str, reason: str, selection: Selection, skipped: Counter[str]) -> Iterator[Found]:
    skipped[reason] += 1
    if selection.report_skipped:
        yield Found(path, PictureError(ErrorCode.SKIPPED, reason))


def _reason_to_skip(entry: os.DirEntry[str], below: str, selection: Selection) -> str:
    if entry.name.startswith("."):
        return "hidden"
    try:
        mode = _mode(entry, follow=selection.follow)
    except FileNotFoundError:
        return "dangling link" if entry.is_symlink() else ""
    except OSError:
        mode = 0  # a circle of links, or no permission: reading it will say so
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISDIR(mode):
        return "excluded" if selection.excludes(entry.name, below) else _FOLDER
    if mode:
        return _NO_FILE
    return "" if selection.selects(entry.name, below) else "not selected"


def _mode(entry: os.DirEntry[str], *, follow: bool) -> int:
    """Return 0 for a regular file; most entries need no system call for it."""
    if entry.is_file(follow_symlinks=False):
        return 0
    mode = entry.stat(follow_symlinks=follow).st_mode
    return 0 if stat.S_ISREG(mode) else mode


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == STANDARD_INPUT:
        if sys.stdin is None:
            raise UsageError("standard input is closed", hint="--files-from FILE")
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as stream:
            yield stream
    except OSError as error:
        raise UsageError(f"the list '{escape(file)}' cannot be read: {error.strerror}") from error


def _names(listed: Iterable[bytes], separator: bytes) -> Iterator[str]:
    for name in listed:
        # Lists written on Windows have a carriage return before each line feed.
        spelled = name.removesuffix(b"\r") if separator == b"\n" else name
        if spelled:
            yield os.fsdecode(spelled)


def _unlistable(error: OSError) -> PictureError:
    code = ErrorCode.PERMISSION if isinstance(error, PermissionError) else ErrorCode.IO_ERROR
    return PictureError(code, f"the folder cannot be listed: {error.strerror or error}")


def _matches(patterns: Iterable[str], name: str, below: str) -> bool:
    return any(fnmatch.fnmatch(name, each) or fnmatch.fnmatch(below, each) for each in patterns)


def is_glob(word: str) -> bool:
    return any(character in word for character in "*?[")


def _hint_for_path(word: str) -> str:
    from aescli.registry import nearest

    folder = os.path.dirname(word) or "."  # noqa: PTH120
    try:
        close = nearest(os.path.basename(word), os.listdir(folder))  # noqa: PTH119, PTH208
    except OSError:
        return ""
    return f"did you mean '{escape(os.path.join(os.path.dirname(word), close))}'?" if close else ""  # noqa: PTH118, PTH120
