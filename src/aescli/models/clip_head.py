"""Small heads on CLIP's picture embedding: LAION's aesthetic predictors, and any head of linear layers.

Sources: christophschuhmann/improved-aesthetic-predictor (v2), LAION-AI/aesthetic-predictor (v1). Embeddings are
normalised to length one first: without that v1 gives 20 to 30. Layers without activations between them are one linear
layer, and are folded into it. A head needs numpy alone; the tower, which turns pictures into embeddings, needs torch.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from aescli.cards import CARD_FILE, ModelCard
from aescli.errors import UsageError, WeightsUnavailable, first_line
from aescli.images.view import Pixels, View
from aescli.models.base import Features, LoadOptions
from aescli.models.files import check_files, hash_files
from aescli.models.fitting import crop
from aescli.models.idle import Idle
from aescli.names import escape
from aescli.output import new_folder
from aescli.results import Rating

HEAD_FILE = "head.safetensors"
ACTIVATIONS = ("none", "relu")
SIDE = 224  # pixels: of what the tower sees
PREPROCESSING = f"short side {SIDE} px, bicubic, centre crop: the edges of a 3:2 photo are never seen"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

_LAYER = re.compile(r"^((?:.*?\.)??(?:(\d+)\.)?)(weight|bias)$")  # its name, its number in it, and which of both


@dataclass(frozen=True, slots=True)
class Head:
    """Linear layers, and what stands between them."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]  # each (out, in) and (out,)
    activation: str

    @property
    def width(self) -> int:
        """How many numbers an embedding has."""
        return int(self.layers[0][0].shape[1])

    def rate(self, embeddings: np.ndarray) -> np.ndarray:
        """Return one rating for each embedding, (batch, width) to (batch,); their length does not matter."""
        found = embeddings.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            found /= np.abs(found).max(axis=1, keepdims=True)  # else squares of large numbers are infinite
            found /= np.linalg.norm(found, axis=1, keepdims=True)
        for at, (weight, bias) in enumerate(self.layers):
            found = found @ weight.T + bias
            if self.activation == "relu" and at + 1 < len(self.layers):
                found = np.maximum(found, 0)
        return found[:, 0]


def build_head(tensors: Mapping[str, np.ndarray], activation: str, where: str) -> Head:
    """Make a head of a checkpoint's tensors, folded into one layer where nothing stands between them.

    Raises:
        WeightsUnavailable: they are no chain of linear layers that ends in one number, their order is not known, or
            they are not finite.

    """
    if activation not in ACTIVATIONS:
        raise WeightsUnavailable(f"{where}: '{escape(activation)}' is no activation", hint="|".join(ACTIVATIONS))
    found: dict[str, dict[str, np.ndarray]] = {}
    numbers: dict[str, int | None] = {}
    for name, tensor in tensors.items():
        match = _LAYER.match(name)
        if match is None:
            raise WeightsUnavailable(f"{where}: {name} is no tensor of a linear layer")
        if not np.isfinite(tensor).all():
            raise WeightsUnavailable(f"{where}: {name} holds numbers that are not finite")
        found.setdefault(match[1], {})[match[3]] = tensor.astype(np.float64)
        numbers[match[1]] = int(match[2]) if match[2] else None
    _refuse_unordered(numbers, where)
    layers = []
    for name in sorted(found, key=lambda name: numbers[name] or 0):
        if set(found[name]) != {"weight", "bias"}:
            lacks = "bias" if "weight" in found[name] else "weight"
            raise WeightsUnavailable(f"{where}: layer {escape(name.removesuffix('.')) or 0} has no {lacks}")
        layers.append((found[name]["weight"], found[name]["bias"]))
    widths = [layer[0].shape for layer in layers]
    chained = all(len(each) == 2 and each[0] == following[1] for each, following in pairwise(widths))
    if not layers or len(widths[-1]) != 2 or widths[-1][0] != 1 or not chained:
        raise WeightsUnavailable(f"{where}: its layers {widths} are no chain that ends in one number")
    return Head(tuple(layers) if activation == "relu" else (_folded(layers),), activation)


