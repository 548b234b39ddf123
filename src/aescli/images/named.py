"""What the names of pictures stand for, as rows and lists have them: files, addresses, pictures inside of archives."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice

from aescli import remote
from aescli.errors import ErrorCode, PictureError
from aescli.images.find import Found, Selection
from aescli.images.packed import SUFFIXES, open_archive, unpack
from aescli.images.remote import exists, name_address

_INSIDE = re.compile(rf"(?:{'|'.join(map(re.escape, SUFFIXES))})(?=/.)", re.IGNORECASE | re.DOTALL)
_AT_ONCE = 10_000  # names for which an archive is read once


def find_named(names: Iterable[str], column: str | None = None) -> Iterator[Found]:
    """Yield what each name stands for, in their order; what is not there is a problem.

    Args:
        names: as rows call pictures: `shard.tar/cat.jpg`, `data.parquet/17/cat.jpg` too.
        column: of tables, which holds the pictures; None finds it.

    """
    archives = _Archives()
    for packed, run in groupby(names, key=lambda name: archives.find(name) is not None):
        if packed:
            while some := list(islice(run, _AT_ONCE)):
                yield from _unpacked(some, archives, column)
        else:
            yield from map(_name, run)


def find_archive(name: str) -> str | None:
    """Return the archive that a name is of a picture in, None where there is none."""
    return _Archives().find(name)


@dataclass(slots=True)
class _Archives:
    """Archives that were looked for, and whether they are there."""

    known: dict[str, bool] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        for found in _INSIDE.finditer(name):
            archive = name[: found.end()]
            if archive not in self.known:
                self.known[archive] = exists(archive) if remote.is_remote(archive) else os.path.isfile(archive)  # noqa: PTH113
            if self.known[archive]:
                return archive
        return None


def _unpacked(names: Sequence[str], archives: _Archives, column: str | None) -> Iterator[Found]:
    wanted: dict[str, set[str]] = {}
    for name in names:
        wanted.setdefault(archives.find(name) or "", set()).add(name)
    found: dict[str, Found] = {}
    for archive, inside in wanted.items():
        found |= _read(archive, inside, column)
    yield from (found[name] for name in names)


def _read(archive: str, wanted: set[str], column: str | None) -> dict[str, Found]:
    problem = PictureError(ErrorCode.VANISHED, "there is no such picture in the archive")
    found: dict[str, Found] = {}
    for each in unpack(open_archive(_name(archive)), Selection(all_files=True, column=column), Counter()):
        if each.path in wanted:
            found[each.path] = each
        elif each.problem and each.path == archive:  # it ends too early, or cannot be read at all
            problem = each.problem
        if len(found) == len(wanted):
            break
    return found | {name: Found(name, problem) for name in wanted - found.keys()}


def _name(name: str) -> Found:
    return name_address(name) if remote.is_remote(name) else Found(name)
