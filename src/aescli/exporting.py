"""Write a model as an ONNX folder, and prove on pictures that it says the same before it gets its name."""

import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aescli.cards import ModelCard
from aescli.errors import AesError, MissingExtra, OutputFailed, UsageError
from aescli.images.view import Pixels
from aescli.models.choosing import may_state_choices
from aescli.models.files import hash_files
from aescli.models.internvl_onnx import CARD_FILE, DATA_FILE, FAMILY, GRAPH_FILE, OUTPUTS, Layout, graph_files
from aescli.names import escape
from aescli.picturing import cut_files
from aescli.registry import find_card
from aescli.runtime import Device, Placement, need_torch, open_session

TOLERANCE = {"fp32": 1e-3, "fp16": 2e-2}  # in the native range of the read-outs
_ONE_FILE = 1_900_000_000  # bytes: a graph that holds its weights may have two gigabytes
_OPSET = 18


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, and how near it is to what it was made of.

    Attributes:
        folder: the new model.
        size: of graph and data, in bytes.
        pictures: how many were compared.
        differences: largest absolute difference of each read-out, in the native range.

    """

    folder: Path
    size: int
    pictures: int
    differences: dict[str, float]


def export_onnx(
    card: ModelCard, source: Path, target: Path, pictures: Sequence[Path], *, data_type: str = "fp32",
    tell: Callable[[str], None] = lambda _: None,
) -> ExportReport:  # fmt: skip
    """Export a HumanAesExpert checkpoint: vision tower, projector, language model up to the answer, and all heads.

    Args:
        card: what is known of it.
        source: its folder.
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
    if card.family != "internvl":
        raise UsageError(f"{card.id} is of the family '{card.family}', which has no export")
    if data_type not in TOLERANCE:
        raise UsageError(f"'{data_type}' is no precision of an export", hint="--dtype fp32 or fp16")
    if not may_state_choices(card, source):
        raise UsageError(
            f"nothing has confirmed yet that our code says what {card.id} says",
            hint=f"aes models compare {card.id}   before it is exported",
        )
    if target.exists():
        raise OutputFailed(f"{escape(str(target))} exists", hint="name a folder that does not")
    if not pictures:
        raise UsageError("parity is measured on pictures, and none are named", hint="aes models export NAME PICTURE...")
    card, judge, precise = _load(card, source, data_type)
    tiling = judge.backbone.tiling
    tiles = cut_files(pictures, tiling)
    part = _part_of(target)
    try:
        layout = Layout(judge.prompt, judge.backbone.tile_tokens, tiling)
        tell("following the network")
        _write_graph(judge, layout, tiles, part / GRAPH_FILE)
        tell(f"comparing {len(tiles)} pictures")
        differences = _compare(precise, layout, tiles, part)
        _refuse_above(TOLERANCE[data_type], differences)
        files = graph_files(part)
        fields = _card(card, source, layout, differences, data_type, hash_files(files))
        (part / CARD_FILE).write_text(json.dumps(fields, indent=1), encoding="utf-8")
        find_card(f"{part}/")
        part.chmod(0o777 & ~_umask())  # a temporary folder is for its owner alone
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    size = sum(file.stat().st_size for file in graph_files(target))
    return ExportReport(target, size, len(tiles), differences)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _load(card: ModelCard, source: Path, data_type: str) -> tuple[ModelCard, Any, Any]:
    """Return the card with its revision, what is exported, and the same in full precision to compare with."""
    need_torch()
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
        import torch
    except ImportError:
        raise MissingExtra("exporting", "export") from None
    from aescli.models.checkpoint import check_revision
    from aescli.models.humanaesexpert import load_judge

    card = replace(card, revision=check_revision(card, source))
    precise = load_judge(card, source, "cpu", torch.float32)
    return card, precise if data_type == "fp32" else load_judge(card, source, "cpu", torch.float16), precise


def _part_of(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise OutputFailed(f"{escape(str(target))} cannot be written: {error.strerror}") from error


def _write_graph(judge: Any, layout: Layout, cut: Sequence[Pixels], target: Path) -> None:
    import torch

    from aescli.models.internvl_graph import Graph

    inputs = {name: torch.from_numpy(values) for name, values in layout.inputs([cut[0], cut[-1]]).items()}
    batch, length, count = (torch.export.Dim(name) for name in ("batch", "length", "tiles"))
    graph = Graph(judge).eval()
    size = sum(parameter.numel() * parameter.element_size() for parameter in graph.parameters())
    with torch.inference_mode(), _quiet():
        program = torch.onnx.export(
            graph,
            (inputs["pixels"], inputs["tokens"], inputs["segments"]),
            dynamo=True,
            opset_version=_OPSET,
            input_names=list(inputs),
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: count}, {0: batch, 1: length}, {0: batch, 1: length}),
            verbose=False,
        )
    if program is None:
        raise AssertionError("the exporter returns a program")
    with _quiet():
        program.save(str(target), external_data=size > _ONE_FILE)
    if size > _ONE_FILE and not target.with_name(DATA_FILE).exists():
        raise AssertionError("the data lie beside the graph")


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


def _compare(judge: Any, layout: Layout, cut: Sequence[Pixels], folder: Path) -> dict[str, float]:
    """Return the largest difference of each read-out, pictures alone and all as one batch."""
    device = Device("cpu")
    session = open_session(graph_files(folder)[0], device, Placement((device,), "parity", explicit=True))
    largest = dict.fromkeys(OUTPUTS, 0.0)
    for group in ([each] for each in cut), [list(cut)]:
        for pictures in group:
            found = session.run_named(layout.inputs(pictures))
            expected = judge.read(pictures, ("plain", "expert"))
            for name in OUTPUTS:
                difference = np.abs(found[name] - getattr(expected, name).float().numpy()).max()
                largest[name] = float(np.maximum(largest[name], difference))  # a NaN stays one
    return largest


def _refuse_above(tolerance: float, differences: dict[str, float]) -> None:
    for name, difference in differences.items():
        if not difference <= tolerance:  # a NaN is no difference that is small enough
            raise AesError(f"the graph is not the model: {name} differs by {difference:.2e}, over {tolerance:g}")


def _card(
    card: ModelCard, source: Path, layout: Layout, differences: dict[str, float], data_type: str, revision: str
) -> dict[str, Any]:
    from aescli.models.humanaesexpert import read_choices

    heads, prompt = read_choices(source)
    return {
        "family": FAMILY,
        "title": f"{card.title}, exported to ONNX in {data_type}",
        "native_range": [card.scale.low, card.scale.high],
        "revision": revision,
        "read_out": card.read_out,
        "dimensions": [asdict(dimension) for dimension in card.dimensions],
        "preprocessing": card.preprocessing,
        "code_license": card.code_license,
        "weights_license": card.weights_license,
        "non_commercial": card.non_commercial,
        "trained_on": list(card.trained_on),
        "leaks": list(card.leaks),
        "exact": card.exact,
        "note": card.note,
        "made_of": {"name": card.id, "revision": card.revision, "parity": differences},
        "tokens": layout.prompt.as_json(),
        "tile_tokens": layout.tile_tokens,
        "tiling": asdict(layout.tiling),
        "heads": heads.as_json(),
        "prompt": prompt.as_json(),
    }
