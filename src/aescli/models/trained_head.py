"""A small head on a model's features, as `aes train` makes it: layers, what its outputs mean, and its file.

A folder whose card has the family `head` names the model that gives the features; one of the family `onnx` has the
head inside its graph, and the file beside it holds the same numbers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aescli.cards import CARD_FILE, ModelCard
from aescli.errors import PictureError, WeightsUnavailable
from aescli.images.view import View
from aescli.models.base import FeatureExtractor
from aescli.models.files import check_files, read_section
from aescli.models.outputs import base_revision, check_outputs, check_sight
from aescli.models.seen import read_seen
from aescli.results import Rating

WEIGHTS_FILE, FAMILY = "model.safetensors", "head"


@dataclass(frozen=True, slots=True)
class Head:
    """Linear layers with ReLU between them.

    Args:
        layers: each weight (out, in) and bias (out,).
        dimensions: what the outputs are, `overall` first.
        levels: what votes are worth; then so many first outputs are logits of votes, and `overall` is their mean.

    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    dimensions: tuple[str, ...]
    levels: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """How many features it takes."""
        return int(self.layers[0][0].shape[1])

    def rate(self, features: np.ndarray) -> np.ndarray:
        """Return ratings in the native range, (batch, width) to (batch, dimensions)."""
        found = features.astype(np.float64)
        for at, (weight, bias) in enumerate(self.layers):
            found = found @ weight.T + bias
            if at + 1 < len(self.layers):
                found = np.maximum(found, 0)
        if not self.levels:
            return found
        count = len(self.levels)
        votes = softmax(found[:, :count])
        return np.column_stack([votes @ np.array(self.levels), found[:, count:]])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return shares that sum to one along the last axis."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def write_head(head: Head, file: Path, metadata: Mapping[str, str]) -> None:
    """Write a head's weights as float32, with metadata of `models/outputs.py`."""
    from safetensors.numpy import save

    tensors = {
        f"{at}.{part}": np.ascontiguousarray(values, np.float32)
        for at, layer in enumerate(head.layers)
        for part, values in zip(("weight", "bias"), layer, strict=True)
    }
    file.write_bytes(save(tensors, metadata=dict(metadata)))


def rounded(head: Head) -> Head:
    """Return the head as its file holds it, in float32."""
    layers = tuple((weight.astype(np.float32), bias.astype(np.float32)) for weight, bias in head.layers)
    return Head(layers, head.dimensions, head.levels)


