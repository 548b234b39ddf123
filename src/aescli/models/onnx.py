"""The family of ONNX scorers: one graph, uint8 pictures in, native ratings out. The built-in `mini` is one.

A folder holds `card.json` and `model.onnx`. The graph takes `pixels`, uint8 (batch, height, width, 3), sRGB, upright,
squeezed to its size, and normalises them itself; it gives `rating`, float32 (batch,), in the card's native range.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aescli.cards import ModelCard
from aescli.errors import WeightsUnavailable
from aescli.images.view import Pixels, View
from aescli.models import technical
from aescli.results import Rating
from aescli.runtime import Placement, Session, open_session

GRAPH_FILE = "model.onnx"

_ON_CPU, _ON_GPU = 1, 32  # pictures at once: batching gains nothing on CPU cores


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `rate` needs of one picture: samples as the graph takes them, and what was measured."""

    pixels: Pixels  # (height, width, 3)
    measured: Mapping[str, float]


class OnnxScorer:
    """Rates with one session for each device; sessions take turns."""

    def __init__(self, card: ModelCard, sessions: Sequence[Session], dimensions: tuple[str, ...]) -> None:
        self.card = card
        self.dimensions = dimensions
        self.backend = sessions[0].backend
        self.batch_size = _ON_CPU if sessions[0].backend.endswith("cpu") else _ON_GPU
        self.fingerprint: dict[str, Any] = {"technical": technical.VERSION, "runtime": "onnx"}
        self._sessions = sessions
        self._turns = itertools.count()
        _, self._height, self._width, _ = sessions[0].inputs["pixels"].shape

    def prepare(self, picture: View) -> Prepared:
        pixels = picture.squeeze(self._width, self._height)
        measured = technical.measure(picture, pixels, self.dimensions) if self.dimensions else {}
        return Prepared(pixels, measured)

    def rate(self, prepared: Sequence[Prepared]) -> list[Rating]:
        pixels = np.stack([each.pixels for each in prepared])  # (batch, height, width, 3)
        session = self._sessions[next(self._turns) % len(self._sessions)]
        ratings = session.run(pixels)  # (batch,)
        return [Rating(float(raw), each.measured) for raw, each in zip(ratings, prepared, strict=True)]

    def close(self) -> None:
        """Nothing was started."""


def load(card: ModelCard, placement: Placement, dimensions: tuple[str, ...]) -> OnnxScorer:
    """Load a folder's graph onto the devices.

    Raises:
        WeightsUnavailable: the graph is missing, is not the one the card describes, or has another shape.

    """
    graph = read_graph(card)
    sessions = [open_session(graph, device, placement) for device in placement.devices]
    for session in sessions:
        if not session.takes_pixels():
            raise WeightsUnavailable(
                f"{card.id}: {GRAPH_FILE} does not take uint8 pixels (batch, height, width, 3) to one rating each"
            )
    unknown = set(dimensions) - {dimension.name for dimension in technical.DIMENSIONS}
    if unknown:
        raise WeightsUnavailable(f"{card.id}: its card lists {', '.join(sorted(unknown))}, which nothing measures")
    return OnnxScorer(card, sessions, dimensions)


def read_graph(card: ModelCard) -> bytes:
    """Return the graph of a model folder, checked against its card.

    Raises:
        WeightsUnavailable: it is missing, or its SHA-256 is not the card's revision.

    """
    file = (card.folder or Path()) / GRAPH_FILE
    try:
        graph = file.read_bytes()
    except OSError as error:
        raise WeightsUnavailable(f"{card.id}: {file} cannot be read: {error.strerror}") from error
    # The card's revision is the graph's SHA-256: a graph that was swapped or damaged scores nothing.
    found = hashlib.sha256(graph).hexdigest()
    if found != card.revision:
        raise WeightsUnavailable(
            f"{card.id}: {file} has SHA-256 {found[:12]}..., its card says {card.revision[:12]}...",
            hint="reinstall the package" if card.id == "mini" else "copy the whole model folder again",
        )
    return graph
