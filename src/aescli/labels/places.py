"""Where labelled pictures are, and which of them are one picture, however they are spelled."""

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

_FOLDERS = ("", "images", "image", "img", "photos")  # beside the labels, where a relative path may begin


@dataclass(frozen=True, slots=True)
class Place:
    """Where a label's picture is.

    Args:
        path: as the labels spell it, behind the folder that it begins in.
        key: equal for two spellings of one picture: device and inode; of one that is not there its absolute path.
        there: whether it is.

    """

    path: str
    key: tuple[int, int] | str
    there: bool


def resolve(folder: Path, path: str) -> Place:
    """Return where a picture is that labels in a folder name; a relative path may begin in `images/` and its like.

    A path counts as it is spelled; where nothing has that name, also as other programs mean it (`_respell`).
    """
    candidates = [place for word in (path, *_respell(path)) for place in _list_candidates(folder, word)]
    for candidate in candidates:
        if (status := _status(candidate)) is not None:
            # Some network file systems know no inodes and give 0 to all.
            key = (status.st_dev, status.st_ino) if status.st_ino else os.path.abspath(candidate)  # noqa: PTH100
            return Place(candidate, key, there=True)
    return Place(candidates[0], os.path.abspath(candidates[0]), there=False)  # noqa: PTH100


def _respell(path: str) -> Iterator[str]:
    """Yield other spellings: without blanks, with Windows' folders, accents as macOS or others write them, `%20`."""
    found = (
        path.strip(),
        path.replace("\\", "/"),
        unicodedata.normalize("NFC", path),
        unicodedata.normalize("NFD", path),
        unquote(path, errors="surrogateescape"),
    )
    return (word for word in dict.fromkeys(found) if word not in ("", path) and "\0" not in word)


def _list_candidates(folder: Path, path: str) -> list[str]:
    return [path] if os.path.isabs(path) else [os.path.join(folder, each, path) for each in _FOLDERS]  # noqa: PTH117, PTH118 - bytes stay exact


def _status(path: str) -> os.stat_result | None:
    """Return the status of a regular file, or None."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # a NUL in it
        return None
    return status if stat.S_ISREG(status.st_mode) else None
