"""From a card to a loaded model: the one place that knows which file runs which family."""

from aescli import weights
from aescli.cards import ModelCard
from aescli.errors import AesError
from aescli.models.base import Scorer
from aescli.runtime import Placement

SCORING_FAMILIES = frozenset({"onnx"})


def load_scorer(card: ModelCard, placement: Placement, dimensions: tuple[str, ...]) -> Scorer:
    """Load the model that a card describes.

    Raises:
        AesError: this version has no code for the card's family.
        WeightsUnavailable: files are missing or are not what the card says.
        DeviceUnavailable: a device that was asked for cannot be had.

    """
    match card.family:
        case "onnx":
            from aescli.models import onnx

            return onnx.load(card, placement, dimensions)
        case _:
            if card.sources:
                weights.locate(card)  # what is missing first
            raise AesError(
                f"{card.id} is known, but this version of aes has no code to score with its family '{card.family}'",
                hint="aes models ls   says which models score",
            )
