"""The family of ONNX scorers: one graph, uint8 pictures in, native ratings out. The built-in `mini` is one.

A folder holds `card.json` and `model.onnx`. The graph takes `pixels`, uint8 (batch, height, width, 3), sRGB, upright,
brought to its size as the card's `fit` says (`squeeze`: the whole picture, `inside`: without a border, `pad`: the whole
in the middle of a square, `crop`: its middle), and normalises them itself; it gives `rating`, float32 (batch,), in the
card's native range, and where the card has learnt dimensions (those with a native range of their own) a second output,
(batch, learnt ones).
An export also gives `levels`, (batch, words), the probabilities of the card's level words where it has any, and last
`features`, (batch, width), what heads are trained on; above two gigabytes its data lie beside the graph.

A graph whose numbers of a picture do not depend, to the last bit, on which pictures stand beside it may say in its
metadata how many of them a CPU should take at once. Others are given one picture at a time there: rows must not depend
on their neighbours.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aescli.cards import ModelCard
from aescli.errors import WeightsUnavailable
from aescli.images.view import Pixels, View
from aescli.models import technical
from aescli.models.base import LoadOptions
from aescli.models.files import GRAPH_FILE, check_graph, open_whole, read_section
from aescli.models.fitting import FITS, SQUEEZE, fit
from aescli.models.outputs import check_card, check_outputs
from aescli.results import Rating
from aescli.runtime import Placement, Session, open_session, place

RATING, LEVELS, FEATURES = "rating", "levels", "features"
AT_ONCE = "aescli.at_once"  # in the metadata of a graph

_ON_GPU = 32  # pictures at once


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `rate` needs of one picture: samples as the graph takes them, and what was measured."""

    pixels: Pixels  # (height, width, 3)
    measured: Mapping[str, float]


class OnnxScorer:
    """Rates with one session for each device; sessions take turns."""

    def __init__(
        self, card: ModelCard, sessions: Sequence[Session], dimensions: tuple[str, ...], words: Sequence[str] = ()
    ) -> None:
        self.card = card
        self.dimensions = dimensions
        self.backend = sessions[0].backend
        self.batch_size = _pictures_at_once(sessions[0]) if self.backend.endswith("cpu") else _ON_GPU
        self.fingerprint: dict[str, Any] = {"technical": technical.VERSION, "runtime": "onnx"}
        if words:
            self.fingerprint["levels"] = list(words)
        if card.fit != SQUEEZE:  # rows from before there were others are kept under the same fingerprint
            self.fingerprint["fit"] = card.fit
        self._sessions = sessions
        self._words = words
        self._turns = itertools.count()
        self._learnt = [each for each in card.dimensions if each.scale]
        self._learnt_output = _find_learnt(sessions[0])
        self._measured = frozenset(dimensions) - {each.name for each in self._learnt}
        _, self._height, self._width, _ = sessions[0].inputs["pixels"].shape

    def prepare(self, picture: View) -> Prepared:
        pixels = fit(picture, self.card.fit, self._width, self._height)
        measured = technical.measure(picture, pixels, self._measured) if self._measured else {}
        return Prepared(pixels, measured)

    def rate(self, prepared: Sequence[Prepared]) -> list[Rating]:
        pixels = np.stack([each.pixels for each in prepared])  # (batch, height, width, 3)
        found = self.next_session().run_named({"pixels": pixels})
        ratings = next(iter(found.values()))
        nothing = np.zeros((len(ratings), 0))
        rows = found[self._learnt_output] if self._learnt else nothing  # (batch, learnt dimensions)
        levels = found[LEVELS] if self._words else nothing  # (batch, words)
        return [
            Rating(
                float(raw),
                {**each.measured, **self._out_of_ten(row)},
                levels=dict(zip(self._words, shares.tolist(), strict=True)),
            )
            for raw, row, shares, each in zip(ratings, rows, levels, prepared, strict=True)
        ]

    def next_session(self) -> Session:
        return self._sessions[next(self._turns) % len(self._sessions)]

    def close(self) -> None:
        """Nothing was started."""

    def _out_of_ten(self, row: np.ndarray) -> dict[str, float]:
        return {
            each.name: each.scale.out_of_ten(float(raw))
            for each, raw in zip(self._learnt, row, strict=True)
            if each.scale and each.name in self.dimensions
        }


