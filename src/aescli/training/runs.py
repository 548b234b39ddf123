"""A run's folder: what is refused before anything is loaded, its splits, and how it becomes a model."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aescli.cards import CARD_FILE, ModelCard
from aescli.errors import NothingMatched, UsageError, WeightsUnavailable
from aescli.models import checkpoint
from aescli.models.files import hash_files
from aescli.models.loading import locate
from aescli.names import escape
from aescli.training.pictures import measure_all
from aescli.training.samples import Data, Sample
from aescli.training.saving import find_checkpoint
from aescli.training.splitting import SplitChoices, Splits, hash_splits, read_splits, split, write_splits

_SPLITS = "splits"


@dataclass(frozen=True, slots=True)
class Base:
    """What is fine-tuned: its card, its folder, and what tells its weights from others."""

    card: ModelCard
    folder: Path
    revision: str

    def as_json(self) -> dict[str, Any]:
        """Return how a card names it; a folder by its whole path, since the card may be moved."""
        name = str(self.card.folder.resolve()) if self.card.folder else self.card.id
        return {"model": name, "revision": self.revision}


@dataclass(frozen=True, slots=True)
class FineTuneReport:
    """What was trained, and how well it agrees with people.

    Attributes:
        folder: the new model.
        recipe: that made it.
        steps: that were done.
        best_step: the one whose parameters were kept.
        samples: of each split.
        validation: metrics of the best step.
        results: metrics of the written model on the test split.

    """

    folder: Path
    recipe: str
    steps: int
    best_step: int
    samples: Mapping[str, int]
    validation: Mapping[str, float] = field(default_factory=dict)
    results: Mapping[str, float] = field(default_factory=dict)


def open_base(card: ModelCard, families: tuple[str, ...], recipe: str) -> Base:
    """Return the base of a training.

    Raises:
        UsageError: the recipe does not train its family, or it is an adapter.
        WeightsUnavailable: its files are not here.

    """
    if card.family not in families:
        raise UsageError(f"recipe {recipe} does not train {card.id}, which is of the family '{card.family}'")
    folder = locate(card)
    if (folder / checkpoint.ADAPTER_FILE).is_file():
        raise UsageError(f"{card.id} is an adapter", hint="train its base, or a folder with merged weights")
    if not (folder / "config.json").is_file():
        raise WeightsUnavailable(f"{escape(str(folder))} has no config.json")
    return Base(card, folder, checkpoint.check_revision(card, folder))


def open_run(folder: Path, *, resume: bool) -> None:
    """Refuse a folder that holds something else than what this run may go on with.

    Raises:
        UsageError: it holds a finished model, or a run that `--resume` was not said of.

    """
    above = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not above.is_dir():
        raise UsageError(f"{escape(str(above))} is no folder", hint="--out names a new folder")
    if (folder / CARD_FILE).exists():
        raise UsageError(f"{escape(str(folder))} holds a finished model", hint="--out names a folder that does not")
    if not resume and find_checkpoint(folder):
        raise UsageError(f"{escape(str(folder))} holds a run that was begun", hint="--resume goes on with it")
    if not resume and folder.is_dir() and any(each.name not in (_SPLITS, "metrics.jsonl") for each in folder.iterdir()):
        raise UsageError(f"{escape(str(folder))} is not empty", hint="--out names a new folder")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Samples in splits.

    Args:
        splits: by the names in `splitting.SPLITS`.
        hashes: SHA-256 of each split as it lies on disk.
        sizes: width and height of each sample's picture.

    """

    splits: Splits
    hashes: Mapping[str, str]
    sizes: Mapping[str, Sequence[tuple[int, int]]]


def prepare_splits(run: Path | None, data: Data, choices: SplitChoices, note: Callable[[str], None]) -> Prepared:
    """Return samples in splits; those of a run that goes on are the ones on disk. Without a run none are written.

    Raises:
        NothingMatched: no picture can be trained on.

    """
    if run and find_checkpoint(run):
        splits, hashes = read_splits(run / _SPLITS)
    else:
        splits = {name: _readable(samples, note) for name, samples in split(data, choices).items()}
        # Every process draws the same splits; one of them writes.
        hashes = write_splits(run / _SPLITS, splits) if run and is_first_process() else hash_splits(splits)
    if not splits["train"]:
        raise NothingMatched(f"{data.name}: no picture is left to train on")
    sizes = {name: [size for size in measure_all(samples)[0] if size] for name, samples in splits.items()}
    for name, samples in splits.items():
        if len(sizes[name]) < len(samples):
            raise NothingMatched(f"pictures of the split {name} are gone since the run began")
    return Prepared(splits, hashes, sizes)


def describe(recipe: str, base: Base, data: Data, prepared: Prepared, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a card says of a training, as JSON has it."""
    found: dict[str, Any] = as_json({
        "recipe": recipe,
        "base": base.as_json(),
        "data": {"name": data.name, "sha256": data.sha256, "range": data.scale, "splits": prepared.hashes},
        "samples": {name: len(samples) for name, samples in prepared.splits.items()},
        "choices": choices,
    })  # fmt: skip
    return found


def identify(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a description decides the numbers: a checkpoint of another training is told by it."""
    return {
        "recipe": described["recipe"],
        "base": described["base"]["revision"],
        "data": described["data"],
        **{f"choices.{name}": value for name, value in described["choices"].items()},
    }


def as_json(value: Any) -> Any:
    """Return what JSON would make of a value."""
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, list | tuple) else value


def _readable(samples: tuple[Sample, ...], tell: Callable[[str], None]) -> tuple[Sample, ...]:
    sizes, problems = measure_all(samples)
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        tell(f"left out: {'; '.join(map(str, problems[:3]))}{more}")
    return tuple(sample for sample, size in zip(samples, sizes, strict=True) if size)


def is_first_process() -> bool:
    """Tell whether this is the process that writes."""
    return os.environ.get("RANK", "0") == "0"


def install_model(part: Path, run: Path, fields: Mapping[str, Any]) -> None:
    """Move a finished model's files into the run's folder, its card last: without it the folder is no model."""
    revision = hash_files(checkpoint.weight_files(part))
    for file in sorted(part.iterdir()):
        if file.name != CARD_FILE:
            os.replace(file, run / file.name)  # noqa: PTH105
    text = json.dumps({**fields, "revision": revision}, indent=1, ensure_ascii=False)
    written = run / f".{CARD_FILE}.part"
    written.write_text(text, encoding="utf-8")
    written.rename(run / CARD_FILE)
    shutil.rmtree(part, ignore_errors=True)


def new_part(run: Path) -> Path:
    """Return an empty folder inside the run's, for what is not finished."""
    part = run / ".model.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def as_local(card: ModelCard, folder: Path) -> ModelCard:
    """Return a card for a folder that is being written."""
    return replace(card, sources=(), folder=folder, revision="")
