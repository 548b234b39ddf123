"""The recipes that fine-tune multimodal models, by name: what each reads, and how its choices begin."""

from pathlib import Path
from typing import Any

from aescli.cards import ModelCard
from aescli.errors import UsageError
from aescli.runtime import place_torch
from aescli.training import runs
from aescli.training.estimating import Estimate, estimate
from aescli.training.hearing import Hearing, silent
from aescli.training.instruct import FAMILIES as CRITICS
from aescli.training.instruct import InstructChoices, InstructTask, train_instruct
from aescli.training.multihead import FAMILIES as SCORERS
from aescli.training.multihead import MultiheadChoices, MultiheadTask, train_multihead
from aescli.training.pictures import open_exactly
from aescli.training.runs import FineTuneReport
from aescli.training.samples import Data
from aescli.training.sources import read_conversations, read_rated
from aescli.training.student import DATA_TYPES

Choices = MultiheadChoices | InstructChoices


def first_choices(recipe: str) -> Choices:
    """Return a recipe's defaults."""
    return MultiheadChoices() if recipe == "multihead" else InstructChoices()


def read_for(recipe: str, word: str, scale: tuple[float, float] | None) -> Data:
    """Read what a recipe learns from.

    Raises:
        NothingMatched: the data are not there, or hold nothing usable.
        UsageError: they cannot be understood.

    """
    if recipe == "multihead":
        return read_rated(word, scale)
    if scale:
        raise UsageError("conversations have no range", hint="leave --range out")
    return read_conversations(word)


def fine_tune(
    card: ModelCard, data: Data, run: Path, choices: Choices, *, resume: bool, hearing: Hearing = silent
) -> FineTuneReport | None:
    """Train with the recipe that the choices are of; see `train_multihead` and `train_instruct`."""
    if isinstance(choices, MultiheadChoices):
        return train_multihead(card, data, run, choices, resume=resume, hearing=hearing)
    return train_instruct(card, data, run, choices, resume=resume, hearing=hearing)


def try_out(card: ModelCard, data: Data, choices: Choices, hearing: Hearing = silent) -> Estimate:
    """Load what would be trained, and estimate what it would take; nothing is written.

    Raises:
        AesError: as the training itself would say.

    """
    recipe, families = ("multihead", SCORERS) if isinstance(choices, MultiheadChoices) else ("instruct", CRITICS)
    base = runs.open_base(card, families, recipe)
    prepared = runs.prepare_splits(None, data, choices.splits, hearing.note)
    placement = place_torch(choices.loop.device, choices.loop.precision)
    with open_exactly() as opener:
        task: Any
        if isinstance(choices, MultiheadChoices):
            task = MultiheadTask(base, prepared, choices, opener)
        else:
            task = InstructTask(base, prepared, choices, opener)
        return estimate(task, choices.loop, str(placement.devices[0]), DATA_TYPES[placement.data_type])