def _refuse_unordered(numbers: Mapping[str, int | None], where: str) -> None:
    """Refuse layers, by their names, of which some have no number or the same as another."""
    if len(numbers) > 1 and (None in numbers.values() or len(set(numbers.values())) < len(numbers)):
        listed = escape(", ".join(name.removesuffix(".") for name in sorted(numbers)))
        raise WeightsUnavailable(f"{where}: the names of its layers do not tell their order: {listed}")


def read_head(folder: Path) -> Head:
    """Read a head that `aes models import` wrote.

    Raises:
        WeightsUnavailable: it is missing, or is not what the card says.

    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        activation = str(json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))["activation"])
        tensors = load_file(folder / HEAD_FILE)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise WeightsUnavailable(f"{escape(str(folder))} holds no head: {error}") from error
    return build_head(tensors, activation, str(folder))


def import_head(source: Path, target: Path, activation: str | None, scale: tuple[float, float]) -> Head:
    """Write the head of a pickled or a safetensors file as a model folder of ours.

    Pickles are read by torch's own restricted reader, which makes tensors and nothing else.

    Args:
        source: `.pth`, `.pt` or `.safetensors`.
        target: must not exist.
        activation: between the layers; None where there is one layer only.
        scale: the native range.

    Raises:
        UsageError: several layers, and nobody says what is between them.
        OutputFailed: the target exists, or cannot be written.
        WeightsUnavailable: the file is no such head.

    """
    tensors = _read_tensors(source)
    layers = {match[1] for match in map(_LAYER.match, tensors) if match}  # by their names
    if len(layers) > 1 and activation is None:
        raise UsageError(
            f"{source.name} has {len(layers)} layers, and the file does not say what is between them",
            hint="--activation none   for LAION's linear heads, --activation relu for its ReLU heads",
        )
    head = build_head(tensors, activation or "none", source.name)
    from safetensors.numpy import save_file

    saved = {
        f"{at}.{name}": tensor
        for at, pair in enumerate(head.layers)
        for name, tensor in zip(("weight", "bias"), pair, strict=True)
    }
    with new_folder(target) as folder:
        save_file(saved, folder / HEAD_FILE)
        card = {
            "family": "clip_head", "title": f"{source.name}, a head on CLIP", "native_range": list(scale),
            "revision": hash_files([folder / HEAD_FILE]), "read_out": "score", "dimensions": [], "exact": True,
            "activation": head.activation, "width": head.width, "needs": "torch", "preprocessing": PREPROCESSING,
        }  # fmt: skip
        (folder / CARD_FILE).write_text(json.dumps(card, indent=1), encoding="utf-8")
    return head


class ClipHeadScorer:
    """Rates pictures: the tower makes an embedding, the head a number; an idle tower takes the next batch."""

    def __init__(self, card: ModelCard, head: Head, towers: Sequence[Any], device: str, data_type: str) -> None:
        self.card = card
        self.dimensions: tuple[str, ...] = ()
        self.backend = f"torch-{device}"
        self.batch_size = 4 if device == "cpu" else 64
        self.fingerprint: dict[str, Any] = {
            "runtime": "torch",
            "dtype": data_type,
            "side": SIDE,
            "activation": head.activation,
        }
        self.head = head
        self.tower = towers[0]
        self._towers = Idle(towers)

    def prepare(self, picture: View) -> Pixels:
        """Return the middle of the picture, its short side at 224 pixels, (224, 224, 3)."""
        return crop(picture, SIDE)

    def rate(self, prepared: Sequence[Pixels]) -> list[Rating]:
        return [Rating(float(raw)) for raw in self.head.rate(self._embed(prepared))]

    def extract(self, prepared: Sequence[Pixels]) -> list[Features]:
        """Return embeddings, of length one as the head sees them, and its ratings."""
        embeddings = self._embed(prepared)
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        ratings = self.head.rate(embeddings)
        return [Features(values, float(raw)) for values, raw in zip(unit, ratings, strict=True)]

    def close(self) -> None:
        """Nothing was started."""

    def _embed(self, prepared: Sequence[Pixels]) -> np.ndarray:
        """Return embeddings as the tower gives them, (batch, width)."""
        import torch

        pixels = (np.stack(prepared).astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
        with self._towers.taken() as tower, torch.inference_mode():
            parameter = next(tower.parameters())
            batch = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).to(parameter.device, parameter.dtype)
            embeddings: np.ndarray = tower(pixel_values=batch).image_embeds.float().cpu().numpy()
        return embeddings


def load(card: ModelCard, folders: Sequence[Path], options: LoadOptions) -> ClipHeadScorer:
    """Load a head and its tower.

    Args:
        card: the model.
        folders: of the head and of the tower, in this order.
        options: device and precision.

    Raises:
        WeightsUnavailable: one of both is missing or is not what it should be.

    """
    import torch

    from aescli.runtime import place_torch

    head = load_head(card, folders[0])
    placement = place_torch(options.device, options.data_type)
    data_type = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[placement.data_type]
    towers = [load_tower(folders[1], data_type).to(str(device)) for device in placement.devices]
    tower = towers[0]
    if tower.config.projection_dim != head.width:
        raise WeightsUnavailable(
            f"{card.id}: its head takes {head.width} numbers, the tower gives {tower.config.projection_dim}"
        )
    # A head says nothing without its tower, so the tower is part of what it is.
    head_revision, tower_revision = (
        [each.name for each in folders] if card.sources else [card.revision, hash_files(find_tower_files(folders[1]))]
    )
    revision = f"{head_revision}+{tower_revision}"
    return ClipHeadScorer(
        replace(card, revision=revision), head, towers, str(placement.devices[0]), placement.data_type
    )


def load_head(card: ModelCard, folder: Path) -> Head:
    """Read a model's head: a folder of ours, or LAION's own file from the Hub."""
    if not card.sources:
        check_files(card, [folder / HEAD_FILE], card.revision)
        return read_head(folder)
    return build_head(_read_tensors(folder / "model.safetensors"), "none", card.id)


def find_tower_files(folder: Path) -> list[Path]:
    """Return what a tower's embeddings depend on: its configuration and its weights.

    Raises:
        WeightsUnavailable: one is missing.

    """
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    if len(files) < 2 or not files[0].is_file():
        raise WeightsUnavailable(f"{folder} has no CLIP: config.json and safetensors")
    return files


def load_tower(folder: Path, data_type: Any) -> Any:
    """Load the half of CLIP that sees, with its projection.

    Raises:
        WeightsUnavailable: files or tensors are missing, or are not CLIP's.

    """
    from safetensors import SafetensorError
    from transformers import CLIPVisionModelWithProjection
    from transformers.utils import logging

    logging.disable_progress_bar()
    maker: Any = CLIPVisionModelWithProjection
    try:
        tower, found = maker.from_pretrained(
            str(folder), dtype=data_type, local_files_only=True, use_safetensors=True, output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsUnavailable(f"{escape(str(folder))}: CLIP cannot be loaded: {first_line(error)}") from error
    text = ("text_model.", "text_projection.", "logit_scale")  # the other half of CLIP
    wrong = [*found["missing_keys"], *(str(each[0]) for each in found["mismatched_keys"])]
    wrong += [name for name in found["unexpected_keys"] if not name.startswith(text) and "position_ids" not in name]
    if wrong:
        raise WeightsUnavailable(f"{folder}: tensors do not match: {', '.join(sorted(map(str, wrong))[:6])}")
    return tower.eval()


def _folded(layers: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = layers[0]
    for following, added in layers[1:]:
        weight, bias = following @ weight, following @ bias + added
    return weight, bias


def _read_tensors(file: Path) -> dict[str, np.ndarray]:
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return dict(load_file(file))
        except (OSError, SafetensorError) as error:
            raise WeightsUnavailable(f"{file} cannot be read: {error}") from error
    from aescli.runtime import need_torch

    torch = need_torch()
    try:
        state = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:  # whatever a hostile pickle makes the reader raise
        # Torch's own words advise to read it without a guard.
        raise WeightsUnavailable(
            f"{escape(str(file))} is no file of tensors, or holds more than tensors: {type(error).__name__}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsUnavailable(f"{file} holds more than tensors")
    return {str(name): value.float().numpy() for name, value in state.items()}
