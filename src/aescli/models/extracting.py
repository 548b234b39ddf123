"""From a card to a model that gives features for heads."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from aescli.cards import ModelCard
from aescli.errors import AesError, UsageError, WeightsUnavailable
from aescli.models import internvl_onnx
from aescli.models.base import FeatureExtractor, Features, LoadOptions
from aescli.models.files import check_graph, is_one_file, open_whole, read_section
from aescli.models.loading import load_scorer, locate
from aescli.models.onnx import FEATURES, OnnxScorer, open_sessions, place_graph
from aescli.models.onnx_graph import EXPOSED, expose_features, need_onnx
from aescli.registry import find_card
from aescli.runtime import Port, need_torch

FEATURE_FAMILIES = frozenset({"onnx", "clip_head", "internvl", "internvl-onnx", "llava", "chat"})


class OnnxExtractor(OnnxScorer):
    """Gives the features of a graph, and its own rating."""

    def extract(self, prepared: Sequence[Any]) -> list[Features]:
        pixels = np.stack([each.pixels for each in prepared])  # (batch, height, width, 3)
        found = self.next_session().run_named({"pixels": pixels})
        ratings, features = next(iter(found.values())), found[FEATURES if FEATURES in found else EXPOSED]
        return [Features(values, float(raw)) for values, raw in zip(features, ratings, strict=True)]


def load_extractor(card: ModelCard, options: LoadOptions) -> FeatureExtractor:
    """Load a model for its features.

    Raises:
        UsageError: the model gives none, or was exported before exports did.
        WeightsUnavailable: files are missing or are not what the card says.
        DeviceUnavailable: a device that was asked for cannot be had.
        MissingExtra: torch, or for ONNX graphs onnx, is not installed.

    """
    if (base := _base_of(card)) is not None:
        raise UsageError(f"{card.id} is a head that was trained already", hint=f"--model {base}   is what it stands on")
    if card.family not in FEATURE_FAMILIES:
        raise UsageError(f"{card.id} gives no features to train on", hint="--model mini")
    if card.family == "onnx":
        return _load_onnx(card, options)
    if card.family == "internvl":
        folder = locate(card)
        need_torch()
        from aescli.models import internvl_features

        return internvl_features.load(card, folder, options)
    if card.family == "internvl-onnx":
        exported = internvl_onnx.load(card, (), options)
        if not exported.gives_features():
            raise _exported_before(card)
        return exported
    scorer = load_scorer(card, (), options)
    if not isinstance(scorer, FeatureExtractor):
        raise UsageError(f"{card.id} gives no features to train on", hint="--model mini")
    return scorer


def find_base(card: ModelCard) -> ModelCard:
    """Return the card of the model that a trained head stands on.

    Raises:
        WeightsUnavailable: its card does not say, or what it says is not there.

    """
    base = _base_of(card)
    if base is None:
        raise WeightsUnavailable(f"{card.id}: its card does not name the model that its head stands on")
    try:
        return find_card(base)
    except AesError as error:
        raise WeightsUnavailable(
            f"{card.id} is a head on {base}, which is not there: {error.message}", hint="put it back, or train again"
        ) from error


def _load_onnx(card: ModelCard, options: LoadOptions) -> OnnxExtractor:
    file = check_graph(card)
    placement = place_graph(card, options)
    sessions = open_sessions(card, open_whole(file), placement)
    whole = is_one_file(file.parent)
    if whole:
        need_onnx()  # a head is built into such a graph at last: whoever lacks it learns so at once
    if FEATURES not in sessions[0].outputs:
        if not whole:
            raise _exported_before(card)
        sessions = open_sessions(card, expose_features(file.read_bytes(), card.id), placement)
    elif not _are_vectors(sessions[0].outputs[FEATURES]):
        raise WeightsUnavailable(f"{card.id}: its graph's features are not float32 (batch, width)")
    return OnnxExtractor(replace(card, dimensions=()), sessions, ())


def _are_vectors(port: Port) -> bool:
    match port:
        case Port("tensor(float)", (str() | None, int())):
            return True
        case _:
            return False


def _exported_before(card: ModelCard) -> UsageError:
    return UsageError(
        f"{card.id} was exported before exports gave features",
        hint="aes models export NAME PICTURE... -o FOLDER   exports its checkpoint again",
    )


def _base_of(card: ModelCard) -> str | None:
    name = read_section(card.folder, "base").get("name")
    return None if name is None else str(name)
