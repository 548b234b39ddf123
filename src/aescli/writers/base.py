"""What every writer of rows can do."""

from typing import Protocol

from aescli.results import Row


class Writer(Protocol):
    """Writes rows to the binary stream that it was made with; it never closes that stream."""

    def write(self, row: Row) -> None: ...

    def finish(self) -> None:
        """Write what belongs behind the last row."""
        ...
