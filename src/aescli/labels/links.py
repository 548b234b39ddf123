"""What belongs together over however many others: pictures of one series, copies of one photograph."""

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np


def connect(count: int, links: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return a number for each of `count` places, the same for all that are linked, over however many others."""
    first = list(range(count))

    def find(at: int) -> int:
        while first[at] != at:
            first[at] = first[first[at]]
            at = first[at]
        return at

    for one, other in links:
        first[find(other)] = find(one)
    return number([find(at) for at in range(count)])


def number(names: Sequence[Hashable]) -> np.ndarray:
    """Return a number for each name, in the order in which they come first."""
    place = {name: at for at, name in enumerate(dict.fromkeys(names))}
    return np.array([place[name] for name in names])


def link_equal(names: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Return links between places with one name; an empty one is nobody's."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for at, name in enumerate(names):
        if name:
            places[name].append(at)
    return [(found[0], at) for found in places.values() for at in found[1:]]
