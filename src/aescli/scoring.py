"""Score a handful of pictures: what every engine calls, whether in a thread or on another machine.

This is the one place that turns a picture that failed into a Failure.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from aescli.errors import ErrorCode, PictureError
from aescli.images.find import Found
from aescli.images.opening import Opener
from aescli.images.picture import Decoding
from aescli.images.source import FileBytes, flag
from aescli.models.base import Described, Scorer
from aescli.results import Failure, Rating, Row, Score
from aescli.store import Key


@dataclass(frozen=True, slots=True)
class Settings:
    """How pictures are read and remembered.

    Args:
        opener: decodes them.
        by_content: a stored row is looked up by the content's SHA-256, not by path, size and mtime.
        fresh: stored rows are not looked up; they are replaced.

    """

    opener: Opener = field(default_factory=Opener)
    by_content: bool = False
    fresh: bool = False


class Keeper(Protocol):
    """What scoring needs of a store."""

    def find(self, key: Key, path: str) -> Score | None: ...

    def keep(self, key: Key, row: Row) -> None: ...


@dataclass(slots=True)
class _Waiting:
    """A picture between decoding and rating."""

    place: int
    path: str
    prepared: Any
    flags: tuple[str, ...]
    key: Key


def fingerprint(scorer: Described, decoding: Decoding) -> dict[str, Any]:
    """Return everything that a score depends on beside the picture, as JSON values."""
    return {
        "model": scorer.card.id,
        "family": scorer.card.family,
        "revision": scorer.card.revision,
        "read_out": scorer.card.read_out,
        "range": [scorer.card.scale.low, scorer.card.scale.high],
        "dimensions": list(scorer.dimensions),
        "decoding": "exact" if decoding.exact else "draft2x",
        **({"allow_truncated": True} if decoding.allow_truncated else {}),
        **scorer.fingerprint,
    }


def score(inputs: Sequence[Found], scorer: Scorer, settings: Settings, store: Keeper | None = None) -> list[Row]:
    """Score pictures as one batch; one row each, in their order.

    Stored rows are taken from `store`, finished ones are kept there.
    """
    rows: list[Row | None] = [None] * len(inputs)
    waiting: list[_Waiting] = []
    for place, found in enumerate(inputs):
        try:
            done = _prepare(place, found, scorer, settings, store)
        except PictureError as error:
            rows[place] = fail(found, error, scorer, store)
            continue
        if isinstance(done, Score):
            rows[place] = done
        else:
            waiting.append(done)
    for one, row in zip(waiting, _rate(waiting, scorer), strict=True):
        rows[one.place] = row
        if store:
            store.keep(one.key, row)
    return [row for row in rows if row is not None]


def fail(found: Found, error: PictureError, scorer: Described, store: Keeper | None) -> Failure:
    """Return the row of a picture that failed, and keep it unless it was never tried."""
    failure = _failed(found.path, error, scorer)
    if store and not found.problem:
        store.keep(Key(found.identify()), failure)
    return failure


def find_kept(found: Found, store: Keeper | None) -> Score | None:
    """Return the score that is kept for a picture whose path, size and time are the same."""
    return _find(store, found.path, Key(found.identify())) if store else None


def _prepare(place: int, found: Found, scorer: Scorer, settings: Settings, store: Keeper | None) -> Score | _Waiting:
    """Return the stored row of a picture, or the picture ready for rating."""
    if found.problem:
        raise found.problem
    looks_up = store is not None and not settings.fresh
    if looks_up and not settings.by_content and (kept := find_kept(found, store)):
        return kept
    file = found.read()
    key = Key(file.identity, _sha256(file) if settings.by_content else None)
    if looks_up and settings.by_content:
        stored = _find(store, found.path, key)
        if stored:  # it may have been kept for a file of another name
            return replace(stored, flags=flag(found.path, file, set(stored.flags) - {"changed", "ext_mismatch"}))
    prepared, flags = _decode(found.path, file.data, scorer, settings.opener)
    return _Waiting(place, found.path, prepared, flag(found.path, file, flags), key)


def _decode(path: str, data: bytes, scorer: Scorer, opener: Opener) -> tuple[Any, set[str]]:
    """Return what the model needs of a picture, and its flags."""
    try:
        with opener.open(data, path) as view:
            return scorer.prepare(view), view.flags
    except PictureError as error:
        if error.code is not ErrorCode.TRUNCATED or not opener.decoding.allow_truncated:
            raise
    with opener.open(data, path, truncated=True) as view:
        return scorer.prepare(view), view.flags | {"truncated"}


def _find(store: Keeper | None, path: str, key: Key) -> Score | None:
    return store.find(key, path) if store and (key.identity or key.sha256) else None


def _rate(waiting: Sequence[_Waiting], scorer: Scorer) -> Iterator[Row]:
    ratings = scorer.rate([one.prepared for one in waiting]) if waiting else []
    for one, rating in zip(waiting, ratings, strict=True):
        if isinstance(rating, PictureError):
            yield _failed(one.path, rating, scorer)
        elif all(map(math.isfinite, (rating.raw, *rating.dims.values()))):
            yield _scored(one, rating, scorer)
        else:
            error = PictureError(ErrorCode.NON_FINITE, "the model's answer is no finite number")
            yield _failed(one.path, error, scorer)


def _scored(one: _Waiting, rating: Rating, scorer: Scorer) -> Score:
    return Score(
        path=one.path,
        overall=scorer.card.scale.out_of_ten(rating.raw),
        raw=rating.raw,
        model=scorer.card.id,
        revision=scorer.card.revision,
        backend=scorer.backend,
        read_out=scorer.card.read_out,
        dims=_in_order(rating.dims, scorer.dimensions),
        flags=tuple(sorted({*one.flags, *rating.flags})),
        levels=rating.levels,
        exchange=rating.exchange,
    )


def _failed(path: str, error: PictureError, scorer: Described) -> Failure:
    card = scorer.card
    return Failure(path, error.code, error.message, card.id, card.revision, scorer.backend, card.read_out)


def _in_order(dims: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    return {name: dims[name] for name in names}


def _sha256(file: FileBytes) -> bytes:
    return hashlib.sha256(file.data).digest()
