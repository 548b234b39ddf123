"""Perceptual hashes: 64 bits that hardly change when a picture is resized, compressed again or slightly corrected.

A difference hash (Krawetz 2013): each bit says whether a pixel of a 9 x 8 grey picture is darker than its right
neighbour.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from aescli.images.view import Pixels, View

BITS = 64
_FEWEST_BITS = 6
_BANDS = 8  # of eight bits: hashes that differ in at most seven bits agree in one of them


def fingerprint(picture: View) -> int:
    """Return a picture's hash, from 0 to 2**64 - 1."""
    return hash_colours(shrink(picture))


def shrink(picture: View) -> Pixels:
    """Return the colours that a hash is taken of, (8, 9, 3)."""
    return picture.squeeze(9, 8)


def hash_colours(colours: Pixels) -> int:
    """Return the hash of a picture that was shrunk, from 0 to 2**64 - 1."""
    grey = find_grey(colours)  # (8, 9)
    bits = (grey[:, :-1] < grey[:, 1:]).reshape(-1)  # (64,)
    return int(sum(1 << at for at in np.flatnonzero(bits).tolist()))


def is_telling(value: int) -> bool:
    """Tell whether a hash is of a picture, and not of an even one, all of which have nearly the same."""
    return _FEWEST_BITS <= value.bit_count() <= BITS - _FEWEST_BITS


def find_grey(colours: Pixels) -> np.ndarray:
    """Return the luma of colours, (height, width, 3) to (height, width), 0 to 255."""
    return np.asarray(colours.astype(np.float64) @ np.array([0.299, 0.587, 0.114]))


def find_alike(hashes: Sequence[int], most: int = 3) -> Iterator[tuple[int, int]]:
    """Yield pairs of places whose hashes differ in at most `most` bits, each pair once, the lower place first.

    Raises:
        ValueError: so many different bits are not searched for.

    """
    if not 0 <= most < _BANDS:
        raise ValueError(f"{most} different bits: 0 to {_BANDS - 1} are searched for")
    seen: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        places = defaultdict(list)
        for at, value in enumerate(hashes):
            places[value >> (8 * band) & 255].append(at)
        for group in places.values():
            yield from _pairs(np.array(group), hashes, most, seen)


def _pairs(
    group: np.ndarray, hashes: Sequence[int], most: int, seen: set[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    values = np.array([hashes[at] for at in group], np.uint64)
    for at in range(len(group) - 1):
        different = np.bitwise_count(values[at + 1 :] ^ values[at])
        for other in np.flatnonzero(different <= most):
            pair = int(group[at]), int(group[at + 1 + other])
            if pair not in seen:
                seen.add(pair)
                yield pair
