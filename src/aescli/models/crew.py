"""Threads that wait for others: they are daemons, so that a server that stalls cannot keep the process from ending."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

_LOOK_SECONDS = 0.5  # where a waiting thread cannot be interrupted, a signal is seen this late


class Job:
    """One call on its way through a thread."""

    def __init__(self, work: Callable[..., Any], words: Sequence[Any]) -> None:
        self._done = threading.Event()
        self._work = work
        self._words = words
        self._found: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._found = self._work(*self._words)
        except BaseException as error:  # noqa: BLE001 - the thread that asked gets it
            self._error = error
        self._done.set()

    def wait(self) -> None:
        """Return when the call has ended, well or not."""
        while not self._done.wait(_LOOK_SECONDS):
            pass

    def result(self) -> Any:
        """Wait, and return what the call returned or raise what it raised."""
        self.wait()
        if self._error:
            raise self._error
        return self._found


class Crew:
    """So many threads, which do what they are given side by side."""

    def __init__(self, size: int, name: str) -> None:
        self._waiting: SimpleQueue[Job | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._serve, name=name, daemon=True) for _ in range(size)]
        for thread in self._threads:
            thread.start()

    def start(self, work: Callable[..., Any], *words: Any) -> Job:
        """Let a thread call `work` with these arguments as soon as one has nothing else to do."""
        job = Job(work, words)
        self._waiting.put(job)
        return job

    def call(self, work: Callable[..., Any], asked: Sequence[Sequence[Any]]) -> list[Any]:
        """Return what `work` returns for each tuple of arguments, in their order.

        The first error is raised once every call has ended: what others return is not thrown away under way.
        """
        jobs = [self.start(work, *words) for words in asked]
        for job in jobs:
            job.wait()
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
