"""One process: threads that each decode and rate a batch, results in the order of the input.

Pillow and ONNX Runtime let go of the interpreter's lock while they work, so threads use every core without copies
between processes. Each thread holds the pixels of one batch; only rows wait in the window, so memory stays flat.

A thread whose decoder hangs cannot be ended: it is left behind, its picture becomes a `timeout` row, and everything
after it is decoded in processes that can be killed.
"""

import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from queue import Empty, SimpleQueue

from aescli.engines.base import Job
from aescli.errors import ErrorCode, PictureError
from aescli.images.find import Found
from aescli.models.base import Scorer
from aescli.models.loading import load_scorer
from aescli.results import Row
from aescli.runtime import usable_cpus
from aescli.scoring import Keeper, Settings, fail, score

# Batches in flight for each thread: a slow picture may hold back this many finished ones before threads idle.
_WINDOW = 32
_WATCH_SECONDS = 0.5
_DISMISSAL_SECONDS = 3.0  # a signal must end the run within five


class _Batch:
    """Inputs on their way through a thread."""

    def __init__(self, inputs: list[Found]) -> None:
        self.inputs = inputs
        self.done = threading.Event()
        self.thread = 0
        self._rows: list[Row] = []
        self._error: BaseException | None = None

    def run(self, scorer: Scorer, settings: Settings, store: Keeper | None) -> None:
        self.thread = threading.get_ident()
        try:
            self._rows = score(self.inputs, scorer, settings, store)
        except BaseException as error:  # noqa: BLE001 - the thread that asked for the rows gets it
            self._error = error
        self.done.set()

    def rows(self) -> list[Row]:
        if self._error:
            raise self._error
        return self._rows


def open_local(job: Job) -> "LocalEngine":
    """Load a model into this process.

    Raises:
        AesError: as `load_scorer`.

    """
    scorer = load_scorer(job.card, job.dimensions, job.options)
    # Measuring holds the interpreter's lock for part of the time: one thread more fills the gaps (5% at 2 CPUs).
    threads = job.workers or max(usable_cpus() + bool(job.dimensions), job.readers)
    return LocalEngine(scorer, threads, job.batch_size or scorer.batch_size)


class LocalEngine:
    """A model and the threads that use it."""

    def __init__(self, scorer: Scorer, workers: int, batch_size: int) -> None:
        self.scorer = scorer
        self._workers = workers
        self._batch_size = batch_size

    def score_all(self, inputs: Iterable[Found], settings: Settings, store: Keeper | None) -> Generator[Row]:
        """Yield one row for each input, in order, each as soon as those before it are done."""
        return score_all(inputs, self.scorer, settings, store, workers=self._workers, batch_size=self._batch_size)

    def close(self) -> None:
        """End what the model started."""
        self.scorer.close()


def score_all(
    inputs: Iterable[Found],
    scorer: Scorer,
    settings: Settings,
    store: Keeper | None,
    *,
    workers: int,
    batch_size: int,
) -> Generator[Row]:
    """Yield one row for each input, in order, each as soon as those before it are done."""
    crew = _Crew(scorer, settings, store, workers)
    window: deque[_Batch] = deque()
    try:
        for batch in _batched(inputs, batch_size):
            window.append(crew.start(batch))
            while window and (window[0].done.is_set() or len(window) >= _WINDOW * workers):
                yield from crew.finish(window.popleft())
        while window:
            yield from crew.finish(window.popleft())
    finally:
        crew.dismiss()


class _Crew:
    """The threads of one run. They are daemons: one that hangs must not keep the process from ending."""

    def __init__(self, scorer: Scorer, settings: Settings, store: Keeper | None, workers: int) -> None:
        self._scorer = scorer
        self._settings = settings
        self._store = store
        self._waiting: SimpleQueue[_Batch | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        for _ in range(workers):
            self._hire()

    def start(self, inputs: list[Found]) -> _Batch:
        batch = _Batch(inputs)
        self._waiting.put(batch)
        return batch

    def finish(self, batch: _Batch) -> list[Row]:
        """Wait for a batch; when its thread hangs, give its picture up and the others another try."""
        while not batch.done.wait(_WATCH_SECONDS):
            busy, path = self._settings.opener.busy_with(batch.thread)
            if busy > self._settings.opener.limits.seconds:
                return self._abandon(batch, path)
        return batch.rows()

    def dismiss(self) -> None:
        """End the threads that end soon; batches that none has begun are dropped."""
        with suppress(Empty):
            while True:
                self._waiting.get_nowait()
        self._waiting.put(None)
        deadline = time.monotonic() + _DISMISSAL_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _hire(self) -> None:
        thread = threading.Thread(target=self._work, name="aes-score", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while batch := self._waiting.get():
            batch.run(self._scorer, self._settings, self._store)
        self._waiting.put(None)  # for the next thread that asks

    def _abandon(self, batch: _Batch, path: str) -> list[Row]:
        self._threads = [thread for thread in self._threads if thread.ident != batch.thread]
        self._hire()
        limits = self._settings.opener.limits
        self._settings.opener.give_up(batch.thread)
        error = PictureError(ErrorCode.TIMEOUT, f"the decoder took more than {limits.seconds:g} seconds")
        rows: list[Row] = []
        for found in batch.inputs:
            if found.path == path:
                rows.append(fail(found, error, self._scorer, self._store))
            else:
                rows.extend(score([found], self._scorer, self._settings, self._store))
        return rows


def _batched(inputs: Iterable[Found], size: int) -> Iterator[list[Found]]:
    remaining = iter(inputs)
    while batch := list(islice(remaining, size)):
        yield batch
