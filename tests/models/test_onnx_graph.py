"""Features are found, and heads replaced, in any graph that ends in one linear layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aescli.errors import WeightsUnavailable
from aescli.models.onnx import AT_ONCE
from aescli.models.onnx_graph import expose_features, replace_head
from aescli.models.trained_head import Head
from aescli.runtime import NEVER_OVERFLOWS

CHANCE = np.random.default_rng(0)
PIXELS = CHANCE.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
POOLED = PIXELS.astype(np.float32).mean((1, 2))  # (5, 3)
WEIGHT = CHANCE.normal(size=(3, 1)).astype(np.float32)


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [output], **attributes)


def graph(*nodes: onnx.NodeProto, outputs: Sequence[str] = ("rating",), **weights: Any) -> bytes:
    """Return a graph that pools its pixels into `pooled`, and goes on with these nodes."""
    first = [node("Cast", ["pixels"], "float", to=1), node("ReduceMean", ["float", "axes"], "pooled", keepdims=0)]
    weights = {"axes": np.array([1, 2], np.int64), "w": WEIGHT, "b": np.ones(1, np.float32), **weights}
    model = helper.make_model(
        helper.make_graph(
            [*first, *nodes],
            "tiny",
            [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 8, 8, 3])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"]) for name in outputs],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def run(model: bytes) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"pixels": PIXELS}))


SQUEEZE = node("Squeeze", ["linear", "one"], "rating")
ONE = np.array([1], np.int64)
GRAPHS = {
    "gemm": graph(node("Gemm", ["pooled", "w", "b"], "linear"), SQUEEZE, one=ONE),
    "matmul and add": graph(
        node("MatMul", ["pooled", "w"], "product"), node("Add", ["b", "product"], "linear"), SQUEEZE, one=ONE
    ),
    "squashed": graph(
        node("Gemm", ["pooled", "w", "b"], "linear"), node("Sigmoid", ["linear"], "squashed"),
        node("Mul", ["squashed", "six"], "scaled"), node("Gather", ["scaled", "zero"], "rating", axis=1),
        six=np.float32(6), zero=np.int64(0),
    ),
    "quantised": graph(
        node("QuantizeLinear", ["pooled", "s", "z"], "q"), node("DequantizeLinear", ["q", "s", "z"], "d"),
        node("DequantizeLinear", ["wq", "ws"], "wd"), node("Gemm", ["d", "wd", "b"], "linear"), SQUEEZE,
        one=ONE, s=np.float32(1), z=np.uint8(0), wq=np.array([[9], [-50], [100]], np.int8), ws=np.float32(0.01),
    ),
    "another head beside it": graph(
        node("Gemm", ["pooled", "w", "b"], "linear"), SQUEEZE, node("Gemm", ["pooled", "w"], "second"),
        node("Squeeze", ["second", "one"], "technical"), one=ONE, outputs=("rating", "technical"),
    ),
    "a bias that varies": graph(
        node("ReduceMax", ["pooled", "one"], "largest", keepdims=1), node("Gemm", ["pooled", "w", "largest"], "linear"),
        SQUEEZE, one=ONE,
    ),
    "joined depths": graph(
        node("Relu", ["pooled"], "deep"), node("Concat", ["deep", "pooled"], "joined", axis=1),
        node("Gemm", ["joined", "w6", "b"], "linear"), SQUEEZE, one=ONE, w6=np.vstack([WEIGHT, WEIGHT]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_features_are_what_the_last_layer_reads(name: str) -> None:
    before = run(GRAPHS[name])[0]
    ratings, features = run(expose_features(GRAPHS[name], name))
    assert np.array_equal(ratings, before)
    expected = np.hstack([POOLED, POOLED]) if name == "joined depths" else POOLED
    assert features == pytest.approx(expected, abs=0.51 if name == "quantised" else 1e-4)


HEADS = {
    "linear": Head(((np.ones((1, 3)), np.zeros(1)),), ("overall",)),
    "two dimensions": Head(((CHANCE.normal(size=(2, 3)), np.ones(2)),), ("overall", "light")),
    "network": Head(
        ((CHANCE.normal(size=(7, 3)), CHANCE.normal(size=7)), (CHANCE.normal(size=(1, 7)), np.ones(1))), ("overall",)
    ),
    "votes": Head(((CHANCE.normal(size=(5, 3)) / 99, np.zeros(5)),), ("overall",), (1, 2, 3, 4, 5)),
    "votes and more": Head(
        ((CHANCE.normal(size=(4, 3)) / 99, np.zeros(4)), (CHANCE.normal(size=(7, 4)), np.ones(7))),
        ("overall", "light", "line"), (1, 2, 3, 4, 5),
    ),
}  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_says_what_its_new_head_says(name: str, head: str) -> None:
    chosen = HEADS[head]
    if name == "joined depths":
        (weight, bias), *rest = chosen.layers
        chosen = Head(((np.hstack([weight, weight]), bias), *rest), chosen.dimensions, chosen.levels)
    _, features = run(expose_features(GRAPHS[name], name))
    expected = chosen.rate(features)  # (5, dimensions)
    ratings, *dimensions = run(replace_head(GRAPHS[name], chosen, name, {}))
    assert ratings.shape == (5,)
    assert ratings == pytest.approx(expected[:, 0], rel=1e-4, abs=1e-3)
    assert len(dimensions) == (expected.shape[1] > 1)
    for found in dimensions:
        assert found == pytest.approx(expected[:, 1:], rel=1e-4, abs=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        graph(node("ReduceMean", ["pooled", "last"], "rating", keepdims=0), last=np.array([1], np.int64)),
        graph(
            node("Gemm", ["pooled", "w"], "a"), node("Gemm", ["pooled", "w"], "c"), node("Add", ["a", "c"], "linear"),
            SQUEEZE, one=ONE,
        ),
        b"no graph",
    ],
)  # fmt: skip
def test_a_graph_without_one_last_layer_is_refused(model: bytes) -> None:
    with pytest.raises(WeightsUnavailable):
        expose_features(model, "it")


def test_a_new_head_leaves_what_a_graph_says_of_how_to_run_it() -> None:
    before = onnx.load_model_from_string(GRAPHS["gemm"])
    run = {AT_ONCE: "4", NEVER_OVERFLOWS: "yes"}
    helper.set_model_props(before, {**run, "of the old head": "its outputs"})
    after = onnx.load_model_from_string(
        replace_head(before.SerializeToString(), HEADS["linear"], "gemm", {"of the new head": "others"})
    )
    assert {each.key: each.value for each in after.metadata_props} == {**run, "of the new head": "others"}
