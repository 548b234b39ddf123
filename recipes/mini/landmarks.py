"""How near a photograph is to others: Gaussians around landmarks, on the main axes of what the later blocks see.

A ridge on features is a plane; taste is not. A sum of Gaussians around photographs (a kernel machine: Schoelkopf and
Smola, "Learning with Kernels", 2002) follows it further, and a few axes of late features serve it better than all.
"""

from dataclasses import dataclass

import numpy as np
import torch
from heads import Space
from network import CHANNELS, FEATURES, find_group, groups

FIRST_BLOCK = 15  # of the late features
AXES = 300  # fewer where a trial has fewer photographs
UNRATED = 1000  # landmarks without ratings, beside all that have them
WIDTH = 0.7  # of a Gaussian, in median squared distances


def _late_columns() -> np.ndarray:
    """Return where averages and deviations of the last blocks and the last averages stand among the features."""
    blocks = range(FIRST_BLOCK, len(CHANNELS))
    late = {"mean", *(f"mean{block}" for block in blocks), *(f"deviation{block}" for block in blocks)}
    return np.concatenate([np.arange(FEATURES)[find_group(name)] for name, _ in groups() if name in late])


LATE = _late_columns()


@dataclass(frozen=True)
class Landmarks:
    """Photographs to be near to, and how nearness is measured.

    Args:
        weight: late features as they come out of the network to axes, (late, axes).
        bias: of the axes, (axes,).
        places: of the landmarks on the axes, (landmarks, axes): those with ratings first.
        width: squared distance at which nearness has fallen to 1 / e.

    """

    weight: np.ndarray
    bias: np.ndarray
    places: np.ndarray
    width: float

    @classmethod
    def of(cls, space: Space, rated: np.ndarray, unrated: np.ndarray) -> "Landmarks":
        """Choose axes from photographs without ratings.

        Args:
            space: whose weights of the features count here too.
            rated: features of whole photographs with ratings, (photographs, FEATURES).
            unrated: of those without, in an order of chance.

        """
        scale, middle = space.scale[LATE], unrated[:, LATE].astype(np.float64).mean(0)
        torch.manual_seed(0)
        centred = torch.from_numpy(((unrated[:, LATE] - middle) * scale).astype(np.float32))
        _, _, axes = torch.pca_lowrank(centred, min(AXES, len(centred)), center=False, niter=8)
        weight = scale[:, None] * axes.double().numpy()
        found = cls(weight.astype(np.float32), (-middle @ weight).astype(np.float32), np.empty((0, axes.shape[1])), 1.0)
        own = found.place(rated)
        median = float(squared_distances(own, own).median())
        places = torch.cat([own, found.place(unrated[:UNRATED])])
        return cls(found.weight, found.bias, places.numpy(), WIDTH * median)

    def place(self, features: np.ndarray) -> torch.Tensor:
        """(..., FEATURES) to (..., axes), single precision."""
        flat = features.reshape(-1, features.shape[-1])
        parts = [flat[at : at + 4096, LATE].astype(np.float32) @ self.weight for at in range(0, len(flat), 4096)]
        return torch.from_numpy(np.concatenate(parts) + self.bias).reshape(*features.shape[:-1], -1)

    def nearness(self, placed: torch.Tensor) -> torch.Tensor:
        """(..., axes) to (..., landmarks), 0 to 1."""
        places = torch.from_numpy(self.places).to(placed.device)
        flat = placed.reshape(-1, placed.shape[-1])
        near = torch.empty(len(flat), len(places), device=placed.device)
        for at in range(0, len(flat), 4096):
            part = flat[at : at + 4096]
            near[at : at + 4096] = torch.exp(-squared_distances(part, places) / self.width)
        return near.reshape(*placed.shape[:-1], len(places))


def squared_distances(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return squared distances between all of (a, axes) and all of (b, axes), (a, b)."""
    squared = one.square().sum(1, keepdim=True) + other.square().sum(1) - 2.0 * one @ other.T
    return squared.clamp(min=0.0)  # rounding


def inverse_root(kernel: torch.Tensor) -> torch.Tensor:
    """Return what makes nearness to landmarks (..., landmarks) into numbers whose products are the kernel (Nystroem).

    Directions that hardly vary are shrunk, not blown up.
    """
    values, vectors = torch.linalg.eigh(kernel.double())
    return (vectors / values.clamp(min=1e-3).sqrt()).float()
