"""Which layers become eight-bit: `recipes/mini/quantise.py`."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch")
pytest.importorskip("onnxruntime.quantization")
quantise: Any = importlib.import_module("quantise")


def test_first_layers_and_what_measures_stay_in_single_precision(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    nodes, values = [], {}
    for at in range(quantise.WHOLE + 2):
        values[f"weight{at}"], values[f"bias{at}"] = chance.normal(size=(8, 8, 1, 1)), chance.normal(size=8)
        nodes.append(
            helper.make_node("Conv", [f"x{at}", f"weight{at}", f"bias{at}"], [f"x{at + 1}"], name=f"layer{at}")
        )
    last = f"x{len(nodes)}"
    values["kernel"] = chance.normal(size=(quantise.MEASURED, 8, 1, 1))
    nodes.insert(0, helper.make_node("Conv", ["x0", "kernel"], ["measured"], name="measure"))
    nodes.append(helper.make_node("Concat", [last, "measured"], ["features"], axis=1))
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 8, 5, 5])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 8 + quantise.MEASURED, 5, 5])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()],
    )
    graph.node.insert(0, helper.make_node("Identity", ["pixels"], ["x0"]))
    single, rounded = tmp_path / "single.onnx", tmp_path / "rounded.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), single)
    quantise.quantise(single, rounded, [chance.normal(size=(1, 8, 5, 5)).astype(np.float32) for _ in range(3)])
    written = onnx.load(rounded).graph
    makers = {name: node.op_type for node in written.node for name in node.output}
    eight_bit = [node.name for node in written.node if makers.get(node.input[0]) == "DequantizeLinear"]
    assert [name for name in eight_bit if name.startswith(("layer", "measure"))] == [
        f"layer{quantise.WHOLE}",
        f"layer{quantise.WHOLE + 1}",
    ]


def test_the_same_layers_stay_whole_in_training_and_in_a_graph_with_a_block_in_parts() -> None:
    rounding: Any = importlib.import_module("rounding")
    network: Any = importlib.import_module("network")
    once = [("widen", True), ("filter", True)]
    for nodes, parts in ((quantise.FIRST, 1), (quantise.WHOLE, network.PARTS)):
        first = [("stem", True), ("filter", True), ("narrow", False), *(once * parts), ("narrow", False)]
        layers = [((name, at), clipped) for at, (name, clipped) in enumerate([*first, *once])]
        assert rounding.first_layers(layers, nodes) == {layer for layer, _ in layers[: len(first)]}
