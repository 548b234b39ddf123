"""What the outputs of a trained head are: names, native ranges, levels. Weights hold them too, as their card does.

A card is text that anybody may edit: one whose dimensions change places would give every picture the wrong columns, and
one that brings pictures to the network in another way another score.
"""

import json
from collections.abc import Mapping, Sequence

from aescli.cards import ModelCard
from aescli.dimensions import Scale
from aescli.errors import WeightsUnavailable
from aescli.models.files import read_section

KEY = "aescli.outputs"  # in the metadata of a graph and of a file of weights; one key, since safetensors shuffles them

_HINT = "copy the whole model folder again"


def describe_outputs(
    dimensions: Sequence[str], scales: Sequence[Scale], levels: Sequence[float], base: ModelCard
) -> dict[str, str]:
    """Return the metadata that says what a head gives, and how its base sees pictures."""
    return {KEY: json.dumps(_describe(dimensions, scales, list(map(float, levels))) | _describe_preparation(base))}


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
    if isinstance(made_for, dict) and "preparation" in made_for:  # older weights do not say
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


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _listed(names: Sequence[object]) -> str:
    return ", ".join(map(str, names)) or "overall alone"
