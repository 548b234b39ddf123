"""Layers as eight bits will run them, so that training knows of rounding (Jacob et al., CVPR 2018).

What is rounded is what `quantise.py` writes before `pairs.py` makes room for two: weights of each channel to -127..127,
what goes into and comes out of a layer to 0..255 of the range that was seen; the first layers and all sums stay as they
are. Gradients pass through a rounding as if it were not there, and not through what lies outside of a range (Bengio et
al., arXiv 1308.3432).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.functional import conv2d, relu6

STEPS = 255  # between 256 levels


@dataclass
class Rounding:
    """Runs layers with rounding, once it has watched what goes through them.

    Args:
        whole: layers that stay as they are.
        ranges: smallest and largest that went into and came out of every other layer.

    """

    whole: frozenset[nn.Conv2d]
    ranges: dict[tuple[nn.Conv2d, str], tuple[float, float]] = field(default_factory=dict)
    watching: bool = True

    def __call__(self, layer: nn.Conv2d, x: torch.Tensor, *, clipped: bool) -> torch.Tensor:
        if layer in self.whole:
            return run_plain(layer, x, clipped=clipped)
        x = self._pass((layer, "in"), x)
        weight = layer.weight if self.watching else round_weight(layer.weight)
        return self._pass((layer, "out"), run_plain(layer, x, clipped=clipped, weight=weight))

    def _pass(self, place: tuple[nn.Conv2d, str], x: torch.Tensor) -> torch.Tensor:
        if self.watching:
            low, high = self.ranges.get(place, (0.0, 0.0))
            self.ranges[place] = min(low, float(x.detach().min())), max(high, float(x.detach().max()))
            return x
        return round_to(x, *self.ranges[place])


def run_plain(layer: nn.Conv2d, x: torch.Tensor, *, clipped: bool, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Run a layer, with other weights where some are given.

    The network's own classes pad in a step of their own; where both sides get the same, the convolution does it faster.
    """
    weight, size = layer.weight if weight is None else weight, layer.kernel_size[0]
    if layer.stride[0] == 1:
        y = conv2d(x, weight, layer.bias, padding=size // 2, groups=layer.groups)
    else:
        y = conv2d(layer.static_padding(x), weight, layer.bias, layer.stride, groups=layer.groups)
    return relu6(y) if clipped else y


def round_weight(weight: torch.Tensor) -> torch.Tensor:
    """Round weights (out, in, height, width) to 127 steps on either side of zero, for each output channel."""
    scale = (weight.detach().abs().amax((1, 2, 3), keepdim=True) / (STEPS // 2)).clamp(min=1e-12)
    return _Rounded.apply(weight, scale, -(STEPS // 2), STEPS // 2)


def round_to(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Round to 256 levels between `low` and `high`, one of them zero."""
    scale = max(high - low, 1e-12) / STEPS
    zero = round(-low / scale)
    return _Rounded.apply(x, scale, -zero, STEPS - zero)


def first_layers(layers: Iterable[tuple[nn.Conv2d, bool]], nodes: int) -> frozenset[nn.Conv2d]:
    """Return the layers among the first `nodes` of a graph, in which a ReLU6 is a node of its own.

    Args:
        layers: in the order in which they run, and whether they end in a ReLU6.
        nodes: how many.

    """
    found, at = [], 0
    for layer, clipped in layers:
        if at < nodes:
            found.append(layer)
        at += 1 + clipped
    return frozenset(found)


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(context, x, scale, lowest, highest):  # type: ignore[no-untyped-def]
        levels = x / scale
        context.save_for_backward((levels >= lowest) & (levels <= highest))
        return levels.round().clamp(lowest, highest) * scale

    @staticmethod
    def backward(context, gradient):  # type: ignore[no-untyped-def]
        (inside,) = context.saved_tensors
        return gradient * inside, None, None, None
