"""Frames of a shoot, and which of them are one moment: bursts, brackets, near-duplicates.

A frame is what one press of the shutter left: a picture, or a raw file and the picture beside it.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

from aescli.errors import PictureError
from aescli.images.alike import Look, find_pairs, look_at, look_at_all
from aescli.images.named import find_named
from aescli.images.opening import Opener
from aescli.images.taken import Capture
from aescli.results import Row, Score
from aescli.xmp.files import is_raw
from aescli.xmp.taken import read_moment

# Frames of a burst look alike, but less than copies do: a picture that moves by a twentieth of its width changes 14 of
# 64 bits, and 4 of 100 pairs of unlike photographs (OASIS) differ in no more than this.
_BURST_BITS = 22
_NEIGHBOURS = 100  # in time that a frame is compared with: of a thousand scans that say one day, no more


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows of one press of the shutter, the one that is judged first.

    Args:
        rows: at least one.
        look: what it looks like, or why that cannot be told.
        capture: when it was taken.

    """

    rows: tuple[Row, ...]
    look: Look | PictureError
    capture: Capture

    @property
    def score(self) -> Score | None:
        """The row that the frame is judged by, None where no file of it has a score."""
        return self.rows[0] if isinstance(self.rows[0], Score) else None


def find_frames(rows: Sequence[Row], opener: Opener) -> list[Frame]:
    """Return the frames of rows, in their order; pictures are opened to see what they look like."""
    paired: dict[str, list[Row]] = {}
    for row in rows:
        paired.setdefault(_shot(row.path), []).append(row)
    shots = [shot for each in paired.values() for shot in _shots(each)]
    with closing(look_at_all(find_named(shot[0].path for shot in shots), opener, look_at)) as looks:
        return [Frame(shot, look, _capture(shot)) for shot, look in zip(shots, looks, strict=True)]


def group_frames(frames: Sequence[Frame], gap: float, bits: int) -> list[list[int]]:
    """Return places of frames that belong together, each once; most groups have one.

    Args:
        frames: of a shoot.
        gap: seconds from one frame of a burst to the next, at most.
        bits: that hashes of near-duplicates may differ in, whenever they were taken.

    """
    parent = list(range(len(frames)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    seen = [(at, frame.look) for at, frame in enumerate(frames) if isinstance(frame.look, Look)]
    copies = find_pairs([look for _, look in seen], bits)
    for one, other in chain(_burst_pairs(frames, gap), ((seen[a][0], seen[b][0]) for a, b in copies)):
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    groups: dict[int, list[int]] = {}
    for at in range(len(frames)):
        groups.setdefault(root(at), []).append(at)
    return list(groups.values())


def _burst_pairs(frames: Sequence[Frame], gap: float) -> Iterable[tuple[int, int]]:
    """Yield frames close in time that look alike, or belong to one bracket; others may stand between them."""
    timed = sorted((frame.capture.taken, at) for at, frame in enumerate(frames) if frame.capture.taken is not None)
    for place, (before, one) in enumerate(timed):
        for after, other in timed[place + 1 : place + 1 + _NEIGHBOURS]:
            if after - before > gap:
                break
            if _belong(frames[one], frames[other]):
                yield one, other


def _belong(one: Frame, other: Frame) -> bool:
    if one.capture.bracketed and other.capture.bracketed:
        return True
    if isinstance(one.look, PictureError) or isinstance(other.look, PictureError):
        return False
    return one.look.bits_from(other.look) <= _BURST_BITS


def _shot(path: str) -> str:
    return os.path.splitext(path)[0]  # noqa: PTH122 - bytes stay exact


def _shots(rows: Sequence[Row]) -> list[tuple[Row, ...]]:
    """Return a raw file with the one picture beside it as one shot, and everything else by itself."""
    raw = [row for row in rows if is_raw(row.path)]
    plain = [row for row in rows if not is_raw(row.path)]
    if len(raw) != 1 or len(plain) != 1:
        return [(row,) for row in rows]
    return [tuple(sorted((*plain, *raw), key=lambda row: not isinstance(row, Score)))]


def _capture(shot: Sequence[Row]) -> Capture:
    found = [read_moment(row.path) for row in shot]
    return next((each for each in found if each.taken is not None), found[0])
