"""Join the eight-bit network and the heads that were fitted to it into one ONNX graph."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from damage_head import TOLD
from fitting import Fitting
from heads import PLACED, Overall
from kept import keep
from landmarks import LATE
from network import FEATURES, find_group
from onnx import TensorProto, helper, numpy_helper

from aescli.models.onnx import AT_ONCE

ALIKE = 16  # numbers: of so many, or a multiple, no processor leaves some over, and all rows of so many begin alike
ON_CPU = 2  # pictures at once: each reads all weights of the heads; more leave cores idle where few are to be rated


def write_graph(graph: Path, model: Fitting, overall: Overall, file: Path) -> None:
    """Join the network and its heads: `rating` (batch,), 1 to 7, and `learnt` (batch, 1), `technical` out of 10.

    What the network's metadata says stays.
    """
    constants, large = _weigh(model, overall)
    proto = onnx.load(graph)
    round_alike(proto.graph)
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    proto.graph.initializer.extend(
        numpy_helper.from_array(value.astype(np.float16), f"{name}_half") for name, value in large.items()
    )
    proto.graph.node.extend(_nodes(large))
    del proto.graph.output[:]
    proto.graph.output.extend(
        [
            helper.make_tensor_value_info("rating", TensorProto.FLOAT, ["batch"]),
            helper.make_tensor_value_info("learnt", TensorProto.FLOAT, ["batch", 1]),
        ]
    )
    said = {each.key: each.value for each in proto.metadata_props}
    helper.set_model_props(proto, {AT_ONCE: str(ON_CPU), **said})
    onnx.checker.check_model(proto)
    file.parent.mkdir(parents=True, exist_ok=True)
    keep(file, lambda part: onnx.save(proto, part))


def _weigh(model: Fitting, overall: Overall) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the heads' constants by their names: those in single precision, and the large ones.

    What is large is kept in half precision, and widened once, when the graph is opened.
    """
    technical, technical_bias = model.technical
    technical_weight, technical_bias = model.space.unfold(technical[:, None], np.array([technical_bias]))
    taste, ramps, usual = overall.taste, overall.ramps, model.usual
    # What is usual is linear in what taste is linear in, so it is given back there.
    liked = taste.placed + usual.placed @ ramps.heights
    planar, bias = model.space.unfold(
        liked[:, None], np.array([taste.bias + usual.bias @ ramps.heights + ramps.average])
    )
    nearness = taste.near + usual.near @ ramps.heights
    hidden, hidden_bias, damage_weight = join_heads(model)
    landmarks, used = model.landmarks, np.flatnonzero(nearness)
    places = landmarks.places[used]  # (landmarks, axes)
    # A ramp is a hinge at its start less one at its end.
    slopes = ramps.heights / ramps.widths  # (told,)
    hinges = np.concatenate([-slopes, slopes])
    constants = {
        "hidden_bias": hidden_bias.astype(np.float32),
        "damage_weight": damage_weight.astype(np.float32),
        "damage_bias": np.concatenate([head.out_bias for head in model.damages]),
        "starts": ramps.starts.astype(np.float32),  # (told,)
        "ends": (ramps.starts + ramps.widths).astype(np.float32),
        "technical_weight": technical_weight.astype(np.float32),  # (FEATURES, 1)
        "technical_bias": technical_bias.astype(np.float32),
        "head_weight": np.concatenate([planar, hinges[:, None]]).astype(np.float32),  # (FEATURES + hinges, 1)
        "head_bias": bias.astype(np.float32),
        "corner_columns": np.arange(FEATURES, dtype=np.int64)[find_group("corners")],
        "runs": _measure_runs(),
        "axis_bias": landmarks.bias,
        "landmark_norms": -np.square(places).sum(1) / landmarks.width,
        "width": np.array(landmarks.width, np.float32),
        "nearness_weight": nearness[used, None].astype(np.float32),  # (landmarks, 1)
        "last": np.array([1], np.int64),
        "ten": np.array(10.0, np.float32),
    }
    large = {
        "hidden_weight": hidden,  # (FEATURES, hidden)
        "axis_weight": landmarks.weight,  # (late, axes)
        "landmarks": 2.0 / landmarks.width * places.T,  # (axes, landmarks)
    }
    return constants, large


