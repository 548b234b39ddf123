"""What a command is to look at: files, folders, addresses, archives, lists and columns of names, or a share of them."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Self

from aescli import remote
from aescli.errors import ErrorCode, NothingMatched, PictureError, UsageError
from aescli.images.find import STANDARD_INPUT, Found, Selection, check_words, find, read_list
from aescli.images.named import find_archive, find_named
from aescli.images.packed import is_packed, open_archive, unpack
from aescli.images.remote import check_word, expand_address, name_beside
from aescli.labels.columns import decode_path
from aescli.labels.rows import SUFFIXES as TABLES
from aescli.labels.rows import TableRow, read_rows
from aescli.labels.values import Problem
from aescli.names import escape

SHARD = "{shard}"  # what stands for a shard in the name of an output


@dataclass(frozen=True, slots=True)
class Shard:
    """Every `count`-th input, the first being number `index`, counted from 0; an archive is one input."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard that `i/n` names.

        Raises:
            UsageError: it names none.

        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise UsageError(f"'{escape(text)}' is no shard", hint="--shard 0/8 to --shard 7/8 are eight shards")
        return cls(int(index), int(count))

    @classmethod
    def of_process(cls) -> Self | None:
        """Return the share of this process where a launcher such as torchrun has set RANK and WORLD_SIZE."""
        rank, size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
        return cls.parse(f"{rank}/{size}") if rank and size not in ("", "1") else None

    def takes(self, place: int) -> bool:
        """Tell whether the input at this place is in the share."""
        return place % self.count == self.index

    def __str__(self) -> str:
        """Return what a file's name says of it: `00003-of-00008`."""
        return f"{self.index:05}-of-{self.count:05}"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the words of a command stand for.

    Args:
        words: files, folders, patterns, addresses, archives, or `-` for a list on standard input.
        selection: what walks select, and the column of tables.
        files_from: lists of names, one a line or with NUL behind each; a table's names are those of its column.
        shard: take only this share.
        skipped: counts by reason what was passed over.

    """

    words: tuple[str, ...]
    selection: Selection
    files_from: tuple[str, ...] = ()
    shard: Shard | None = None
    skipped: Counter[str] = field(default_factory=Counter)

    def check(self) -> None:
        """Refuse what does not exist before anything else happens.

        Raises:
            UsageError: nothing is named, or nothing is there.
            MissingExtra: the driver of an address is not installed.

        """
        if not self.words and not self.files_from:
            raise UsageError("no pictures are named", hint="aes score .   for this folder")
        words = [word for word in self.words if find_archive(word) is None]
        here = [[word for word in named if not remote.is_remote(word)] for named in (words, self.files_from)]
        check_words(*here)
        for file in self.files_from:
            if _is_table(file) and self.selection.column is None:
                raise UsageError(f"'{escape(file)}' is a table", hint="--column NAME says which column holds the paths")
        for word in (*words, *self.files_from):
            if remote.is_remote(word):
                check_word(word)

    def find(self) -> Iterator[Found]:
        """Yield every input in the order of the words."""
        for place, found in enumerate(self._named()):
            if self.shard and not self.shard.takes(place):
                continue
            if found.problem is None and is_packed(found.path):
                yield from unpack(open_archive(found), self.selection, self.skipped)
            else:
                yield found

    def find_files(self) -> Iterator[Found]:
        """Yield what the words name, archives as what they are: files."""
        return self._named()

    def first_and_rest(self) -> Iterator[Found]:
        """Return the inputs once it is known that there is one: before any weight is loaded.

        Raises:
            NothingMatched: there is none.

        """
        found = self.find()
        first = next(found, None)
        if first is not None:
            return chain([first], found)
        if self.shard and next(replace(self, shard=None, skipped=Counter()).find(), None):
            return found  # fewer inputs than shards: this one has none, which is no mistake
        named = ", ".join(escape(remote.shown(word)) for word in (*self.words, *self.files_from))
        hint = "--all-files takes every suffix" if self.skipped else ""
        raise NothingMatched(f"no picture in {named}{list_reasons(self.skipped)}", hint=hint)

    def count(self) -> int:
        """Return how many there are, by finding them all once more."""
        return sum(1 for _ in replace(self, skipped=Counter()).find())

    def can_be_counted(self) -> bool:
        """Tell whether finding them a second time is possible and costs little."""
        # A list may be a pipe, which can be read only once.
        slow = any(word == STANDARD_INPUT or remote.is_remote(word) or is_packed(word) for word in self.words)
        return bool(self.words) and not self.files_from and not slow

    def are_remote(self) -> bool:
        """Tell whether a word is an address: such pictures are waited for more than computed."""
        return any(remote.is_remote(word) for word in (*self.words, *self.files_from))

    def _named(self) -> Iterator[Found]:
        for word in self.words:
            if word == STANDARD_INPUT:
                yield from find_named(read_list(word), self.selection.column)
            elif find_archive(word):
                yield from find_named([word], self.selection.column)
            elif remote.is_remote(word):
                yield from expand_address(word, self.selection, self.skipped)
            else:
                yield from find([word], self.selection, skipped=self.skipped)
        for file in self.files_from:
            if remote.is_remote(file):
                with remote.fetched(file) as copy:
                    yield from self._listed(str(copy), file)
            else:
                yield from self._listed(file, file)

    def _listed(self, copy: str, file: str) -> Iterator[Found]:
        if not _is_table(file):
            yield from find_named(read_list(copy), self.selection.column)
            return
        column = str(self.selection.column)
        for number, row in enumerate(read_rows(Path(copy))):
            if number == 0 and isinstance(row, TableRow) and column not in row.cells:
                listed = escape(", ".join(map(str, row.cells)))
                raise UsageError(f"'{escape(file)}' has no column '{escape(column)}'", hint=f"it has {listed}")
            yield _picture_of(row, column, file)


def list_reasons(skipped: Counter[str]) -> str:
    """Return what was passed over as the end of a sentence, or nothing."""
    return f", {skipped.total()} skipped ({list_counts(skipped)})" if skipped else ""


def list_counts(counts: Counter[str]) -> str:
    """Return counts in words, the largest first."""
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())


def _is_table(file: str) -> bool:
    return Path(file).suffix.lower() in TABLES


def _picture_of(row: TableRow | Problem, column: str, file: str) -> Found:
    try:
        if isinstance(row, TableRow):
            return name_beside(file, decode_path(row.cells, column))
        message = row.message
    except ValueError as error:
        message = str(error)
    return Found(row.source, PictureError(ErrorCode.VANISHED, message))
