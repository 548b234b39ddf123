"""What an export needs of a family, whatever it is: one module whose whole work is tensors, and what to hold it to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aescli.images.view import Pixels, View


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
