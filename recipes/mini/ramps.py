"""What damage takes from `overall`: a ramp for each kind.

Only what a ramp takes beyond the usual counts (usual.py). Where ramps start, how wide and how high they are, is set:
chosen anew from a few hundred photographs, they cost the ranks of others twice what they cost those (experiments.md).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ramps:
    """Nothing up to a start, a height from a width beyond it, and a line between, for each of what is told."""

    starts: np.ndarray  # (told,)
    widths: np.ndarray  # (told,)
    heights: np.ndarray  # (told,), in units of `overall`
    average: float = 0.0  # what they take of whole photographs, and what is given back to all

    def __call__(self, told: np.ndarray, usual: np.ndarray) -> np.ndarray:
        """Return what is taken of views, (...).

        Args:
            told: of their damage, (..., told).
            usual: what ramps of height 1 take of photographs like them, (..., told).

        """
        return np.asarray((self.rise(told) - usual) @ self.heights - self.average)

    def rise(self, told: np.ndarray) -> np.ndarray:
        """Return what ramps of height 1 take, (..., told)."""
        return np.asarray(np.clip((told - self.starts) / self.widths, 0.0, 1.0))
