"""What an export needs of a family, whatever it is: one module whose whole work is tensors, and what to hold it to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aescli.images.view import Pixels, View
from aescli.models.base import Scorer
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


def describe_pixels(graph: Any, scorer: Scorer, fit: str, preprocessing: str) -> Exportable:
    """Return what becomes a folder of `aescli.models.onnx`: pixels of one size to one rating each.

    Args:
        graph: takes uint8 (batch, height, width, 3) and returns (batch,).
        scorer: the same model in fp32, which prepares such pixels.
        fit: how it does, one of `aescli.models.fitting.FITS`.
        preprocessing: the same for people.

    """

    def expected(pictures: Sequence[Pixels]) -> dict[str, np.ndarray]:
        ratings = scorer.rate(pictures)
        return {"rating": np.array([each.raw if isinstance(each, Rating) else np.nan for each in ratings])}

    return Exportable(
        graph=graph.eval(),
        outputs=("rating",),
        varying={"pixels": {0: "batch"}},
        prepare=scorer.prepare,
        inputs=lambda pictures: {"pixels": np.stack(pictures)},
        expected=expected,
        card={"family": "onnx", "fit": fit, "preprocessing": preprocessing},
    )
