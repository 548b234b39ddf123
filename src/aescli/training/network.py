"""A small network on the strongest components of features: one hidden layer, Adam, in numpy, the same on every run."""

from dataclasses import asdict, dataclass

import numpy as np

from aescli.training.linear import Layer
from aescli.training.losses import Loss

_BATCH, _EPOCHS, _FEWEST_STEPS, _MOST_STEPS = 64, 40, 200, 4_000
_RATE, _FIRST, _SECOND, _TINY = 3e-3, 0.9, 0.999, 1e-8  # Kingma and Ba 2015
_HIDDEN = 32


@dataclass(frozen=True, slots=True)
class Setting:
    """What validation chooses: how many components are seen, and how much weights shrink (Loshchilov and Hutter)."""

    components: int
    decay: float

    def as_json(self) -> dict[str, float]:
        return asdict(self)


SETTINGS = (Setting(128, 1.0), Setting(128, 5.0), Setting(256, 5.0))


def fit_network(components: np.ndarray, loss: Loss, setting: Setting, seed: int) -> tuple[Layer, Layer]:
    """Fit a network to the components of pictures, (pictures, components), strongest first.

    Returns:
        Two layers, of which the first takes `setting.components` components, or all where there are fewer.

    """
    chance = np.random.default_rng(seed)
    seen = components[:, : setting.components]
    scale = max(float(np.sqrt((seen**2).mean())), 1e-12) if seen.size else 1.0  # one picture has no components
    inputs = seen / scale
    flat = np.concatenate([each.ravel() for each in _first_parameters(inputs.shape[1], loss.outputs, chance)])
    slopes, fast, slow = np.empty_like(flat), np.zeros_like(flat), np.zeros_like(flat)
    parameters, into = (_lay_out(each, inputs.shape[1], loss.outputs) for each in (flat, slopes))
    decay = np.concatenate([np.full(each.size, setting.decay * (each.ndim == 2)) for each in parameters])
    steps = int(np.clip(loss.items / _BATCH * _EPOCHS, _FEWEST_STEPS, _MOST_STEPS))
    for step, batch in enumerate(_batches(loss.items, steps, chance), 1):
        rate = _RATE * 0.5 * (1 + np.cos(np.pi * (step - 1) / steps))
        _find_slopes(inputs[loss.rows(batch)], parameters, loss, batch, into)
        fast += (1 - _FIRST) * (slopes - fast)
        slow += (1 - _SECOND) * (slopes * slopes - slow)
        move = fast / (1 - _FIRST**step) / (np.sqrt(slow / (1 - _SECOND**step)) + _TINY)
        flat -= rate * (move + decay * flat)
    first, first_bias, second, second_bias = parameters
    return (first.T / scale, first_bias), (second.T, second_bias)


def _first_parameters(width: int, outputs: int, chance: np.random.Generator) -> list[np.ndarray]:
    return [
        chance.normal(0, np.sqrt(2 / max(width, 1)), (width, _HIDDEN)),
        np.zeros(_HIDDEN),
        chance.normal(0, 0.1 / np.sqrt(_HIDDEN), (_HIDDEN, outputs)),
        np.zeros(outputs),
    ]


def _lay_out(flat: np.ndarray, width: int, outputs: int) -> list[np.ndarray]:
    """Return the weights and biases of both layers as they lie in one vector, which is moved as a whole."""
    first, first_bias, second, second_bias = np.split(flat, np.cumsum([width * _HIDDEN, _HIDDEN, _HIDDEN * outputs]))
    return [first.reshape(width, _HIDDEN), first_bias, second.reshape(_HIDDEN, outputs), second_bias]


def _batches(items: int, steps: int, chance: np.random.Generator) -> list[np.ndarray]:
    """Return `steps` batches, which go through all items in a new order each time; few items are one batch."""
    size = min(_BATCH, items)
    batches: list[np.ndarray] = []
    while len(batches) < steps:
        order = chance.permutation(items)
        batches += [order[at : at + size] for at in range(0, items - size + 1, size)]
    return batches[:steps]


def _find_slopes(
    inputs: np.ndarray, parameters: list[np.ndarray], loss: Loss, batch: np.ndarray, into: list[np.ndarray]
) -> None:
    first, first_bias, second, second_bias = parameters
    before = inputs @ first + first_bias
    hidden = np.maximum(before, 0)
    by_output = loss.slope(hidden @ second + second_bias, batch)
    by_hidden = (by_output @ second.T) * (before > 0)
    np.matmul(inputs.T, by_hidden, out=into[0])
    by_hidden.sum(0, out=into[1])
    np.matmul(hidden.T, by_output, out=into[2])
    by_output.sum(0, out=into[3])
