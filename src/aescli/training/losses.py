"""What a network is trained to: scores, votes, or comparisons. Each loss says what it draws from, and its slope."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from aescli.models.trained_head import softmax


class Loss(Protocol):
    """A loss over items, which are pictures or comparisons.

    Attributes:
        items: how many there are.
        outputs: how many numbers a network gives for each picture.

    """

    items: int
    outputs: int

    def rows(self, batch: np.ndarray) -> np.ndarray:
        """Return the pictures that a batch of items needs."""
        ...

    def slope(self, said: np.ndarray, batch: np.ndarray) -> np.ndarray:
        """Return the slope of the mean loss by what was said of these pictures, (rows, outputs)."""
        ...


class SquaredLoss:
    """Squared error of scores that were standardised, (pictures, out)."""

    def __init__(self, scores: np.ndarray) -> None:
        self.items, self.outputs = scores.shape
        self._scores = scores

    def rows(self, batch: np.ndarray) -> np.ndarray:
        return batch

    def slope(self, said: np.ndarray, batch: np.ndarray) -> np.ndarray:
        return np.asarray(2 * (said - self._scores[batch]) / len(batch))


class VotesLoss:
    """Squared earth mover's distance between votes (Hou, Yu and Samaras 2016; NIMA), and squared error of the rest."""

    def __init__(self, votes: np.ndarray, others: np.ndarray) -> None:
        """Take shares of votes, (pictures, levels), and standardised scores of other dimensions, (pictures, others)."""
        self.items, self._levels = votes.shape
        self.outputs = self._levels + others.shape[1]
        self._votes = votes
        self._others = SquaredLoss(others)

    def rows(self, batch: np.ndarray) -> np.ndarray:
        return batch

    def slope(self, said: np.ndarray, batch: np.ndarray) -> np.ndarray:
        shares = softmax(said[:, : self._levels])
        moved = np.cumsum(shares - self._votes[batch], 1)
        by_share = 2 * np.cumsum(moved[:, ::-1], 1)[:, ::-1]  # a share is in its own sum and in all behind it
        by_logit = shares * (by_share - (by_share * shares).sum(1, keepdims=True)) / len(batch)
        return np.hstack([by_logit, self._others.slope(said[:, self._levels :], batch)])


class ComparisonLoss:
    """Logistic loss of winner and loser (Bradley and Terry 1952), pairs of rows, (pairs, 2)."""

    def __init__(self, pairs: np.ndarray) -> None:
        self.items, self.outputs = len(pairs), 1
        self._pairs = pairs

    def rows(self, batch: np.ndarray) -> np.ndarray:
        return np.asarray(self._pairs[batch].T.reshape(-1))

    def slope(self, said: np.ndarray, batch: np.ndarray) -> np.ndarray:
        winners, losers = said[: len(batch)], said[len(batch) :]
        doubt = 1 / (1 + np.exp(np.clip(winners - losers, -30, 30)))
        return np.asarray(np.vstack([-doubt, doubt]) / len(batch))


@dataclass(frozen=True, slots=True)
class Standard:
    """Mean and deviation of scores, (out,): a network learns (scores - mean) / deviation."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray) -> "Standard":
        deviation = scores.std(0)
        return cls(scores.mean(0), np.where(deviation > 0, deviation, 1.0))

    def apply(self, scores: np.ndarray) -> np.ndarray:
        return np.asarray((scores - self.mean) / self.deviation)
