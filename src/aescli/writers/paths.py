"""Paths only, for xargs and its like: one a line, or as raw bytes with NUL behind each."""

import os
from typing import BinaryIO

from aescli import names
from aescli.results import Failure, Row


class PathWriter:
    """Writes the paths of pictures that have a score; the summary counts the others."""

    def __init__(self, stream: BinaryIO, *, nul: bool) -> None:
        self._stream = stream
        self._nul = nul

    def write(self, row: Row) -> None:
        if isinstance(row, Failure):
            return
        self._stream.write(os.fsencode(row.path) + b"\0" if self._nul else names.escape(row.path).encode() + b"\n")

    def finish(self) -> None:
        pass
