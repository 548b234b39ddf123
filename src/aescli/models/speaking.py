"""From a card to models that speak, one for each device, and to what is read from their words."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from aescli.cards import CARD_FILE, ModelCard
from aescli.errors import PictureError, WeightsUnavailable
from aescli.images.view import Pixels, View
from aescli.models.base import LoadOptions
from aescli.models.checkpoint import check_revision
from aescli.models.files import hash_settings
from aescli.models.generating import answer
from aescli.models.idle import Idle
from aescli.models.level_choices import LevelChoices
from aescli.models.levels import LevelScorer, find_word_tokens, in_halves, read_words
from aescli.models.talking import Speaker, Turn
from aescli.results import Rating
from aescli.runtime import place_torch

_DATA_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_level_scorer(card: ModelCard, folder: Path, options: LoadOptions) -> LevelScorer:
    """Load a model that speaks as a scorer.

    Raises:
        WeightsUnavailable: files are missing or are not what they should be, or levels cannot be told apart.
        DeviceUnavailable: a device that was asked for cannot be had.

    """
    card = replace(card, revision=check_revision(card, folder))
    speakers = load_speakers(folder, options)
    size = 1 if speakers[0].device == "cpu" else 16
    scorer = LevelScorer(card, speakers[0], Idle(speakers), read_choices(folder), size)
    scorer.fingerprint["settings"] = hash_settings(folder)
    return scorer


class SpeakingCritic:
    """Answers with speakers, one for each device, and reads levels where their tokenizer tells them apart."""

    def __init__(self, card: ModelCard, speakers: Sequence[Speaker], choices: LevelChoices) -> None:
        first = speakers[0]
        self.card = card
        self.backend = f"torch-{first.device}"
        self.batch_size = 1 if first.device == "cpu" else 8
        self.lanes = len(speakers)
        self.fingerprint: dict[str, Any] = {
            "runtime": "torch",
            "dtype": str(first.data_type).removeprefix("torch."),
        }
        self._first = first
        self._speakers = Idle(speakers)
        try:
            self._scorer: LevelScorer | None = LevelScorer(card, first, self._speakers, choices, self.batch_size)
        except WeightsUnavailable:
            self._scorer = None

    def prepare(self, picture: View) -> Pixels:
        return self._first.look(picture)

    def answer(
        self, asked: Sequence[tuple[Pixels, str]], most_tokens: int, tell: Callable[[str], None] | None = None
    ) -> list[str | PictureError]:
        turns = [Turn(picture, question) for picture, question in asked]
        alone = tell if len(turns) == 1 else None
        with self._speakers.taken() as speaker:
            return in_halves(speaker, turns, lambda some: answer(speaker, some, most_tokens=most_tokens, tell=alone))

    def answer_all(self, picture: Pixels, questions: Sequence[str], most_tokens: int) -> Sequence[str | PictureError]:
        with self._speakers.taken() as speaker:
            try:
                shared = speaker.answer_all(picture, questions, most_tokens)
            except (torch.OutOfMemoryError, ValueError, RuntimeError):
                shared = None  # one by one takes less, and names the question
            if shared is not None:
                return shared
            turns = [Turn(picture, question) for question in questions]
            return in_halves(speaker, turns, lambda some: answer(speaker, some, most_tokens=most_tokens))

    def forget(self, asked: Sequence[tuple[Pixels, str]], most_tokens: int) -> None:
        """Nothing is kept."""

    def count_tokens(self, picture: Pixels, question: str, reply: str, most_tokens: int) -> tuple[int, int] | None:  # noqa: ARG002
        """Count text; a picture may stand for one token, as the family has it."""
        asked = len(self._first.tokens(Turn(picture, question)))
        return asked, len(self._first.tokens(Turn(picture, question, reply))) - asked

    def read_levels(self, prepared: Sequence[Pixels]) -> Sequence[Rating | PictureError] | None:
        return self._scorer.rate(prepared) if self._scorer else None

    def read_words(
        self, asked: Sequence[tuple[Pixels, str]], words: Sequence[str]
    ) -> Sequence[Mapping[str, float] | PictureError] | None:
        """Read the first token of each word where an answer begins; None where its tokenizer joins or confuses them."""
        choices = LevelChoices(question="", stem="", words=tuple(words), weights=())
        try:
            tokens = find_word_tokens(self._first, choices, self.card.id)
        except WeightsUnavailable:
            return None
        turns = [Turn(picture, question) for picture, question in asked]
        with self._speakers.taken() as speaker:
            found = in_halves(speaker, turns, lambda some: read_words(speaker, some, tokens))
        return [row if isinstance(row, PictureError) else dict(zip(words, row, strict=True)) for row in found]

    def close(self) -> None:
        """Nothing was started."""


def load_critic(card: ModelCard, folder: Path, options: LoadOptions) -> SpeakingCritic:
    """Load a model that speaks as a critic, one copy for each device.

    Raises:
        WeightsUnavailable: files are missing or are not what they should be.
        DeviceUnavailable: a device that was asked for cannot be had.

    """
    card = replace(card, revision=check_revision(card, folder))
    critic = SpeakingCritic(card, load_speakers(folder, options), read_choices(folder))
    critic.fingerprint["settings"] = hash_settings(folder)
    return critic


def load_speakers(folder: Path, options: LoadOptions) -> list[Speaker]:
    """Load a folder once for each device: LLaVA-1.5 in its released layout, or a layout of transformers."""
    from aescli.models import chat, llava

    placement = place_torch(options.device, options.data_type)
    load: Any = llava.load_speaker if llava.is_llava(folder) else chat.load_speaker
    return [load(folder, _DATA_TYPES[placement.data_type], str(device)) for device in placement.devices]


def read_choices(folder: Path) -> LevelChoices:
    """Return what a folder's card says of its levels; Q-ReAlign's where it has no card."""
    file = folder / CARD_FILE
    if not file.is_file():
        return LevelChoices()
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))["levels"]
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
        return LevelChoices(**values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsUnavailable(f"{file} does not state its levels: {error!r}") from error
