"""One process: threads that each decode and rate a batch, results in the order of the input.

Pillow and ONNX Runtime let go of the interpreter's lock while they work, so threads use every core without copies
between processes. Each thread holds the pixels of one batch; only rows wait in the window, so memory stays flat.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from aescli.images.find import Found
from aescli.models.base import Scorer
from aescli.results import Row
from aescli.scoring import Settings, score
from aescli.store import Store

# Batches in flight for each thread: a slow picture may hold back this many finished ones before threads idle.
_WINDOW = 32


def score_all(
    inputs: Iterable[Found],
    scorer: Scorer,
    settings: Settings,
    store: Store | None,
    *,
    workers: int,
    batch_size: int,
) -> Generator[Row]:
    """Yield one row for each input, in order, each as soon as those before it are done."""
    batches = _batched(inputs, batch_size)
    window: deque[Future[list[Row]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="aes-score")
    try:
        for batch in batches:
            window.append(pool.submit(score, batch, scorer, settings, store))
            while window and (window[0].done() or len(window) >= _WINDOW * workers):
                yield from window.popleft().result()
        while window:
            yield from window.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _batched(inputs: Iterable[Found], size: int) -> Iterator[list[Found]]:
    remaining = iter(inputs)
    while batch := list(islice(remaining, size)):
        yield batch
