"""Copies of a model, one for each device, that wait for work: whichever is idle takes the next pictures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

_Copy = TypeVar("_Copy")


class Idle(Generic[_Copy]):
    """Copies that several threads share; no two threads use one at a time."""

    def __init__(self, copies: Sequence[_Copy]) -> None:
        self.count = len(copies)
        self._waiting: SimpleQueue[_Copy] = SimpleQueue()
        for copy in copies:
            self._waiting.put(copy)

    @contextmanager
    def taken(self) -> Iterator[_Copy]:
        """Wait for an idle copy, and give it back when the block ends."""
        copy = self._waiting.get()
        try:
            yield copy
        finally:
            self._waiting.put(copy)
