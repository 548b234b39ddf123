"""Parquet in parts: `-o FOLDER/` becomes part-00000.parquet and so on, each whole or absent, here or at an address."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from aescli import remote
from aescli.errors import OutputFailed
from aescli.names import escape
from aescli.output import replace_target
from aescli.results import Row
from aescli.writers.base import Writer
from aescli.writers.parquet import ParquetWriter

ROWS_IN_PART = 100_000


@contextmanager
def open_parts(folder: str, dimensions: Sequence[str], rows_in_part: int = ROWS_IN_PART) -> Iterator[Writer]:
    """Give a writer of parts; parts of an earlier run that this one does not need are removed at its end.

    Raises:
        OutputFailed: the folder or a part cannot be written.
        MissingExtra: pyarrow is not installed.

    """
    if not remote.is_remote(folder):
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFailed(f"{escape(folder)} cannot be written: {error.strerror}") from error
    with ExitStack() as stack:  # a part that is begun when the run ends badly is given up
        yield _PartsWriter(folder, dimensions, rows_in_part, stack)


class _PartsWriter:
    def __init__(self, folder: str, dimensions: Sequence[str], rows_in_part: int, stack: ExitStack) -> None:
        self._folder = folder
        self._dimensions = dimensions
        self._most = rows_in_part
        self._stack = stack
        self._parts = 0
        self._rows = 0
        self._begin()

    def write(self, row: Row) -> None:
        if self._rows == self._most:
            self._end()
            self._begin()
        self._writer.write(row)
        self._rows += 1

    def finish(self) -> None:
        self._end()
        _remove_behind(self._folder, self._parts)

    def _begin(self) -> None:
        stream = self._stack.enter_context(replace_target(f"{self._folder}{_name(self._parts)}"))
        self._writer = ParquetWriter(stream, self._dimensions)
        self._stack.callback(self._writer.close)  # before its stream, whatever happens
        self._rows = 0

    def _end(self) -> None:
        self._writer.finish()
        self._stack.close()
        self._parts += 1


def _name(number: int) -> str:
    return f"part-{number:05}.parquet"


def _remove_behind(folder: str, count: int) -> None:
    """Remove parts that a longer run has left behind."""
    number = count
    if not remote.is_remote(folder):
        while (part := Path(folder) / _name(number)).exists():
            part.unlink()
            number += 1
        return
    files = remote.open_file_system(folder)
    while remote.ask(partial(files.exists, place := remote.place_of(f"{folder}{_name(number)}"))):
        remote.ask(partial(files.rm_file, place))
        number += 1
