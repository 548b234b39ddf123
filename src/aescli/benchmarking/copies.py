"""Which items stand and fall together: of one group, or copies of one photograph, which tell nothing new of a model."""

from collections.abc import Sequence

import numpy as np

from aescli.benchmarking.lines import Line
from aescli.images.fingerprints import find_alike, is_telling
from aescli.labels.links import connect, link_equal

NEAR = 2  # bits of 64: photographs that differ are farther apart, but for one in some thousands of those of one scene


def find_units(lines: Sequence[Line]) -> np.ndarray:
    """Return a number for each line, (lines,), the same for those of one group, of one file and of one photograph."""
    looks = [(at, int(line.look, 16)) for at, line in enumerate(lines) if line.look]
    telling = [(at, look) for at, look in looks if is_telling(look)]
    links = [
        *link_equal([line.groups.get("group", "") for line in lines]),
        *link_equal([line.sha256 for line in lines]),
        *((telling[one][0], telling[other][0]) for one, other in find_alike([look for _, look in telling], NEAR)),
    ]
    return connect(len(lines), links)
