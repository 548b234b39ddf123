"""Eight-bit weights whose products, added two by two, never overflow sixteen bits.

Processors without VNNI multiply eight-bit numbers in pairs and add the two products in sixteen bits, where 255 * 127 +
255 * 127 has no room. Where neighbours of the same sign sum to 128 at most it has, whatever the activations: the same
numbers come out on every processor, in the fastest way that it has. (Seven-bit weights do it too, for a whole bit.)
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from aescli.runtime import NEVER_OVERFLOWS

WIDEST = 127  # a weight
ROOM = 128  # for two: 255 * 128 < 2^15
COARSER = np.linspace(1.0, 2.0, 26, dtype=np.float32)  # steps that are tried, of what a weight of 127 would have


def pair_channels(weights: np.ndarray) -> np.ndarray:
    """Return an order of input channels in which neighbours have room beside each other, (channels,).

    The channel that fits least to the others chooses first, and takes the one that fits best to it.

    Args:
        weights: of a layer of single pixels, (outputs, channels).

    """
    outputs = weights / np.abs(weights).max(1, keepdims=True).clip(1e-12)
    cost = np.zeros((outputs.shape[1],) * 2)
    for side in (np.maximum(outputs, 0.0), np.maximum(-outputs, 0.0)):
        for channel, column in enumerate(side.T):
            both = np.minimum(side, column[:, None]) > 0.0  # (outputs, channels)
            above = np.where(both, side + column[:, None] - ROOM / WIDEST, 0.0)
            cost[channel] += np.square(np.maximum(above, 0.0)).sum(0)
    free, order = np.ones(len(cost), bool), []
    for channel in np.argsort(-cost.sum(1), kind="stable"):
        if not free[channel]:
            continue
        free[channel] = False
        order.append(channel)
        if free.any():
            order.append(int(np.where(free, cost[channel], np.inf).argmin()))
            free[order[-1]] = False
    return np.array(order)


def make_room(graph: Path, single: Path) -> None:
    """Round the weights of a quantised graph again, from its twin in single precision, and say so in its metadata.

    Raises:
        ValueError: it has eight-bit layers that are no convolutions of single pixels or single channels.

    """
    proto, exact = onnx.load(graph), {each.name: each for each in onnx.load(single).graph.initializer}
    kept = {each.name: each for each in proto.graph.initializer}
    makers = {name: node for node in proto.graph.node for name in node.output}
    for node in proto.graph.node:
        kinds = [makers[each].op_type for each in node.input if each in makers]
        if node.op_type in ("Gemm", "MatMul") and "DequantizeLinear" in kinds:
            raise ValueError(f"{node.name} is a {node.op_type} in eight bits")
        if node.op_type != "Conv" or node.input[1] not in makers:
            continue
        weights, steps, _ = makers[node.input[1]].input
        bias, bias_steps, _ = makers[node.input[2]].input
        values = numpy_helper.to_array(exact[weights.removesuffix("_quantized")])  # (outputs, channels, height, width)
        if values.shape[1] == 1:  # filters of single channels are summed in 32 bits
            continue
        if values.shape[2:] != (1, 1):
            raise ValueError(f"{node.name} sees more than single pixels")
        old = numpy_helper.to_array(kept[steps])
        rounded, new = round_pairs(values[..., 0, 0], old)
        of_bias = numpy_helper.to_array(kept[bias_steps]) / old * new
        biases = np.rint(numpy_helper.to_array(exact[bias.removesuffix("_quantized")]) / of_bias)
        for name, value in (
            (weights, rounded[..., None, None]),
            (steps, new),
            (bias, biases.astype(np.int32)),
            (bias_steps, of_bias),
        ):
            kept[name].CopyFrom(numpy_helper.from_array(value, name))
    helper.set_model_props(proto, {NEVER_OVERFLOWS: "yes"})
    onnx.save(proto, graph)


def round_pairs(weights: np.ndarray, finest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights in eight bits, and each output's step: of those that are tried, what is next to them in squares.

    A coarser step makes all weights smaller; what two still have too much is taken from both.

    Args:
        weights: (outputs, channels).
        finest: steps with which weights, and the output's bias, have room by themselves, (outputs,).

    """
    least = np.full(len(weights), np.inf)
    rounded, steps = np.zeros(weights.shape, np.int8), finest.copy()
    for coarser in COARSER:
        tried = finest * coarser
        whole = _shorten(np.rint(weights / tried[:, None]).clip(-WIDEST, WIDEST).astype(int))
        lost = np.square(whole * tried[:, None] - weights).sum(1)
        better = lost < least
        least[better], rounded[better], steps[better] = lost[better], whole[better], tried[better]
    return rounded, steps


def _shorten(whole: np.ndarray) -> np.ndarray:
    """Take from neighbours of the same sign what they have above the room for two."""
    outputs, channels = whole.shape
    pairs = np.pad(whole, ((0, 0), (0, channels % 2))).reshape(outputs, -1, 2)
    total = pairs.sum(2)
    excess = np.where(pairs.prod(2) > 0, np.maximum(np.abs(total) - ROOM, 0), 0)
    shares = np.stack([(excess + 1) // 2, excess // 2], 2)
    return (pairs - np.sign(total)[..., None] * shares).reshape(outputs, -1)[:, :channels]
