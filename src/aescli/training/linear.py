"""Linear heads: principal components of features, ridge regression over them, and Bradley-Terry for comparisons.

One decomposition of the training features serves every strength, every dimension and every shuffled copy of the labels.
"""

from dataclasses import dataclass

import numpy as np

STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # of the penalty, for each feature

_COMPARED = 256  # components that comparisons are fitted on
_NEWTON_STEPS = 12

Layer = tuple[np.ndarray, np.ndarray]  # weight (out, in) and bias (out,)


@dataclass(frozen=True, slots=True)
class Basis:
    """Principal components of standardised features.

    Args:
        mean: (width,).
        deviation: (width,).
        directions: orthonormal, strongest first, (width, components).
        squares: sums of squares along them, (components,).

    """

    mean: np.ndarray
    deviation: np.ndarray
    directions: np.ndarray
    squares: np.ndarray

    def project(self, features: np.ndarray) -> np.ndarray:
        """Return components of features, (pictures, width) to (pictures, components)."""
        return np.asarray(((features - self.mean) / self.deviation) @ self.directions)

    def unfold(self, layer: Layer) -> Layer:
        """Return a layer over the first components as one over raw features."""
        weight, bias = layer
        raw = (weight @ self.directions[:, : weight.shape[1]].T) / self.deviation  # (out, width)
        return raw, bias - raw @ self.mean


def find_basis(features: np.ndarray) -> Basis:
    """Decompose features, (pictures, width)."""
    features = features.astype(np.float64)
    mean, deviation = features.mean(0), features.std(0)
    # A feature that never changes on these pictures says nothing, and must not be blown up on others.
    deviation = np.where(deviation > 1e-6 * max(float(deviation.max()), 1e-12), deviation, np.inf)
    standard = (features - mean) / deviation
    tall = len(standard) > standard.shape[1]
    squares, vectors = np.linalg.eigh(standard.T @ standard if tall else standard @ standard.T)
    squares, vectors = squares[::-1], vectors[:, ::-1]
    kept = squares > 1e-9 * max(float(squares[0]), 1e-12)
    squares, vectors = squares[kept], vectors[:, kept]
    directions = vectors if tall else standard.T @ vectors / np.sqrt(squares)
    return Basis(mean, deviation, directions, squares)


def fit_ridge(basis: Basis, components: np.ndarray, scores: np.ndarray, strength: float) -> Layer:
    """Fit scores, (pictures, out), on components of the pictures that the basis was found on."""
    mean = scores.mean(0)
    weights = (components.T @ (scores - mean)) / (basis.squares + strength * len(basis.mean))[:, None]
    return weights.T, mean


def fit_comparisons(basis: Basis, components: np.ndarray, pairs: np.ndarray, strength: float) -> Layer:
    """Fit a worth to pictures so that winners have more (Bradley and Terry 1952), by Newton's method.

    Args:
        basis: of the pictures.
        components: (pictures, components).
        pairs: winner and loser as rows of the components, (pairs, 2).
        strength: of the penalty.

    """
    used = components[:, :_COMPARED]
    difference = used[pairs[:, 0]] - used[pairs[:, 1]]  # (pairs, components)
    penalty = strength * len(basis.mean) / 4
    weights = np.zeros(used.shape[1])
    for _ in range(_NEWTON_STEPS):
        doubt = 1 / (1 + np.exp(np.clip(difference @ weights, -30, 30)))  # how likely the other outcome seems
        slope = difference.T @ doubt - penalty * weights
        curve = (difference * (doubt * (1 - doubt))[:, None]).T @ difference + penalty * np.eye(len(weights))
        step = np.linalg.solve(curve, slope)
        weights += step
        if float(np.abs(step).max()) < 1e-8:
            break
    return weights[None], np.zeros(1)
