"""What the outputs of a trained head are: names, native ranges, levels. Weights hold them too, as their card does.

A card is text that anybody may edit: one whose dimensions change places would give every picture the wrong columns, and
one that brings pictures to the network in another way another score.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from aescli.cards import CARD_FILE, ModelCard
from aescli.dimensions import Scale
from aescli.errors import WeightsUnavailable
from aescli.models.base import FeatureExtractor
from aescli.models.files import read_section

KEY = "aescli.outputs"  # in the metadata of a graph and of a file of weights; one key, since safetensors shuffles them
_CARD = "aescli.card"  # in the metadata of an exported graph
_PASSING = frozenset({"dtype", "flags", "technical"})  # of a fingerprint: what features do not depend on in kind

_OF_BASE = frozenset({"sight", "base_revision"})  # of what weights say: compared with the base itself, not with a card

_HINT = "copy the whole model folder again"


def describe_outputs(
    dimensions: Sequence[str], scales: Sequence[Scale], levels: Sequence[float], base: FeatureExtractor
) -> dict[str, str]:
    """Return the metadata that says what a head gives, and how its base sees pictures."""
    said = _describe(dimensions, scales, list(map(float, levels)))
    of_base = {"sight": _hash_sight(base), "base_revision": base.card.revision}
    return {KEY: json.dumps(said | _describe_preparation(base.card) | of_base)}


def base_revision(metadata: Mapping[str, str]) -> str:
    """Return the revision of the model that a head was trained on; empty of an older head, which does not say."""
    made_for = _parse(metadata.get(KEY, ""))
    return str(made_for.get("base_revision", "")) if isinstance(made_for, dict) else ""


def check_sight(card: ModelCard, base: FeatureExtractor, metadata: Mapping[str, str]) -> None:
    """Compare how a head's base sees pictures with how it did when the head was trained; older heads do not say.

    Raises:
        WeightsUnavailable: settings, prompts, tiles or the fit of the base were changed.

    """
    made_for = _parse(metadata.get(KEY, ""))
    if isinstance(made_for, dict) and made_for.get("sight", _hash_sight(base)) != _hash_sight(base):
        raise WeightsUnavailable(
            f"{card.id}: {base.card.id} has other settings than when this head was trained on it",
            hint="aes train   makes a head for these",
        )


def describe_card(fields: Mapping[str, object]) -> dict[str, str]:
    """Return the metadata of an exported graph: what its card says of it, and must go on saying."""
    return {_CARD: json.dumps(fields)}


def check_card(card: ModelCard, metadata: Mapping[str, str]) -> None:
    """Compare an exported model's card with what its graph was written for; older graphs do not say.

    Raises:
        WeightsUnavailable: a field was changed.

    """
    said = _parse(metadata.get(_CARD, ""))
    if not isinstance(said, dict):
        return
    fields = json.loads((Path(card.folder or "") / CARD_FILE).read_text(encoding="utf-8"))
    for name, value in said.items():
        if fields.get(name) != value:
            raise WeightsUnavailable(f"{card.id}: its card's {name} is not what its graph was written for", hint=_HINT)


def check_outputs(card: ModelCard, metadata: Mapping[str, str]) -> None:
    """Compare a card with what its weights say of themselves; weights from before they did say nothing.

    Raises:
        WeightsUnavailable: the card names other dimensions, another order, other ranges or other levels, or another way
            to bring pictures to the network.

    """
    learnt = [each for each in card.dimensions if each.scale]
    head = read_section(card.folder, "head")
    named = head.get("dimensions")
    if isinstance(named, list) and named != ["overall", *(each.name for each in learnt)]:
        raise WeightsUnavailable(
            f"{card.id}: its card lists {_listed([each.name for each in learnt])}, its head gives {_listed(named[1:])}",
            hint=_HINT,
        )
    if KEY not in metadata:
        return
    scales = [card.scale, *(each.scale for each in learnt if each.scale)]
    said = _describe(["overall", *(each.name for each in learnt)], scales, head.get("levels", []))
    made_for = _parse(metadata[KEY])
    if isinstance(made_for, dict):
        made_for = {name: value for name, value in made_for.items() if name not in _OF_BASE}
        if "preparation" in made_for:  # older weights do not say
            said |= _describe_preparation(card)
    if made_for != said:
        raise WeightsUnavailable(
            f"{card.id}: its card says {json.dumps(said)}, its weights were made for {metadata[KEY]}", hint=_HINT
        )


def _describe(dimensions: Sequence[str], scales: Sequence[Scale], levels: object) -> dict[str, object]:
    outputs = [[name, float(scale.low), float(scale.high)] for name, scale in zip(dimensions, scales, strict=True)]
    return {"outputs": outputs, "levels": levels}


def _describe_preparation(card: ModelCard) -> dict[str, object]:
    return {"preparation": {"fit": card.fit, "exact": card.exact}}


def _hash_sight(base: FeatureExtractor) -> str:
    """Return what tells how a model sees pictures from other ways: settings, prompt, tiles; not the device."""
    seen = {name: value for name, value in base.fingerprint.items() if name not in _PASSING}
    text = json.dumps({**_describe_preparation(base.card), **seen}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _listed(names: Sequence[object]) -> str:
    return ", ".join(map(str, names)) or "overall alone"
