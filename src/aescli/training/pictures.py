"""Pictures of samples for a training loop: measured once, decoded in threads a little ahead of their use."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from aescli.errors import PictureError
from aescli.images.opening import Opener
from aescli.images.picture import Decoding, Picture
from aescli.images.source import read_file
from aescli.images.view import View
from aescli.labels.values import Problem
from aescli.names import escape
from aescli.runtime import usable_cpus
from aescli.training.samples import Sample

_AHEAD = 3  # of what is asked for, for each thread

Asked = TypeVar("Asked")
Given = TypeVar("Given")


def measure_all(samples: Sequence[Sample]) -> tuple[list[tuple[int, int] | None], list[Problem]]:
    """Return width and height of each sample's picture, None and a problem where it cannot be opened."""
    names = list(dict.fromkeys(sample.picture for sample in samples))
    with ThreadPoolExecutor(usable_cpus()) as threads:
        found = dict(zip(names, threads.map(_measure, names), strict=True))
    sizes: list[tuple[int, int] | None] = []
    problems = []
    for sample in samples:
        size = found[sample.picture]
        if isinstance(size, PictureError):
            problems.append(Problem(sample.source, f"{escape(sample.picture)}: {size.code}: {size.message}"))
            sizes.append(None)
        else:
            sizes.append(size)
    return sizes, problems


def look_at(path: str, opener: Opener, look: Callable[[View], Given]) -> Given:
    """Decode a picture and return what a model sees of it.

    Raises:
        PictureError: it cannot be read or decoded.

    """
    try:
        with opener.open(read_file(path).data, path) as view:
            return look(view)
    except PictureError as error:
        raise PictureError(error.code, f"{escape(path)}: {error.message}") from error


def open_exactly() -> Opener:
    """Return an opener that decodes in full, as the models that are trained here are asked."""
    return Opener(Decoding(exact=True))


def work_ahead(work: Callable[[Asked], Given], asked: Iterable[Asked]) -> Generator[Given]:
    """Yield what `work` makes of each, in order, done in threads a little before it is taken."""
    waiting: deque[Future[Given]] = deque()
    threads = ThreadPoolExecutor(usable_cpus())
    try:
        for each in asked:
            waiting.append(threads.submit(work, each))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def _measure(path: str) -> tuple[int, int] | PictureError:
    try:
        return Picture(read_file(path).data, Decoding(exact=True)).likely_size()
    except PictureError as error:
        return error
