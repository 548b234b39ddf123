"""The two kinds of heads that are compared, fitted on components: a linear one and a small network."""

from collections.abc import Sequence

import numpy as np

from aescli.models.trained_head import Head
from aescli.training.linear import Basis, Layer, fit_comparisons, fit_ridge
from aescli.training.losses import ComparisonLoss, Loss, SquaredLoss, Standard, VotesLoss
from aescli.training.network import Setting, fit_network
from aescli.training.targets import Targets


def fit_linear(basis: Basis, components: np.ndarray, targets: Targets, strengths: Sequence[float]) -> Head:
    """Fit ridge regressions, one strength for each dimension, or Bradley-Terry to comparisons.

    Returns:
        A head over components.

    """
    if targets.pairs is not None:
        return Head((fit_comparisons(basis, components, targets.pairs, strengths[0]),), targets.dimensions)
    fitted = [fit_ridge(basis, components, targets.scores[:, [at]], strength) for at, strength in enumerate(strengths)]
    layer = np.vstack([weight for weight, _ in fitted]), np.concatenate([bias for _, bias in fitted])
    return Head((layer,), targets.dimensions)


def fit_small_network(components: np.ndarray, targets: Targets, setting: Setting, seed: int) -> Head:
    """Fit a network to scores, to votes (and scores of other dimensions), or to comparisons.

    Returns:
        A head over the first components.

    """
    standard = Standard.of(targets.scores)
    scores = standard.apply(targets.scores)
    first, second = fit_network(components, _loss(targets, scores), setting, seed)
    if targets.pairs is not None:
        return Head((first, second), targets.dimensions)
    logits = len(targets.levels)
    others = slice(1, None) if logits else slice(None)  # votes say what overall is
    return Head((first, _raised(second, logits, standard, others)), targets.dimensions, targets.levels)


def rate(head: Head, components: np.ndarray) -> np.ndarray:
    """Return ratings, (pictures, dimensions), of components, of which the head may take the first only."""
    return head.rate(components[:, : head.width])


def unfold(head: Head, basis: Basis) -> Head:
    """Return a head over components as one over raw features."""
    return Head((basis.unfold(head.layers[0]), *head.layers[1:]), head.dimensions, head.levels)


def _loss(targets: Targets, scores: np.ndarray) -> Loss:
    if targets.pairs is not None:
        return ComparisonLoss(targets.pairs)
    if targets.votes is not None:
        return VotesLoss(targets.votes, scores[:, 1:])
    return SquaredLoss(scores)


def _raised(layer: Layer, logits: int, standard: Standard, others: slice) -> Layer:
    """Return a last layer whose outputs behind the logits are scores again, no longer standardised."""
    weight, bias = layer[0].copy(), layer[1].copy()
    weight[logits:] *= standard.deviation[others, None]
    bias[logits:] = bias[logits:] * standard.deviation[others] + standard.mean[others]
    return weight, bias
