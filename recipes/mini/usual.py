"""What ramps usually take of sound photographs like one, told by what it shows, so that `overall` can give it back.

Sound photographs look a little tilted, tinted or cut as well, some kinds of them more than others: a flower that fills
the picture looks cropped. What a ramp takes of a whole kind says nothing of damage, and only moves ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from heads import PLACED, Seen

RIDGE = 4000.0
RATED = 3.0  # how much a view of a rated photograph counts: these are few, and of other kinds


@dataclass(frozen=True)
class Usual:
    """Places and nearness to what ramps of height 1 usually take, linear in both."""

    placed: np.ndarray  # (PLACED, told)
    near: np.ndarray  # (landmarks, told)
    bias: np.ndarray  # (told,)

    def __call__(self, seen: Seen) -> torch.Tensor:
        """Return what is usual for views, (...) to (..., told)."""
        placed, near, bias = (torch.from_numpy(each).to(seen.placed) for each in (self.placed, self.near, self.bias))
        return seen.placed @ placed + seen.near @ near + bias


def fit_usual(unrated: Seen, rated: Seen, taken: Sequence[np.ndarray], root: torch.Tensor) -> Usual:
    """Return the ridge regression of what ramps take of whole photographs on what all of their sound views show.

    Args:
        unrated: sound views of photographs without ratings, (photographs, views).
        rated: of those with, whose ratings are not asked for.
        taken: what ramps of height 1 take of both, whole, (photographs, told) each.
        root: from nearness to independent numbers, each as free as an axis, (landmarks, numbers).

    """
    width = PLACED + root.shape[1] + 1
    squares = torch.zeros(width, width, dtype=torch.float64, device=root.device)
    products = torch.zeros(width, taken[0].shape[1], dtype=torch.float64, device=root.device)
    for seen, said, weight in zip((unrated, rated), taken, (1.0, RATED), strict=True):
        ones = torch.ones(*seen.placed.shape[:-1], 1, device=root.device)
        numbers = torch.cat([seen.placed, seen.near @ root, ones], -1)  # (photographs, views, width)
        flat = numbers.flatten(0, 1)
        squares += weight * (flat.T @ flat)
        products += weight * (numbers.sum(1).double().T @ torch.from_numpy(said).to(root.device))
    squares.diagonal()[:-1] += RIDGE  # not of the bias
    weights = torch.linalg.solve(squares, products)
    near = root.double() @ weights[PLACED:-1]
    return Usual(*(each.cpu().numpy() for each in (weights[:PLACED], near, weights[-1])))
