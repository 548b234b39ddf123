"""What to do with each frame: keep, review or reject. Rules, not a model, decide; nothing is ever deleted.

To stand in a burst is no reason to be rejected: of frames that a rule had demoted in bursts, people kept 87 of 100
(docs/photographers.md). The best of a group is kept, the others are for review; a reject is in the lowest part of the
whole shoot, and never the best of a group. Bracketed exposures belong together and are kept.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aescli.culling.frames import Frame, find_frames, group_frames
from aescli.errors import PictureError
from aescli.images.alike import USUAL_BITS
from aescli.images.opening import Opener
from aescli.results import Row


class Verdict(StrEnum):
    KEEP = "keep"
    REVIEW = "review"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class CullOptions:
    """How frames are judged.

    Args:
        gap: seconds from one frame of a burst to the next, at most.
        bits: that hashes of near-duplicates may differ in, of 64.
        keep: how many of a group are kept.
        reject: percent of the shoot, lowest scores first, that may be rejected.

    """

    gap: float = 2.0
    bits: int = USUAL_BITS
    keep: int = 1
    reject: float = 10.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """One file's verdict and why; `group` is None outside of groups, `place` is 1 for the best of its group."""

    row: Row
    verdict: Verdict
    reason: str
    group: int | None = None
    place: int | None = None
    size: int = 1


def propose(rows: Sequence[Row], options: CullOptions, opener: Opener) -> list[Proposal]:
    """Return a proposal for each row; groups are numbered from 1, in the order of the rows."""
    frames = find_frames(rows, opener)
    lowest = _lowest([frame.score.overall for frame in frames if frame.score], options.reject)
    proposals: dict[int, Proposal] = {}
    number = 0
    for group in group_frames(frames, options.gap, options.bits):
        number += len(group) > 1
        for frame, proposal in _judge([frames[at] for at in group], lowest, options):
            for row in frame.rows:
                proposals[id(row)] = Proposal(
                    row,
                    proposal.verdict,
                    proposal.reason,
                    number if len(group) > 1 else None,
                    proposal.place,
                    len(group),
                )
    return [proposals[id(row)] for row in rows]


def _lowest(scores: Sequence[float], percent: float) -> float:
    """Return the score under which frames are in the lowest percent of the shoot."""
    count = int(len(scores) * percent / 100)
    return sorted([*scores, math.inf])[count] if count else -math.inf


def _judge(frames: Sequence[Frame], lowest: float, options: CullOptions) -> Iterator[tuple[Frame, Proposal]]:
    ranked = sorted(frames, key=lambda frame: -frame.score.overall if frame.score else math.inf)
    best = ranked[0].score
    bracketed = sum(frame.capture.bracketed for frame in frames)
    for place, frame in enumerate(ranked, 1):
        verdict, reason = Verdict.KEEP, ""
        low = frame.score is not None and frame.score.overall < lowest
        if frame.score is None or best is None:
            verdict, reason = Verdict.REVIEW, "it has no score"
        elif bracketed > 1 and frame.capture.bracketed:
            reason = f"one of {bracketed} bracketed exposures"
        elif low and (len(frames) == 1 or place > options.keep):
            verdict, reason = Verdict.REJECT, f"in the lowest {options.reject:g}% of the shoot"
        elif place > options.keep:
            verdict = Verdict.REVIEW
            reason = f"{place} of {len(frames)} alike, {best.overall - frame.score.overall:.2f} below the best"
        elif len(frames) > 1:
            reason = f"{'the best' if place == 1 else place} of {len(frames)} alike"
        elif isinstance(frame.look, PictureError):
            reason = f"compared with none: {frame.look.message}"
        yield frame, Proposal(frame.rows[0], verdict, reason, place=place)
