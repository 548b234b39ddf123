"""HumanAesExpert as one ONNX graph, which `aes models export` writes: no torch, no tokenizer, every read-out.

A folder holds `card.json`, `model.onnx` and, above two gigabytes, its data beside it. The graph takes
    pixels    uint8 (tiles, side, side, 3)    the tiles of all pictures, one behind the other
    tokens    int64 (batch, length)           prefix, plain question with the answer's beginning, expert question
    segments  int64 (batch, length)           0 padding on the left, 1 prefix, 2 plain, 3 expert
and gives `lm`, `regression`, `metavoter` (batch,), `expert` (batch, 12), and `features` (batch, hidden), the state that
the Regression head reads, which older exports lack. InternVL2 without heads gives `features` alone, and its card says
that it `trains_only`. Tokens of the questions are in the card.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aescli.cards import CARD_FILE, ModelCard
from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import PictureError, WeightsUnavailable
from aescli.images.view import Pixels, View
from aescli.models import tiles
from aescli.models.base import Features, LoadOptions
from aescli.models.files import GRAPH_FILE, check_graph, open_whole
from aescli.models.onnx import FEATURES, place_graph
from aescli.models.outputs import check_card
from aescli.models.prompts import Prompt
from aescli.models.read_outs import choose_read_out
from aescli.models.tiles import Tiling
from aescli.results import Rating
from aescli.runtime import Session, open_session, usable_cpus

FAMILY = "internvl-onnx"
OUTPUTS = ("lm", "regression", "expert", "metavoter")


@dataclass(frozen=True, slots=True)
class Layout:
    """How pictures become the graph's inputs.

    Args:
        prompt: tokens of both questions.
        tile_tokens: of one tile.
        tiling: how pictures are cut.

    """

    prompt: Prompt
    tile_tokens: int
    tiling: Tiling

    @classmethod
    def read(cls, file: Path) -> "Layout":
        """Read a card.

        Raises:
            WeightsUnavailable: it does not say all of it.

        """
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            tokens: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in fields["tokens"].items()
            }
            layout = cls(Prompt(**tokens), fields["tile_tokens"], Tiling(**fields["tiling"]))
            layout._check()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise WeightsUnavailable(f"{file} does not state its tokens and tiles: {error!r}") from error
        return layout

    def inputs(self, pictures: Sequence[Pixels]) -> dict[str, np.ndarray]:
        """Return the graph's inputs for pictures that are cut already."""
        rows = [self._row(len(picture)) for picture in pictures]
        longest = max(len(tokens) for tokens, _ in rows)
        tokens = np.zeros((len(rows), longest), np.int64)
        segments = np.zeros_like(tokens)
        for at, (row, parts) in enumerate(rows):
            tokens[at, longest - len(row) :] = row
            segments[at, longest - len(row) :] = parts
        return {"pixels": np.concatenate(pictures), "tokens": tokens, "segments": segments}

    def _check(self) -> None:
        prompt, tiling = self.prompt, self.tiling
        parts = (prompt.before, prompt.after, prompt.plain, prompt.stem, prompt.expert, prompt.levels)
        tokens = [token for part in parts for token in part] + [prompt.image]
        if not all(type(each) is int and 0 <= each < 2**31 for each in (*tokens, self.tile_tokens, tiling.side)):
            raise ValueError("numbers that cannot be")
        if not 1 <= tiling.least <= tiling.most or type(tiling.thumbnail) is not bool:
            raise ValueError("tiles that cannot be")

    def _row(self, count: int) -> tuple[list[int], list[int]]:
        prefix = self.prompt.prefix(count * self.tile_tokens)
        plain = [*self.prompt.plain, *self.prompt.stem]
        expert = self.prompt.expert
        return [*prefix, *plain, *expert], [1] * len(prefix) + [2] * len(plain) + [3] * len(expert)


