"""What damage takes from `overall`: a ramp for each kind, as high as wins most pairs for the ranks that it costs.

Only what a ramp takes beyond the usual counts (usual.py).

Fitted where taste was fitted, penalties come out too small: taste puts these very copies below already. So they are
chosen on what taste says of photographs that it was not fitted to. Where a ramp starts and how wide it is are settings:
chosen anew from a few hundred photographs, they cost the ranks of others twice what they cost those (README.md).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

# In deviations of what taste says of whole photographs.
HEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
ROUNDS = 4
# What the rank correlation is worth, and the share of copies of medium damage that lie below their photographs.
RANKS = 5.0
COPIES = {
    "white balance": 3.0, "tilt": 1.0, "crop": 1.0, "dark": 1.0, "bright": 1.0,
    "noise": 0.7, "blur": 0.5, "jpeg": 0.4, "contrast": 0.5,
}  # fmt: skip


@dataclass(frozen=True)
class Ramps:
    """Nothing up to a start, a height from a width beyond it, and a line between, for each of what is told."""

    starts: np.ndarray  # (told,)
    widths: np.ndarray  # (told,)
    heights: np.ndarray  # (told,), in units of `overall`
    average: float  # what they take of whole photographs, and what is given back to all

    def __call__(self, told: np.ndarray, usual: np.ndarray) -> np.ndarray:
        """Return what is taken of views, (...).

        Args:
            told: of their damage, (..., told).
            usual: what ramps of height 1 take of photographs like them, (..., told).

        """
        return np.asarray((rise(told, self.starts, self.widths) - usual) @ self.heights - self.average)


def rise(told: np.ndarray, starts: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return what ramps of height 1 take, (..., told)."""
    return np.asarray(np.clip((told - starts) / widths, 0.0, 1.0))


def choose_ramps(
    judged: np.ndarray,
    told: np.ndarray,
    usual: np.ndarray,
    scores: np.ndarray,
    names: tuple[str, ...],
    settings: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> Ramps:
    """Choose one height after the other, the others as they are, until none changes.

    Args:
        judged: what taste says of photographs that it was not fitted to, (photographs, views), the first whole.
        told: of the damage of the same views, (photographs, views, told).
        usual: what ramps of height 1 take of photographs like these, (photographs, views, told).
        scores: ratings, (photographs,).
        names: of the views; of three copies of a damage the second is of medium strength.
        settings: starts and widths of the ramps, (told,) each, and the heights that are not chosen, in deviations of
            what taste says; NaN for the others.

    """
    starts, widths, given = settings
    medium = [[at for at, name in enumerate(names) if name == damage][1] for damage in COPIES]
    judged, taken = judged[:, [0, *medium]], (rise(told, starts, widths) - usual)[:, [0, *medium]]
    worth = np.array(list(COPIES.values()))
    ranks = _standard(rankdata(scores))
    unit = float(judged[:, 0].std())
    heights = np.nan_to_num(given)

    def value(left: np.ndarray) -> float:
        order = _standard(np.argsort(np.argsort(left[:, 0])).astype(np.float64))
        below = (left[:, :1] > left[:, 1:]).mean(0)
        return RANKS * float((order * ranks).mean()) + float(below @ worth)

    for _ in range(ROUNDS):
        before = heights.copy()
        for at in np.flatnonzero(np.isnan(given)):
            rest = judged - unit * (np.delete(taken, at, -1) @ np.delete(heights, at))
            values = [value(rest - unit * height * taken[..., at]) for height in HEIGHTS]
            heights[at] = HEIGHTS[int(np.argmax(values))]  # the first of equals: less is taken
        if (heights == before).all():
            break
    heights = heights * unit
    return Ramps(starts, widths, heights, float((taken[:, 0] @ heights).mean()))


def _standard(values: np.ndarray) -> np.ndarray:
    return np.asarray((values - values.mean()) / values.std())
