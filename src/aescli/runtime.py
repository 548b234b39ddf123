"""Devices, data types and ONNX Runtime sessions, and why each was chosen.

ONNX Runtime falls back to the CPU without a word, so a session is asked what it really runs on, never the library
what it could.
"""

import os
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aescli.errors import DeviceUnavailable, MissingExtra, UsageError, WeightsUnavailable, first_line, install_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import onnxruntime

DATA_TYPES = ("auto", "fp32", "bf16", "fp16")
# In the metadata of a graph whose eight-bit weights leave room for two products in sixteen bits, as those of
# recipes/mini/pairs.py do: it may run in the fastest way that a processor has. Whoever quantises it again takes this
# away. It is found by its bytes, since a session must know before it opens and onnx may not be installed: any value
# means yes, and graphs with data beside them are not looked into.
NEVER_OVERFLOWS = "aescli.never_overflows"


@dataclass(frozen=True, slots=True)
class Device:
    """`kind` is cpu, cuda or mps; `index` counts GPUs."""

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return f"cuda:{self.index}" if self.kind == "cuda" else self.kind


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs, and why there.

    Args:
        devices: at least one; several share one stream of pictures.
        reason: a phrase for the log, such as "no NVIDIA driver found".
        explicit: the user named the device, so falling back is an error.
        data_type: what torch computes in; an ONNX graph has its own.

    """

    devices: tuple[Device, ...]
    reason: str
    explicit: bool = False
    data_type: str = "fp32"


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph: its type, and its shape with names for what varies."""

    type: str
    shape: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """A graph that is loaded onto one device."""

    backend: str
    inputs: "Mapping[str, Port]"
    outputs: "Mapping[str, Port]"
    _session: "onnxruntime.InferenceSession" = field(repr=False)

    def takes_pixels(self) -> bool:
        """Tell whether the graph takes uint8 `pixels` (any batch, height, width, 3) and gives one number for each."""
        if set(self.inputs) != {"pixels"} or len(next(iter(self.outputs.values())).shape) != 1:
            return False
        match self.inputs["pixels"]:
            case Port("tensor(uint8)", [str() | None, int(), int(), 3]):
                return True
            case _:
                return False

    def metadata(self) -> "Mapping[str, str]":
        """Return what the graph's file says beside the graph."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, pixels: "np.ndarray") -> "np.ndarray":
        """Return the graph's first output for a batch of pixels."""
        output: np.ndarray = self._session.run(None, {"pixels": pixels})[0]
        return output

    def run_named(self, inputs: "Mapping[str, np.ndarray]") -> "dict[str, np.ndarray]":
        """Return all outputs by their names."""
        return dict(zip(self.outputs, self._session.run(None, dict(inputs)), strict=True))


def place(wanted: str, data_type: str = "auto", exported_in: str = "fp32") -> Placement:
    """Decide where an ONNX model runs.

    Args:
        wanted: `auto`, `cpu`, `cuda[:N[,M...]]` or `mps`.
        data_type: one of DATA_TYPES.
        exported_in: what the graph was exported in, and runs in; `fp32` where it does not say.

    Raises:
        UsageError: the word is no device.
        DeviceUnavailable: the device or data type cannot be had.

    """
    if data_type not in ("auto", exported_in):
        raise DeviceUnavailable(
            f"an ONNX model runs in the precision it was exported in, {exported_in}, not in {data_type}",
            hint="leave --dtype out",
        )
    kind, _, numbers = wanted.partition(":")
    match kind:
        case "auto" if not numbers:
            return _automatic()
        case "cpu" if not numbers:
            return Placement((Device("cpu"),), "asked for", explicit=True)
        case "cuda":
            return Placement(_gpus(numbers), "asked for", explicit=True)
        case "mps" if not numbers:
            raise DeviceUnavailable("ONNX models do not run on mps", hint="--device cpu")
    raise UsageError(f"'{wanted}' is no device", hint="auto, cpu, cuda, cuda:0, cuda:0,1 or mps")