def read_head(folder: Path) -> Head:
    """Read the head of a folder.

    Raises:
        WeightsUnavailable: it is missing, is no chain of layers, or is not finite.

    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        fields = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))["head"]
        tensors = load_file(folder / WEIGHTS_FILE)
        count = int(fields["layers"])
        layers = tuple((tensors[f"{at}.weight"], tensors[f"{at}.bias"]) for at in range(count))
        head = Head(layers, tuple(map(str, fields["dimensions"])), tuple(map(float, fields["levels"])))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise WeightsUnavailable(f"{folder} holds no head: {error}") from error
    _check(head, tensors, folder)
    return head


def check_weights(card: ModelCard) -> None:
    """Check the head's file of a trained folder, which a graph beside it may hold too; other folders have none.

    Raises:
        WeightsUnavailable: it is missing, was changed after training, or was made for other outputs than the card's; or
            the list of pictures that it was trained on is.

    """
    file = (card.folder or Path()) / WEIGHTS_FILE
    recorded = str(read_section(file.parent, "training").get("weights_sha256", ""))
    if not recorded:
        return
    check_files(card, [file], recorded)
    check_outputs(card, _read_metadata(file))
    read_seen(card.folder)


def describe_head(head: Head) -> dict[str, Any]:
    """Return what a card must say so that `read_head` understands the weights."""
    return {"layers": len(head.layers), "dimensions": list(head.dimensions), "levels": list(head.levels)}


class HeadScorer:
    """Rates with a head on the features of another model."""

    def __init__(self, card: ModelCard, head: Head, extractor: FeatureExtractor, dimensions: tuple[str, ...]) -> None:
        self.card = card
        self.dimensions = dimensions
        self.backend = extractor.backend
        self.batch_size = extractor.batch_size
        self.fingerprint: dict[str, Any] = {"base": extractor.fingerprint, "base_revision": extractor.card.revision}
        self._head = head
        self._extractor = extractor
        self._scales = {each.name: each.scale for each in card.dimensions if each.scale}

    def prepare(self, picture: View) -> Any:
        return self._extractor.prepare(picture)

    def rate(self, prepared: Sequence[Any]) -> list[Rating | PictureError]:
        return [
            found if isinstance(found, PictureError) else self._rating(found.values)
            for found in self._extractor.extract(prepared)
        ]

    def close(self) -> None:
        self._extractor.close()

    def _rating(self, values: np.ndarray) -> Rating:
        raw = dict(zip(self._head.dimensions, self._head.rate(values[None])[0].tolist(), strict=True))
        return Rating(raw["overall"], {name: self._scales[name].out_of_ten(raw[name]) for name in self.dimensions})


def load(card: ModelCard, extractor: FeatureExtractor, dimensions: tuple[str, ...]) -> HeadScorer:
    """Put the head of a folder on the model that gives its features.

    Raises:
        WeightsUnavailable: the head is missing or changed, or was trained on another revision of the model, or on one
            that sees pictures in another way.

    """
    folder = card.folder or Path()
    check_files(card, [folder / WEIGHTS_FILE], card.revision)
    metadata = _read_metadata(folder / WEIGHTS_FILE)
    check_outputs(card, metadata)
    check_sight(card, extractor, metadata)
    head, stated = read_head(folder), _base_revision(folder)
    if unknown := set(dimensions) - set(head.dimensions):
        raise WeightsUnavailable(
            f"{card.id}: its card lists {', '.join(sorted(unknown))}, which its head does not give"
        )
    for trained_on in (stated, base_revision(metadata) or stated):  # a card is text that anybody may edit
        if trained_on != extractor.card.revision:
            raise WeightsUnavailable(
                f"{card.id}: its head was trained on {extractor.card.id} at {_shorten(trained_on)}, "
                f"here is {_shorten(extractor.card.revision)}",
                hint="aes train   makes a head for this one",
            )
    return HeadScorer(card, head, extractor, dimensions)


def _read_metadata(file: Path) -> Mapping[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as opened:
            return dict(opened.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise WeightsUnavailable(f"{file} holds no head: {error}") from error


def _shorten(revision: str) -> str:
    """Return the beginning of each part: of a head on CLIP, the head's own and the tower's."""
    return "+".join(f"{part[:12]}..." for part in revision.split("+"))


def _base_revision(folder: Path) -> str:
    revision = read_section(folder, "base").get("revision")
    if revision is None:
        raise WeightsUnavailable(f"{folder}: its card does not say what its head stands on")
    return str(revision)


def _check(head: Head, tensors: Mapping[str, np.ndarray], folder: Path) -> None:
    outputs = len(head.layers[-1][1]) if head.layers else 0
    expected = len(head.levels) + len(head.dimensions) - 1 if head.levels else len(head.dimensions)
    chained = all(
        weight.ndim == 2 and bias.shape == (weight.shape[0],) for weight, bias in head.layers
    ) and all(
        first[0].shape[0] == second[0].shape[1] for first, second in zip(head.layers, head.layers[1:], strict=False)
    )  # fmt: skip
    if not head.layers or not chained or outputs != expected or head.dimensions[:1] != ("overall",):
        raise WeightsUnavailable(f"{folder}: its layers are no chain that ends in {expected} numbers")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise WeightsUnavailable(f"{folder}: its head holds numbers that are not finite")
