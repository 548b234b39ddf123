"""Eight-bit weights that never overflow: what `recipes/mini/pairs.py` does, and what ships."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from onnx import TensorProto, helper, numpy_helper

from aescli.registry import BUILT_IN
from aescli.runtime import NEVER_OVERFLOWS

torch: Any = pytest.importorskip("torch")
onnxruntime: Any = pytest.importorskip("onnxruntime")
quantization: Any = pytest.importorskip("onnxruntime.quantization")
pairs: Any = importlib.import_module("pairs")

network: Any = importlib.import_module("network")

layers = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(-4, 4, width=32))


def find_finest(weights: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(weights).max(1).clip(np.float32(1e-3)) / np.float32(127))


def largest_sum(whole: np.ndarray) -> int:
    """Return the largest sum of two neighbours of the same sign, and of one alone."""
    even = np.pad(whole.astype(int), ((0, 0), (0, whole.shape[1] % 2))).reshape(len(whole), -1, 2)
    return int(np.abs(np.where(even.prod(2, keepdims=True) > 0, even, 0).sum(2)).max(initial=0))


def quantise_layers(folder: Path, nodes: list[Any], values: dict[str, np.ndarray]) -> tuple[Path, Path, list[Any]]:
    """Write layers of `x`, (1, 8, 5, 5), in single precision and in eight bits, and return what set the ranges."""
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6, 3, 3])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    single, rounded = folder / "single.onnx", folder / "rounded.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), single)
    rng = np.random.default_rng(1)
    seen = [rng.uniform(size=(1, 8, 5, 5)).astype(np.float32) for _ in range(20)]

    class Samples(quantization.CalibrationDataReader):  # type: ignore[misc]
        rest = iter([{"x": each} for each in seen])

        def get_next(self) -> Any:
            return next(self.rest, None)

    quantization.quantize_static(single, rounded, Samples(), per_channel=True)
    return single, rounded, seen


@given(layers)
def test_no_two_neighbours_overflow_and_no_more_is_lost_than_by_seven_bits(weights: np.ndarray) -> None:
    finest = find_finest(weights)
    whole, steps = pairs.round_pairs(weights, finest)
    assert whole.dtype == np.int8
    assert largest_sum(whole) <= 128
    assert np.abs(whole.astype(int)).max() <= 127
    assert ((steps >= finest) & (steps <= 2.01 * finest)).all()
    seven_bit = np.rint(weights / (2 * finest[:, None]))
    lost, at_most = (
        np.square(each - weights).sum(1) for each in (whole * steps[:, None], seven_bit * 2 * finest[:, None])
    )
    assert (lost <= at_most * 1.001 + 1e-9).all()


def test_where_neighbours_have_room_weights_are_rounded_as_ever() -> None:
    expected = np.array([[127, -90, 64, 64, 30], [20, 0, -127, 99, 20]])
    finest = np.array([0.25, 2.0], np.float32)
    whole, steps = pairs.round_pairs((expected * finest[:, None]).astype(np.float32), finest)
    assert steps.tolist() == finest.tolist()
    assert whole.tolist() == expected.tolist()


def test_a_step_that_leaves_room_for_a_bias_is_kept() -> None:
    weights = np.array([[1e-7, -1e-7]], np.float32)
    whole, steps = pairs.round_pairs(weights, np.array([1e-3], np.float32))
    assert steps.tolist() == [np.float32(1e-3)]
    assert whole.tolist() == [[0, 0]]


@given(layers)
def test_an_order_has_each_channel_once(weights: np.ndarray) -> None:
    assert sorted(pairs.pair_channels(weights)) == list(range(weights.shape[1]))


def test_an_order_makes_room() -> None:
    weights = np.random.default_rng(0).normal(size=(24, 144)).astype(np.float32)
    finest = find_finest(weights)

    def lost(order: np.ndarray) -> float:
        whole, steps = pairs.round_pairs(weights[:, order], finest)
        return float(np.square(whole * steps[:, None] - weights[:, order]).mean())

    plain = float(np.square(np.rint(weights / finest[:, None]) * finest[:, None] - weights).mean())
    assert lost(np.arange(144)) > 1.2 * plain
    assert lost(pairs.pair_channels(weights)) < 1.05 * plain


def test_a_block_stays_the_same_whatever_the_order_of_its_widened_channels() -> None:
    torch.manual_seed(0)
    widened = {"expand": torch.nn.Conv2d(5, 14, 1), "depthwise": torch.nn.Conv2d(14, 14, 3, padding=1, groups=14)}
    block = network.Block.__new__(network.Block)
    torch.nn.Module.__init__(block)
    for name, layer in {**widened, "project": torch.nn.Conv2d(14, 6, 1)}.items():
        setattr(block, name, layer)
    block.adds = False
    x = torch.randn(2, 5, 8, 8)
    with torch.no_grad():
        before, weights = block(x), block.project.weight.clone()
        block.order_channels()
        assert not torch.equal(block.project.weight, weights)
        assert torch.allclose(block(x), before, atol=1e-6)


def test_other_layers_in_eight_bits_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wide = {"weight": rng.normal(size=(6, 8, 3, 3)).astype(np.float32), "bias": np.zeros(6, np.float32)}
    single, rounded, _ = quantise_layers(tmp_path, [helper.make_node("Conv", ["x", *wide], ["y"])], wide)
    with pytest.raises(ValueError, match="single pixels"):
        pairs.make_room(rounded, single)


def test_a_graph_is_rounded_again_and_says_what_it_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = {
        "weight": rng.normal(size=(6, 8, 1, 1)).astype(np.float32),
        "bias": rng.normal(size=6).astype(np.float32),
        "filter": rng.normal(size=(6, 1, 3, 3)).astype(np.float32),
        "offset": rng.normal(size=6).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "weight", "bias"], ["wide"], name="one"),
        helper.make_node("Conv", ["wide", "filter", "offset"], ["y"], name="two", group=6),
    ]
    single, rounded, seen = quantise_layers(tmp_path, nodes, values)
    before = {each.name: numpy_helper.to_array(each) for each in onnx.load(rounded).graph.initializer}
    pairs.make_room(rounded, single)
    after = {each.name: numpy_helper.to_array(each) for each in onnx.load(rounded).graph.initializer}
    assert [each.key for each in onnx.load(rounded).metadata_props] == [NEVER_OVERFLOWS]
    assert largest_sum(before["weight_quantized"][..., 0, 0]) > 128
    assert largest_sum(after["weight_quantized"][..., 0, 0]) <= 128
    assert (after["filter_quantized"] == before["filter_quantized"]).all()
    assert after["bias_quantized"] * after["bias_quantized_scale"] == pytest.approx(values["bias"], abs=1e-3)
    exact, eight_bit = (
        np.concatenate([onnxruntime.InferenceSession(file).run(None, {"x": each})[0] for each in seen])
        for file in (single, rounded)
    )
    assert np.abs(eight_bit - exact).max() < 0.03 * np.ptp(exact)


def test_no_two_products_of_the_packaged_model_overflow() -> None:
    model = onnx.load(BUILT_IN / "model.onnx")
    assert NEVER_OVERFLOWS in [each.key for each in model.metadata_props]
    graph = model.graph
    kept = {each.name: each for each in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    sums = []
    for node in graph.node:
        maker = makers.get(node.input[1]) if node.op_type == "Conv" else None
        if maker is None or maker.op_type != "DequantizeLinear":
            continue
        weights = numpy_helper.to_array(kept[maker.input[0]])
        if weights.shape[1] > 1:
            assert weights.shape[2:] == (1, 1)
            sums.append(largest_sum(weights[..., 0, 0]))
    assert len(sums) > 30
    assert max(sums) <= 128