def place_torch(wanted: str, data_type: str = "auto") -> Placement:
    """Decide where a torch model runs, and in which precision: bf16 on a GPU, fp32 elsewhere.

    Raises:
        UsageError: the word is no device.
        DeviceUnavailable: the device cannot be had.
        MissingExtra: torch is not installed.

    """
    torch = need_torch()
    kind, _, numbers = wanted.partition(":")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    match kind:
        case "auto" if not numbers:
            found = Device("cuda") if gpus else Device("mps") if _has_mps() else Device("cpu")
            reason = "torch sees a GPU" if found.kind != "cpu" else "torch sees no GPU"
            return Placement((found,), reason, data_type=_precision(found, data_type))
        case "cpu" if not numbers:
            return Placement(
                (Device("cpu"),), "asked for", explicit=True, data_type=_precision(Device("cpu"), data_type)
            )
        case "cuda":
            devices = _gpus(numbers)
            if missing := [str(each) for each in devices if each.index >= gpus]:
                raise DeviceUnavailable(
                    f"{', '.join(missing)} cannot be had: torch {torch.__version__} sees {gpus} GPUs",
                    hint="--device cpu",
                )
            return Placement(devices, "asked for", explicit=True, data_type=_precision(devices[0], data_type))
        case "mps" if not numbers:
            if not _has_mps():
                raise DeviceUnavailable("mps cannot be had: torch does not see it", hint="--device cpu")
            return Placement(
                (Device("mps"),), "asked for", explicit=True, data_type=_precision(Device("mps"), data_type)
            )
    raise UsageError(f"'{wanted}' is no device", hint="auto, cpu, cuda, cuda:0, cuda:0,1 or mps")


def need_torch() -> Any:
    """Return torch.

    Raises:
        MissingExtra: it is not installed.

    """
    try:
        import torch
    except ImportError:
        raise MissingExtra("this model", "torch") from None
    return torch


def open_session(graph: bytes | Path, device: Device, placement: Placement, *, threads: int = 1) -> Session:
    """Load a graph onto a device.

    Args:
        graph: its bytes, or its file where data lies beside it.
        device: one of the placement's.
        placement: says whether the device was asked for.
        threads: of one run on a CPU; pictures run side by side in threads of ours, where more would only fight them.

    Raises:
        DeviceUnavailable: the device was asked for by name and the session runs elsewhere.
        WeightsUnavailable: the graph cannot be loaded.

    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a missing CUDA library is told by us, in one line
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Whatever was asked for: what a GPU cannot take runs on the CPU.
    never = isinstance(graph, bytes) and NEVER_OVERFLOWS.encode() in graph
    if not never and products_overflow():
        options.add_session_config_entry("session.x64quantprecision", "1")
    onnxruntime.set_default_logger_severity(4)
    try:
        source = graph if isinstance(graph, bytes) else str(graph)
        session = onnxruntime.InferenceSession(source, options, providers=_providers(device))
    except _graph_errors() as error:
        raise WeightsUnavailable(f"ONNX Runtime cannot load the graph: {first_line(error)}") from error
    running = session.get_providers()
    if device.kind == "cuda" and "CUDAExecutionProvider" not in running:
        if placement.explicit:
            raise DeviceUnavailable(
                f"{device} cannot be had: ONNX Runtime runs on {', '.join(running)}",
                hint=f"{install_line('cuda')}   or --device cpu",
            )
        device = Device("cpu")
    inputs, outputs = (
        {each.name: Port(each.type, tuple(each.shape)) for each in each_side}
        for each_side in (session.get_inputs(), session.get_outputs())
    )
    return Session(f"onnx-{device}", inputs, outputs, session)


@cache
def products_overflow() -> bool:
    """Return whether eight-bit products overflow here: 255 * 127 + 255 * 127, summed in sixteen bits.

    On x86 processors without VNNI they do, and ONNX Runtime lets them unless it is told otherwise: scores would be
    wrong without a word. What is slower and right is taken there, but for graphs that never overflow.
    """
    import numpy as np
    import onnxruntime

    graph = resources.files("aescli").joinpath("overflow.onnx").read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.full((1, 2), 255, np.uint8)})
    return int(found[0, 0]) != 2 * 255 * 127


def usable_cpus() -> int:
    """Return how many CPUs this process may use, which a container may set below what the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _graph_errors() -> "tuple[type[Exception], ...]":
    """Return ONNX Runtime's own exceptions, which have no class in common but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
    return (RuntimeError, ValueError, *(getattr(state, name) for name in names if hasattr(state, name)))


def _precision(device: Device, data_type: str) -> str:
    if data_type == "auto":
        return "bf16" if device.kind == "cuda" else "fp32"
    return data_type


def _has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()


def _automatic() -> Placement:
    if not Path("/proc/driver/nvidia/version").exists() and os.name != "nt":
        return Placement((Device("cpu"),), "no NVIDIA driver found")
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return Placement((Device("cpu"),), "ONNX Runtime is built without CUDA")
    return Placement((Device("cuda"),), "NVIDIA driver found")


def _gpus(numbers: str) -> tuple[Device, ...]:
    try:
        found = tuple(Device("cuda", int(number)) for number in numbers.split(",")) if numbers else ()
    except ValueError:
        raise UsageError(f"'cuda:{numbers}' is no device", hint="cuda:0 or cuda:0,1") from None
    return found or (Device("cuda"),)


def _providers(device: Device) -> list[Any]:
    cpu = "CPUExecutionProvider"
    return [("CUDAExecutionProvider", {"device_id": device.index}), cpu] if device.kind == "cuda" else [cpu]
