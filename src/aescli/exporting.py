"""Write a model as an ONNX folder, and prove on pictures that it says the same before it gets its name."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aescli.cards import CARD_FILE, ModelCard
from aescli.errors import AesError, MissingExtra, UsageError
from aescli.images.view import Pixels
from aescli.models.exportable import Exportable
from aescli.models.files import DATA_FILE, GRAPH_FILE, graph_files, hash_files
from aescli.models.outputs import describe_card
from aescli.output import new_folder, refuse_existing
from aescli.picturing import prepare_files
from aescli.registry import find_card
from aescli.runtime import Device, Placement, need_torch, open_session

FAMILIES = ("internvl", "clip_head", "llava")
TOLERANCE = {"fp32": 1e-3, "fp16": 2e-2}  # in the native range of the read-outs; of what has none, in its largest
_ONE_FILE = 1_900_000_000  # bytes: a graph that holds its weights may have two gigabytes
_OPSET = 18


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, and how near it is to what it was made of.

    Attributes:
        folder: the new model.
        size: of graph and data, in bytes.
        pictures: how many were compared.
        differences: largest absolute difference of each read-out, in the native range; of features, in their largest.

    """

    folder: Path
    size: int
    pictures: int
    differences: dict[str, float]


def export_onnx(
    card: ModelCard, folders: Sequence[Path], target: Path, pictures: Sequence[Path], *, data_type: str = "fp32",
    tell: Callable[[str], None] = lambda _: None,
) -> ExportReport:  # fmt: skip
    """Export all between pixels and ratings: of HumanAesExpert, LLaVA-1.5, or a head on CLIP with its tower.

    What heads are trained on comes with them; of InternVL2 without heads it is all there is.

    Args:
        card: what is known of it.
        folders: of its weights; of a head on CLIP its own and the tower's.
        target: must not exist.
        pictures: parity is measured on them, alone and as one batch.
        data_type: `fp32` or `fp16`.
        tell: is told what takes long.

    Raises:
        UsageError: the family cannot be exported, or there is no picture.
        MissingExtra: torch or the exporter is not installed.
        OutputFailed: the target exists, or cannot be written.
        AesError: the graph differs by more than TOLERANCE; nothing is left behind.

    """
    if card.family not in FAMILIES:
        raise UsageError(f"{card.id} is of the family '{card.family}', which has no export")
    if data_type not in TOLERANCE:
        raise UsageError(f"'{data_type}' is no precision of an export", hint="--dtype fp32 or fp16")
    if not pictures:
        raise UsageError("parity is measured on pictures, and none are named", hint="aes models export NAME PICTURE...")
    refuse_existing(target)
    _need_exporter()
    card, model = _load(card, folders, data_type)
    prepared = prepare_files(pictures, model.prepare)
    with new_folder(target) as part:
        tell("following the network")
        fields = _card(card, model, data_type)
        stated = {
            name: fields[name]
            for name in (*model.card, "native_range", "dimensions", "exact", "export")
            if name != "title"
        }
        write_graph(model, [prepared[0], prepared[-1]], part / GRAPH_FILE, stated)
        tell(f"comparing {len(prepared)} pictures")
        differences = _compare(model, prepared, part / GRAPH_FILE)
        _refuse_above(TOLERANCE[data_type], differences)
        made_of = {"name": card.id, "revision": card.revision, "parity": differences}
        fields = {**fields, "revision": hash_files(graph_files(part)), "made_of": made_of}
        (part / CARD_FILE).write_text(json.dumps(fields, indent=1), encoding="utf-8")
        find_card(f"{part}/")
    size = sum(file.stat().st_size for file in graph_files(target))
    return ExportReport(target, size, len(prepared), differences)


def write_graph(
    model: Exportable, pictures: Sequence[Pixels], target: Path, stated: Mapping[str, Any] | None = None
) -> None:
    """Follow a model's module and write it as ONNX; weights above two gigabytes go into a file beside it.

    Args:
        model: what is written.
        pictures: two prepared ones to follow it with.
        target: the graph's file.
        stated: what its card will say of it.

    """
    import torch

    inputs = {name: torch.from_numpy(values) for name, values in model.inputs(pictures).items()}
    shared = {name: torch.export.Dim(name) for axes in model.varying.values() for name in axes.values()}
    varying = tuple({axis: shared[name] for axis, name in model.varying[each].items()} for each in inputs)
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.graph.parameters())
    with torch.inference_mode(), _quiet():
        program = torch.onnx.export(
            model.graph,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=_OPSET,
            input_names=list(inputs),
            output_names=list(model.outputs),
            dynamic_shapes=varying,
            verbose=False,
        )
    if program is None:
        raise AssertionError("the exporter returns a program")
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where in the code it came from, with the paths of this machine
    program.model.metadata_props.update(describe_card(stated or {}))
    with _quiet():
        program.save(str(target), external_data=size > _ONE_FILE)
    if size > _ONE_FILE and not target.with_name(DATA_FILE).exists():
        raise AssertionError("the data lie beside the graph")


def _need_exporter() -> None:
    need_torch()
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise MissingExtra("exporting", "export") from None


def _load(card: ModelCard, folders: Sequence[Path], data_type: str) -> tuple[ModelCard, Exportable]:
    """Return the card with its revision, and what is exported."""
    if card.family == "clip_head":
        from aescli.models import clip_graph

        return clip_graph.make_exportable(card, folders, data_type)
    if card.family == "llava":
        from aescli.models import llava_graph

        return llava_graph.make_exportable(card, folders[0], data_type)
    from aescli.models import internvl_graph

    return internvl_graph.make_exportable(card, folders[0], data_type)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's talk about its own inside from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _compare(model: Exportable, prepared: Sequence[Pixels], graph: Path) -> dict[str, float]:
    """Return the largest difference of each read-out, pictures alone and all as one batch."""
    device = Device("cpu")
    session = open_session(graph, device, Placement((device,), "parity", explicit=True))
    largest = dict.fromkeys(model.outputs, 0.0)
    for group in ([each] for each in prepared), [list(prepared)]:
        for pictures in group:
            found, expected = session.run_named(model.inputs(pictures)), model.expected(pictures)
            for name in model.outputs:
                difference = np.abs(found[name] - expected[name]).max()
                if name in model.unscaled:
                    difference /= np.abs(expected[name]).max()
                largest[name] = float(np.maximum(largest[name], difference))  # a NaN stays one
    return largest


def _refuse_above(tolerance: float, differences: Mapping[str, float]) -> None:
    for name, difference in differences.items():
        if not difference <= tolerance:  # a NaN is no difference that is small enough
            raise AesError(f"the graph is not the model: {name} differs by {difference:.2e}, over {tolerance:g}")


def _card(card: ModelCard, model: Exportable, data_type: str) -> dict[str, Any]:
    return {
        "title": f"{card.title}, exported to ONNX in {data_type}",
        "native_range": [card.scale.low, card.scale.high],
        "read_out": card.read_out,
        "dimensions": [asdict(dimension) for dimension in card.dimensions],
        "preprocessing": card.preprocessing,
        "code_license": card.code_license,
        "weights_license": card.weights_license,
        "base_license": card.base_license,
        "non_commercial": card.non_commercial,
        "trained_on": list(card.trained_on),
        "leaks": list(card.leaks),
        "exact": card.exact,
        "note": card.note,
        "export": {"data_type": data_type},
        **model.card,
    }