class InternvlOnnxScorer:
    """Rates one picture at a time on a CPU, a batch on a GPU."""

    def __init__(
        self, card: ModelCard, sessions: Sequence[Session], layout: Layout, dimensions: tuple[str, ...]
    ) -> None:
        self.card = card
        self.dimensions = dimensions
        self.backend = sessions[0].backend
        self.batch_size = 1 if self.backend.endswith("cpu") else 8
        self.fingerprint: dict[str, Any] = {
            "runtime": "onnx",
            "tiles": [layout.tiling.least, layout.tiling.most, layout.tiling.thumbnail, layout.tiling.side],
            "tile_tokens": layout.tile_tokens,
            "prompt": layout.prompt.as_json(),
        }
        self._sessions = sessions
        self._turns = itertools.count()
        self._layout = layout

    def prepare(self, picture: View) -> Pixels:
        """Return the picture's tiles, uint8 (tiles, side, side, 3)."""
        return tiles.cut(picture, self._layout.tiling)

    def rate(self, prepared: Sequence[Pixels]) -> list[Rating | PictureError]:
        return [self._rating(found) for found in self._run(prepared)]

    def extract(self, prepared: Sequence[Pixels]) -> list[Features]:
        """Return the state behind the plain question, and the card's read-out where there are heads."""
        rates = not self.card.trains_only
        return [Features(found[FEATURES], self._raw(found) if rates else None) for found in self._run(prepared)]

    def gives_features(self) -> bool:
        """Return whether its graph does: those that were exported before there were any do not."""
        return FEATURES in self._sessions[0].outputs

    def close(self) -> None:
        """Nothing was started."""

    def _run(self, prepared: Sequence[Pixels]) -> list[dict[str, np.ndarray]]:
        """Return the outputs of each picture."""
        session = self._sessions[next(self._turns) % len(self._sessions)]
        found = session.run_named(self._layout.inputs(prepared))
        return [{name: values[at] for name, values in found.items()} for at in range(len(prepared))]

    def _rating(self, found: Mapping[str, np.ndarray]) -> Rating:
        twelve = dict(zip(HUMAN_DIMENSIONS, found["expert"].tolist(), strict=True))
        return Rating(self._raw(found), {name: 10.0 * twelve[name] for name in self.dimensions})

    def _raw(self, found: Mapping[str, np.ndarray]) -> float:
        read_out = self.card.read_out
        return float(found["expert"][-1] if read_out == "expert" else found[read_out])


def load(card: ModelCard, dimensions: tuple[str, ...], options: LoadOptions) -> InternvlOnnxScorer:
    """Load an exported folder.

    Raises:
        WeightsUnavailable: files are missing, are not what the card says, or are no such graph.
        DeviceUnavailable: a device that was asked for cannot be had.

    """
    folder = card.folder or Path()
    card = replace(card, read_out=choose_read_out(card, options.read_out))
    layout = Layout.read(folder / CARD_FILE)
    layout = replace(layout, tiling=layout.tiling.limited(options.max_tiles))
    if unknown := set(dimensions) - set(HUMAN_DIMENSIONS):
        raise WeightsUnavailable(f"{card.id}: its card lists {', '.join(sorted(unknown))}, which no head says")
    graph = open_whole(check_graph(card))
    placement = place_graph(card, options)
    sessions = [open_session(graph, device, placement, threads=usable_cpus()) for device in placement.devices]
    expected = set() if card.trains_only else set(OUTPUTS)
    for session in sessions:
        if set(session.inputs) != {"pixels", "tokens", "segments"} or set(session.outputs) - {FEATURES} != expected:
            raise WeightsUnavailable(f"{card.id}: {GRAPH_FILE} is no graph of HumanAesExpert")
        if session.inputs["pixels"].shape[1:] != (layout.tiling.side, layout.tiling.side, 3):
            raise WeightsUnavailable(f"{card.id}: {GRAPH_FILE} has no tiles of {layout.tiling.side} px")
    check_card(card, sessions[0].metadata())
    return InternvlOnnxScorer(card, sessions, layout, dimensions)
