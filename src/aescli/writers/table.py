"""A table for people: a bar for each score, the path last so that it is never cut."""

from collections.abc import Sequence
from typing import BinaryIO

from aescli import names
from aescli.results import Failure, Row
from aescli.writers.csv import ESCAPED

_BAR_WIDTH = 10
_EIGHTHS = " ▏▎▍▌▋▊▉"
_CYAN, _RED, _DIM, _PLAIN = "\x1b[36m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


class TableWriter:
    """Writes lines as rows come; nothing in a row can move the cursor or change a colour."""

    def __init__(self, stream: BinaryIO, dimensions: Sequence[str], *, colour: bool) -> None:
        self._stream = stream
        self._widths = {name: max(len(name), 5) for name in dimensions}
        self._colour = colour
        columns = "".join(f"  {name:>{width}}" for name, width in self._widths.items())
        self._line(self._painted(f"overall {'':{_BAR_WIDTH}}{columns}  path", _DIM))

    def write(self, row: Row) -> None:
        path = names.escape(row.path)
        flags = sorted({*row.flags, ESCAPED}) if names.is_unsafe(row.path) else row.flags
        tail = self._painted(f"  ({', '.join(flags)})", _DIM) if flags else ""
        if isinstance(row, Failure):
            gap = " " * (_BAR_WIDTH + sum(width + 2 for width in self._widths.values()))
            reason = names.escape(f"{row.code}: {row.message}")
            self._line(f"{self._painted('  error', _RED)} {gap}  {path}  {self._painted(reason, _RED)}{tail}")
            return
        columns = "".join(f"  {row.dims[name]:{width}.2f}" for name, width in self._widths.items())
        self._line(f"{row.overall:7.2f} {self._painted(_bar(row.overall), _CYAN)}{columns}  {path}{tail}")

    def finish(self) -> None:
        pass

    def _painted(self, text: str, code: str) -> str:
        return f"{code}{text}{_PLAIN}" if self._colour else text

    def _line(self, text: str) -> None:
        self._stream.write(text.encode() + b"\n")


def _bar(score: float) -> str:
    """Draw a score out of ten, to an eighth of a cell."""
    full, part = divmod(round(score * _BAR_WIDTH / 10 * 8), 8)
    return ("█" * full + (_EIGHTHS[part] if part else "")).ljust(_BAR_WIDTH)