def load(card: ModelCard, placement: Placement, dimensions: tuple[str, ...]) -> OnnxScorer:
    """Load a folder's graph onto the devices.

    Raises:
        WeightsUnavailable: the graph is missing, is not the one the card describes, or has another shape.

    """
    sessions = open_sessions(card, open_whole(check_graph(card)), placement)
    learnt = [each.name for each in card.dimensions if each.scale]
    unknown = set(dimensions) - {dimension.name for dimension in technical.DIMENSIONS} - set(learnt)
    if unknown:
        raise WeightsUnavailable(f"{card.id}: its card lists {', '.join(sorted(unknown))}, which nothing measures")
    output = sessions[0].outputs.get(_find_learnt(sessions[0]))
    if learnt and (output is None or len(output.shape) != 2 or output.shape[1] != len(learnt)):
        raise WeightsUnavailable(f"{card.id}: {GRAPH_FILE} does not give the dimensions {', '.join(learnt)}")
    check_outputs(card, sessions[0].metadata())
    return OnnxScorer(card, sessions, dimensions, _find_words(card, sessions[0]))


def place_graph(card: ModelCard, options: LoadOptions) -> Placement:
    """Decide where a folder's graph runs; exports say which precision they run in.

    Raises:
        UsageError: the device is none.
        DeviceUnavailable: the device cannot be had, or another precision was asked for.

    """
    exported_in = str(read_section(card.folder, "export").get("data_type") or "fp32")
    return place(options.device, options.data_type, exported_in)


def open_sessions(card: ModelCard, graph: bytes | Path, placement: Placement) -> list[Session]:
    """Open a folder's graph on each device.

    Raises:
        WeightsUnavailable: it is none of this family, or the card says what cannot be, or not what it was written for.

    """
    if card.fit not in FITS:
        raise WeightsUnavailable(f"{card.id}: its card says fit = {card.fit!r}, which is none of {', '.join(FITS)}")
    sessions = [open_session(graph, device, placement) for device in placement.devices]
    for session in sessions:
        if not session.takes_pixels():
            raise WeightsUnavailable(
                f"{card.id}: {GRAPH_FILE} does not take uint8 pixels (batch, height, width, 3) to one rating each"
            )
    _, height, width, _ = sessions[0].inputs["pixels"].shape
    if card.fit != SQUEEZE and height != width:
        raise WeightsUnavailable(f"{card.id}: {GRAPH_FILE} takes {width} x {height} px; '{card.fit}' makes squares")
    check_card(card, sessions[0].metadata())
    return sessions


def _pictures_at_once(session: Session) -> int:
    """Return how many pictures a CPU should take at once."""
    said = session.metadata().get(AT_ONCE, "")
    return int(said) if re.fullmatch(r"[1-9]\d?", said, re.ASCII) else 1


def _find_learnt(session: Session) -> str:
    """Return the name of the output that gives learnt dimensions: the second, of those that have no name of ours."""
    _, *others = session.outputs
    return next((name for name in others if name not in (LEVELS, FEATURES)), "")


def _find_words(card: ModelCard, session: Session) -> list[str]:
    """Return the level words that the graph gives the probabilities of; graphs that give ratings alone have none.

    Raises:
        WeightsUnavailable: the card names others, or none.

    """
    if LEVELS not in session.outputs:
        return []
    words = read_section(card.folder, LEVELS).get("words")
    port = session.outputs[LEVELS]
    count = port.shape[-1] if port.type == "tensor(float)" and len(port.shape) == 2 else "no"
    named = [word for word in words if isinstance(word, str)] if isinstance(words, list) else []
    if not isinstance(words, list) or not len(set(named)) == len(words) == count:
        raise WeightsUnavailable(f"{card.id}: {GRAPH_FILE} gives {count} levels, its card names {words}")
    return named
