"""Which code runs a checkpoint of HumanAesExpert: ours, or its own in a worker."""

from pathlib import Path

from aescli.cards import ModelCard
from aescli.models.base import LoadOptions, Scorer


def load(card: ModelCard, folder: Path, dimensions: tuple[str, ...], options: LoadOptions) -> Scorer:
    """Load a checkpoint folder with the code that may run it."""
    from aescli.models import humanaesexpert

    return humanaesexpert.load(card, folder, dimensions, options)
