"""One picture's dimensions as a tree: what each judgement is made of."""

from collections.abc import Iterator, Mapping
from typing import BinaryIO

from aescli import names
from aescli.dimensions import HUMAN_TREE
from aescli.results import Failure, Row

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class TreeWriter:
    """Writes a few lines for each row; dimensions that belong to no tree stand side by side."""

    def __init__(self, stream: BinaryIO, *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour

    def write(self, row: Row) -> None:
        if isinstance(row, Failure):
            self._line(names.escape(row.path), names.escape(f"{row.code}: {row.message}"))
            return
        self._line(names.escape(row.path), f"{row.overall:.2f}  overall ({row.read_out} of {names.escape(row.model)})")
        parents = {child for children in HUMAN_TREE.values() for child in children}
        roots = [name for name in row.dims if name not in parents or not parents & HUMAN_TREE.keys() & row.dims.keys()]
        for line in _branches(roots, row.dims, ""):
            self._line(*line)

    def finish(self) -> None:
        pass

    def _line(self, head: str, tail: str) -> None:
        self._stream.write(f"{head}  {_DIM}{tail}{_PLAIN}\n".encode() if self._colour else f"{head}  {tail}\n".encode())


def _branches(found: list[str], dims: Mapping[str, float], indent: str) -> Iterator[tuple[str, str]]:
    for at, name in enumerate(found):
        last = at == len(found) - 1
        yield f"{indent}{'└─' if last else '├─'} {name.replace('_', ' ')}", f"{dims[name]:.2f}"
        children = [child for child in HUMAN_TREE.get(name, ()) if child in dims]
        yield from _branches(children, dims, indent + ("   " if last else "│  "))
