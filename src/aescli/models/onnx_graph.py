"""Surgery on the graph of an ONNX scorer: find its features, and give it another head.

Works on any graph of `models/onnx.py`: features are the output of that name, else what the last linear node reads: from
the first output backwards there is one (Gemm or MatMul with constant weights) over a batch of vectors. Needs the extra
`export`, and no torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aescli.errors import MissingExtra, WeightsUnavailable, first_line
from aescli.models.onnx import AT_ONCE, FEATURES, RATING
from aescli.models.trained_head import Head
from aescli.runtime import NEVER_OVERFLOWS

DIMENSIONS = "dimensions"

EXPOSED = "trained_head.features"  # the name of features that a graph did not give before


def expose_features(graph: bytes, where: str) -> bytes:
    """Return the graph with two outputs: ratings (batch,) as before, and features (batch, width).

    Raises:
        WeightsUnavailable: no linear node reads one vector for each picture.
        MissingExtra: onnx is not installed.

    """
    onnx = need_onnx()
    model = _parse(onnx, graph, where)
    name = find_features(model, where)
    model.graph.node.append(onnx.helper.make_node("Identity", [name], [EXPOSED]))
    output = onnx.helper.make_tensor_value_info(EXPOSED, onnx.TensorProto.FLOAT, None)
    kept = model.graph.output[0]
    del model.graph.output[:]
    model.graph.output.extend([kept, output])
    serialized: bytes = model.SerializeToString()
    return serialized


def replace_head(graph: bytes, head: Head, where: str, metadata: Mapping[str, str]) -> bytes:
    """Return the graph with a trained head in the place of its own, and with metadata of `models/outputs.py`.

    What its metadata says of how to run it stays. It gives `rating` (batch,), and `dimensions` (batch, dimensions)
    where the head has more than `overall`.

    Raises:
        WeightsUnavailable: as `expose_features`.
        MissingExtra: onnx is not installed.

    """
    onnx = need_onnx()
    model = _parse(onnx, graph, where)
    name = find_features(model, where)
    del model.graph.output[:]
    _prune(model, name)
    _add_head(onnx, model, name, head)
    kept = {each.key: each.value for each in model.metadata_props if each.key in (AT_ONCE, NEVER_OVERFLOWS)}
    onnx.helper.set_model_props(model, kept | dict(metadata))
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


def find_features(model: Any, where: str) -> str:
    """Return the name of the tensor of the features.

    Raises:
        WeightsUnavailable: there is no linear node, or two ways lead back from the output.

    """
    if FEATURES in (each.name for each in model.graph.output):
        return FEATURES
    makers = {output: node for node in model.graph.node for output in node.output}
    varying = _varying(model)
    name = model.graph.output[0].name
    while name in makers:
        node = makers[name]
        inputs = [each for each in node.input if each in varying]
        # A bias may vary with the picture: it is the old head's, and goes with it.
        if node.op_type in ("Gemm", "MatMul") and node.input[0] in varying and node.input[1] not in varying:
            return str(node.input[0])
        if len(inputs) != 1:
            break
        name = inputs[0]
    raise WeightsUnavailable(f"{where}: its graph does not end in one linear layer, so it has no features to train on")


def _varying(model: Any) -> set[str]:
    """Return the tensors that depend on the picture: weights, and what is computed from them alone, do not."""
    found = {each.name for each in model.graph.input}
    for node in model.graph.node:  # in topological order, as the format demands
        if any(each in found for each in node.input) and node.op_type not in ("Shape", "Size"):
            found.update(node.output)
    return found


def _prune(model: Any, kept: str) -> None:
    """Drop what does not lead to one tensor."""
    makers = {output: node for node in model.graph.node for output in node.output}
    wanted, waiting = set[str](), [kept]
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting.extend(makers[name].input if name in makers else ())
    nodes = [node for node in model.graph.node if wanted.intersection(node.output)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    weights = [each for each in model.graph.initializer if each.name in wanted]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    del model.graph.value_info[:]


def _add_head(onnx: Any, model: Any, name: str, head: Head) -> None:
    for at, (weight, bias) in enumerate(head.layers):
        for part, values in (("weight", weight), ("bias", bias)):
            tensor = onnx.numpy_helper.from_array(values.astype(np.float32), f"trained_head.{at}.{part}")
            model.graph.initializer.append(tensor)
        inputs = [name, f"trained_head.{at}.weight", f"trained_head.{at}.bias"]
        name = f"trained_head.{at}"
        _add(onnx, model, "Gemm", inputs, name, transB=1)
        if at + 1 < len(head.layers):
            _add(onnx, model, "Relu", [name], f"{name}.relu")
            name = f"{name}.relu"
    count = len(head.levels)
    if count:
        _cut(onnx, model, name, "trained_head.logits", 0, count)
        _add(onnx, model, "Softmax", ["trained_head.logits"], "trained_head.votes", axis=-1)
        _constant(onnx, model, "trained_head.levels", np.array(head.levels, np.float32))
        _add(onnx, model, "MatMul", ["trained_head.votes", "trained_head.levels"], RATING)
    else:
        _cut(onnx, model, name, "trained_head.overall", 0, 1)
        _constant(onnx, model, "trained_head.one", np.array([1], np.int64))
        _add(onnx, model, "Squeeze", ["trained_head.overall", "trained_head.one"], RATING)
    shapes: dict[str, list[Any]] = {RATING: ["batch"]}
    if len(head.dimensions) > 1:
        _cut(onnx, model, name, DIMENSIONS, max(count, 1), len(head.layers[-1][1]))
        shapes[DIMENSIONS] = ["batch", len(head.dimensions) - 1]
    for output, shape in shapes.items():
        info = onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, shape)
        model.graph.output.append(info)


def _cut(onnx: Any, model: Any, name: str, target: str, start: int, stop: int) -> None:
    """Take columns of a matrix."""
    for part, value in (("start", start), ("stop", stop), ("axis", 1)):
        _constant(onnx, model, f"{target}.{part}", np.array([value], np.int64))
    _add(onnx, model, "Slice", [name, *(f"{target}.{part}" for part in ("start", "stop", "axis"))], target)


def _constant(onnx: Any, model: Any, name: str, values: np.ndarray) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))


def _add(onnx: Any, model: Any, kind: str, inputs: Sequence[str], output: str, **attributes: int) -> None:
    model.graph.node.append(onnx.helper.make_node(kind, list(inputs), [output], **attributes))


def _parse(onnx: Any, graph: bytes, where: str) -> Any:
    try:
        return onnx.load_model_from_string(graph)
    except Exception as error:  # whatever protobuf raises
        raise WeightsUnavailable(f"{where}: its graph cannot be read: {first_line(error)}") from error


def need_onnx() -> Any:
    """Return the library.

    Raises:
        MissingExtra: it is not installed.

    """
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError:
        raise MissingExtra("training on this model", "export") from None
    return onnx
