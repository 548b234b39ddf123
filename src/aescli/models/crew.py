"""Threads that wait for others: they are daemons, so that a server that stalls cannot keep the process from ending."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

_LOOK_SECONDS = 0.5  # where a waiting thread cannot be interrupted, a signal is seen this late


class _Job:
    """One call on its way through a thread."""

    def __init__(self, work: Callable[..., Any], words: Sequence[Any]) -> None:
        self.done = threading.Event()
        self._work = work
        self._words = words
        self._found: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._found = self._work(*self._words)
        except BaseException as error:  # noqa: BLE001 - the thread that asked gets it
            self._error = error
        self.done.set()

    def result(self) -> Any:
        if self._error:
            raise self._error
        return self._found


class Crew:
    """So many threads, which do what they are given side by side."""

    def __init__(self, size: int, name: str) -> None:
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._serve, name=name, daemon=True) for _ in range(size)]
        for thread in self._threads:
            thread.start()

    def call(self, work: Callable[..., Any], asked: Sequence[Sequence[Any]]) -> list[Any]:
        """Return what `work` returns for each tuple of arguments, in their order.

        The first error is raised once every call has ended: what others return is not thrown away under way.
        """
        jobs = [_Job(work, words) for words in asked]
        for job in jobs:
            self._waiting.put(job)
        for job in jobs:
            while not job.done.wait(_LOOK_SECONDS):
                pass
        return [job.result() for job in jobs]

    def dismiss(self, seconds: float) -> None:
        """Begin nothing more, and wait this long for what is under way."""
        with suppress(Empty):
            while True:
                self._waiting.get_nowait()
        self._waiting.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _serve(self) -> None:
        while job := self._waiting.get():
            job.run()
        self._waiting.put(None)  # for the next thread
