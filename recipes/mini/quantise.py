"""From a network to eight-bit ONNX: weights of each channel and activations in eight bits, where they tell least."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from network import PARTS
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from pairs import make_room

CALIBRATION = (140, 60)  # photographs as they are, and spoilt ones, that set the ranges
FIRST = 10  # layers, with their clips: the stem and blocks 0 and 1; their rounding made most of all error
WHOLE = FIRST + 4 * (PARTS - 1)  # the same in a graph, where block 1 widens and filters part by part
MEASURED = 3  # outputs at most of a convolution that is no layer but measures pixels


def export(network: torch.nn.Module, side: int, outputs: list[str], file: Path) -> None:
    """Write a network of uint8 pixels (batch, side, side, 3) in single precision, with a dynamic batch."""
    example = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    program = torch.onnx.export(
        network.eval(),
        (example,),
        dynamo=True,
        input_names=["pixels"],
        output_names=outputs,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )
    proto = program.model_proto
    del proto.metadata_props[:]
    for node in proto.graph.node:  # the exporter notes paths and its own stack
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(proto, file)


def quantise(single: Path, file: Path, pixels: Sequence[np.ndarray]) -> None:
    """Write the eight-bit twin of a graph, its ranges calibrated on `pixels`, each (1, side, side, 3).

    The first layers, measures and all sums stay in single precision. Two neighbours among weights never overflow
    sixteen bits.
    """
    prepared = file.with_suffix(".prepared.onnx")
    quant_pre_process(str(single), str(prepared), skip_symbolic_shape=True)
    # Clip too: else every ReLU6 keeps a pair of conversions around it, and nothing is gained.
    kinds = ["Conv", "Clip"]
    graph = onnx.load(prepared).graph
    widths = {each.name: each.dims[0] for each in graph.initializer if each.dims}
    measures = [node.name for node in graph.node if node.op_type == "Conv" and widths[node.input[1]] <= MEASURED]
    layers = [node.name for node in graph.node if node.op_type in kinds and node.name not in measures]
    quantize_static(
        prepared,
        file,
        _Samples(pixels),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
        op_types_to_quantize=kinds,
        nodes_to_exclude=[*measures, *layers[:WHOLE]],
    )
    make_room(file, prepared)
    prepared.unlink()


class _Samples(CalibrationDataReader):
    def __init__(self, pixels: Sequence[np.ndarray]) -> None:
        self._rest = iter([{"pixels": each} for each in pixels])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._rest, None)