def _nodes(large: Iterable[str]) -> list[onnx.NodeProto]:
    """Return what is calculated of the network's `features`, (batch, FEATURES)."""
    runs = [f"run{at}" for at in range(len(_measure_runs()))]
    return [
        *(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT) for name in large),
        helper.make_node("Gemm", ["features", "hidden_weight", "hidden_bias"], ["widened"]),
        helper.make_node("Relu", ["widened"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "damage_weight", "damage_bias"], ["damages"]),
        helper.make_node("Gemm", ["features", "technical_weight", "technical_bias"], ["logit"]),  # (batch, 1)
        helper.make_node("Neg", ["logit"], ["unsound"]),
        helper.make_node("Gather", ["features", "corner_columns"], ["corners"], axis=1),
        helper.make_node("Concat", ["damages", "corners", "unsound"], ["told"], axis=1),  # (batch, told)
        helper.make_node("Sub", ["told", "starts"], ["above_starts"]),
        helper.make_node("Sub", ["told", "ends"], ["above_ends"]),
        helper.make_node("Concat", ["above_starts", "above_ends"], ["all_above"], axis=1),
        helper.make_node("Relu", ["all_above"], ["hinges"]),  # (batch, hinges)
        # Run by run: column by column takes four times as long.
        helper.make_node("Split", ["features", "runs"], runs, axis=1),
        helper.make_node("Concat", runs[1::2], ["late"], axis=1),
        helper.make_node("Gemm", ["late", "axis_weight", "axis_bias"], ["axes"]),  # (batch, axes)
        helper.make_node("Gemm", ["axes", "landmarks", "landmark_norms"], ["products"]),  # (batch, landmarks)
        helper.make_node("ReduceSumSquare", ["axes", "last"], ["norm"], keepdims=1),
        helper.make_node("Div", ["norm", "width"], ["norms"]),
        helper.make_node("Sub", ["products", "norms"], ["distances"]),
        helper.make_node("Exp", ["distances"], ["nearness"]),
        helper.make_node("Gemm", ["nearness", "nearness_weight", "head_bias"], ["closeness"]),  # (batch, 1)
        helper.make_node("Concat", ["features", "hinges"], ["seen"], axis=1),
        # Last comes a linear layer: what it reads are the features that `aes train` gives another head.
        helper.make_node("Gemm", ["seen", "head_weight", "closeness"], ["ratings"]),  # (batch, 1)
        helper.make_node("Squeeze", ["ratings", "last"], ["rating"]),
        helper.make_node("Sigmoid", ["logit"], ["soundness"]),
        helper.make_node("Mul", ["soundness", "ten"], ["learnt"]),
    ]


def _measure_runs() -> np.ndarray:
    """Return how many features stand together that are late or are not, by turns; the first are not."""
    late = np.isin(np.arange(FEATURES), LATE)
    return np.diff([0, *np.flatnonzero(np.diff(late)) + 1, FEATURES])


def round_alike(graph: onnx.GraphProto) -> None:
    """Make what a graph says of a picture, to the last bit, the same whichever pictures stand beside it.

    Logarithms are calculated several at a time, those that are left over in another way (of large planes none are).
    Numbers of a row are added so, too, in an order that depends on where in memory it begins; and columns of a matrix
    in another order where there is only one. Double precision, rounded to single, hides all of it.
    """
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    shapes = {each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim] for each in graph.value_info}

    def differs(node: onnx.NodeProto) -> bool:
        shape = shapes.get(node.input[0], [])  # 0 where a size is not known
        if node.op_type in ("ReduceMean", "ReduceSum"):
            over = constants[node.input[1]].tolist()
            added = math.prod(shape[axis] for axis in over) if shape else 0
            # Three are too few to be added several at a time.
            return (len(shape) == 3 and over == [1]) or (added > 3 and added % ALIKE != 0)
        numbers = math.prod(shape[1:])
        return node.op_type == "Log" and (numbers == 0 or numbers % ALIKE != 0)

    nodes = []
    for node in graph.node:
        if not differs(node):
            nodes.append(node)
            continue
        (name,), (values, *rest) = node.output, node.input
        wide = onnx.NodeProto()
        wide.CopyFrom(node)
        wide.input[:], wide.output[:] = [f"{name}_of", *rest], [f"{name}_wide"]
        nodes += [
            helper.make_node("Cast", [values], [f"{name}_of"], to=TensorProto.DOUBLE),
            wide,
            helper.make_node("Cast", [f"{name}_wide"], [name], to=TensorProto.FLOAT),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def join_heads(model: Fitting) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the damage heads as one: weights (FEATURES, hidden) and biases (hidden,), and then (hidden, TOLD)."""
    width = sum(len(head.hidden_bias) for head in model.damages)
    hidden, out, at, place = np.zeros((PLACED, width)), np.zeros((width, len(TOLD))), 0, 0
    for head in model.damages:
        part, told = slice(at, at + len(head.hidden_bias)), slice(place, place + len(head.out_bias))
        hidden[head.columns, part], out[part, told] = head.hidden, head.out
        at, place = part.stop, told.stop
    weights, bias = model.space.unfold(hidden, np.concatenate([head.hidden_bias for head in model.damages]))
    return weights, bias, out
