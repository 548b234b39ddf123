"""Features of labelled pictures, each computed once: from the cache, or decoded and extracted in threads."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, compress
from typing import Any

import numpy as np

from aescli.errors import AesError, PictureError
from aescli.images.opening import Opener
from aescli.images.source import identify_file, read_file
from aescli.labels.values import Labelled, Problem
from aescli.models.base import FeatureExtractor, Features
from aescli.names import escape
from aescli.runtime import usable_cpus
from aescli.training.cache import FeatureCache
from aescli.training.progress import Progress, Tell

VERSION = 1  # part of the fingerprint: raise it whenever features of the same model change


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features of the pictures that have some.

    Args:
        rows: which of the labelled pictures they belong to, (pictures,).
        values: (pictures, width), float32.
        ratings: the model's own, in its native range, (pictures,); NaN where it has none.
        problems: pictures that could not be read, by the row of their label.
        contents: SHA-256 of each picture's file.
        looks: its difference hash, where it was looked at; empty where none was.

    """

    rows: np.ndarray
    values: np.ndarray
    ratings: np.ndarray
    problems: tuple[Problem, ...]
    contents: tuple[str, ...]
    looks: tuple[int | None, ...] = ()

    @property
    def known_by(self) -> tuple[tuple[str, int | None], ...]:
        """What each picture is told by, if it comes again: its content, and its look."""
        return tuple(zip(self.contents, self.looks or [None] * len(self.contents), strict=True))

    @property
    def sha256(self) -> str:
        """Return one hash over the contents of all pictures, in order."""
        return hashlib.sha256("".join(self.contents).encode()).hexdigest()

    def take(self, kept: np.ndarray) -> "FeatureTable":
        """Return those of some pictures, (pictures,) of bool."""
        contents, looks = tuple(compress(self.contents, kept)), tuple(compress(self.looks, kept))
        return replace(
            self, rows=self.rows[kept], values=self.values[kept], ratings=self.ratings[kept], contents=contents,
            looks=looks,
        )  # fmt: skip


class PicturesLost(AesError):
    """Too few pictures could be read; `problems` names the others."""

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def extract_features(
    pictures: Sequence[Labelled], extractor: FeatureExtractor, opener: Opener, cache: FeatureCache, tell: Tell
) -> FeatureTable:
    """Return features of pictures, in their order.

    Raises:
        AesError: features are not finite, or there are none at all.

    """
    rows: list[int] = []
    found: list[Features] = []
    problems: list[Problem] = []
    contents: list[str] = []
    for at, (picture, done) in enumerate(zip(pictures, _each(pictures, extractor, opener, cache), strict=True)):
        tell(Progress("features", at + 1, len(pictures)))
        if isinstance(done, PictureError):
            problems.append(Problem(picture.source, f"{escape(picture.path)}: {done.code}: {done.message}"))
            continue
        rows.append(at)
        found.append(done[0])
        contents.append(done[1])
    if not found:
        raise PicturesLost("no picture could be read", problems)
    values = np.stack([each.values for each in found])
    if not np.isfinite(values).all():
        raise AesError(f"{extractor.card.id} gave features that are not finite")
    ratings = np.array([np.nan if each.rating is None else each.rating for each in found])
    return FeatureTable(np.array(rows), values, ratings, tuple(problems), tuple(contents))


def describe_features(extractor: FeatureExtractor, opener: Opener) -> dict[str, Any]:
    """Return everything that features depend on beside the picture, as JSON values."""
    return {
        "features": VERSION,
        "model": extractor.card.id if not extractor.card.folder else extractor.card.family,
        "revision": extractor.card.revision,
        "read_out": extractor.card.read_out,
        "backend": extractor.backend,
        "decoding": "exact" if opener.decoding.exact else "draft2x",
        "max_pixels": opener.decoding.max_pixels,
        **extractor.fingerprint,
    }


_Done = tuple[Features, str] | PictureError


def _each(
    pictures: Sequence[Labelled], extractor: FeatureExtractor, opener: Opener, cache: FeatureCache
) -> Iterator[_Done]:
    def work(batch: Sequence[Labelled]) -> list[_Done]:
        return _extract([each.path for each in batch], extractor, opener, cache)

    with ThreadPoolExecutor(usable_cpus()) as threads:
        try:
            yield from chain.from_iterable(threads.map(work, _batches(pictures, extractor.batch_size)))
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def _batches(pictures: Sequence[Labelled], size: int) -> Iterator[Sequence[Labelled]]:
    return (pictures[at : at + size] for at in range(0, len(pictures), size))


def _extract(paths: Sequence[str], extractor: FeatureExtractor, opener: Opener, cache: FeatureCache) -> list[_Done]:
    """Return what is known of a batch of pictures; those that are not kept are extracted together."""
    done: dict[int, _Done] = {}
    waiting = []
    for at, path in enumerate(paths):
        identity = identify_file(path)
        kept = cache.find(identity) if identity else None
        if kept:
            done[at] = kept
            continue
        try:
            file = read_file(path)
            with opener.open(file.data, path) as view:
                waiting.append((at, extractor.prepare(view), file.identity, hashlib.sha256(file.data).hexdigest()))
        except PictureError as error:
            done[at] = error
    extracted = extractor.extract([prepared for _, prepared, _, _ in waiting]) if waiting else []
    for (at, _, identity, sha256), features in zip(waiting, extracted, strict=True):
        if isinstance(features, PictureError):
            done[at] = features
        else:
            cache.keep(identity, features, sha256)
            done[at] = features, sha256
    return [done[at] for at in range(len(paths))]
