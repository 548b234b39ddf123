"""What an export needs of a family, whatever it is: one module whose whole work is tensors, and what to hold it to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from aescli.errors import PictureError
from aescli.images.view import Pixels, View
from aescli.models.base import FeatureExtractor, Features, Scorer
from aescli.models.onnx import FEATURES, LEVELS, RATING
from aescli.results import Rating


@dataclass(frozen=True, slots=True, kw_only=True)
class Exportable:
    """A loaded model on its way to a graph.

    Args:
        graph: a torch module that is in evaluation mode.
        outputs: what it returns, by name, in order; their first dimension is the batch.
        unscaled: outputs that have no native range, such as hidden states: held to the largest number among them.
        varying: which dimensions of each input vary: {input: {axis: name}}.
        prepare: makes of a picture what `inputs` and `expected` take.
        inputs: makes the graph's inputs of prepared pictures.
        expected: returns what the model itself says of prepared pictures in fp32, by output.
        card: the fields of the new model's card that the family knows; `family` is one of them.

    """

    graph: Any
    outputs: tuple[str, ...]
    unscaled: frozenset[str] = frozenset()
    varying: Mapping[str, Mapping[int, str]]
    prepare: Callable[[View], Pixels]
    inputs: Callable[[Sequence[Pixels]], dict[str, np.ndarray]]
    expected: Callable[[Sequence[Pixels]], Mapping[str, np.ndarray]]
    card: Mapping[str, Any]


class ScoringExtractor(Scorer, FeatureExtractor, Protocol):
    """A loaded model that rates, and gives features."""


def describe_pixels(
    graph: Any, scorer: ScoringExtractor, card: Mapping[str, Any], words: Sequence[str] = ()
) -> Exportable:
    """Return what becomes a folder of `aescli.models.onnx`: pixels of one size to one rating each.

    Args:
        graph: takes uint8 (batch, height, width, 3) and returns ratings (batch,), then with words their probabilities
            (batch, words), then features (batch, width).
        scorer: the same model in fp32, which prepares such pixels.
        card: how it does, for programs (`fit`) and for people (`preprocessing`), and what else the family knows.
        words: of levels.

    """

    def expected(pictures: Sequence[Pixels]) -> dict[str, np.ndarray]:
        ratings, features = scorer.rate(pictures), scorer.extract(pictures)
        found = [each for each in ratings if isinstance(each, Rating)]
        values = [each.values for each in features if isinstance(each, Features)]
        if len(found) < len(pictures) or len(values) < len(pictures):
            raise next(each for each in (*ratings, *features) if isinstance(each, PictureError))
        said = {RATING: np.array([each.raw for each in found]), FEATURES: np.stack(values)}
        return {**said, LEVELS: np.array([list(each.levels.values()) for each in found])} if words else said

    return Exportable(
        graph=graph.eval(),
        outputs=(RATING, LEVELS, FEATURES) if words else (RATING, FEATURES),
        unscaled=frozenset({FEATURES}),
        varying={"pixels": {0: "batch"}},
        prepare=scorer.prepare,
        inputs=lambda pictures: {"pixels": np.stack(pictures)},
        expected=expected,
        card={"family": "onnx", **card},
    )
