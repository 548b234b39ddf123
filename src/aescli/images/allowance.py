"""Memory for decoding that threads share: a few bytes of a file can ask for a gigabyte."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Allowance:
    """Bytes that the threads of a run share; a thread waits until there is room for its picture.

    A picture that is larger than the whole allowance waits until it is alone.

    Args:
        total: bytes.

    """

    total: int
    _taken: dict[int, int] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Hold this many bytes for the calling thread until the block ends."""
        thread, wanted = threading.get_ident(), min(size, self.total)
        with self._changed:
            self._changed.wait_for(lambda: sum(self._taken.values()) + wanted <= self.total)
            self._taken[thread] = wanted
        try:
            yield
        finally:
            self.release(thread)

    def release(self, thread: int) -> None:
        """Give back what a thread holds: it is done, or it hangs and nobody may wait for it."""
        with self._changed:
            self._taken.pop(thread, None)
            self._changed.notify_all()
