"""Scores from words: how likely each level is where a model's answer names one (Q-Align, arXiv 2312.17090).

A question, the beginning of an answer, and the softmax over the first tokens of the level words behind it, weighted.
One implementation for every family that speaks.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
import torch

from aescli.cards import ModelCard
from aescli.errors import ErrorCode, PictureError, WeightsUnavailable, first_line
from aescli.images.view import Pixels, View
from aescli.models.base import Features
from aescli.models.idle import Idle
from aescli.models.level_choices import LevelChoices
from aescli.models.talking import Speaker, Turn
from aescli.results import Rating

Said = TypeVar("Said")


def find_word_tokens(speaker: Speaker, choices: LevelChoices, name: str) -> list[int]:
    """Return the token that tells each level from the others: the first behind the stem, or of the answer.

    Raises:
        WeightsUnavailable: two levels begin alike, or a word melts into the stem.

    """
    nothing = np.zeros((28, 28, 3), np.uint8)
    stem = speaker.tokens(Turn(nothing, choices.question, choices.stem))
    found = {}
    for word in choices.words:
        row = speaker.tokens(Turn(nothing, choices.question, f"{choices.stem} {word}".strip()))
        if row[: len(stem)] != stem or len(row) == len(stem):
            raise WeightsUnavailable(f"{name}: its tokenizer joins '{word}' to the words before it: no level read-out")
        found[word] = row[len(stem)]
    if len(set(found.values())) < len(found):
        pairs = ", ".join(f"{word} {token}" for word, token in found.items())
        raise WeightsUnavailable(f"{name}: its tokenizer does not tell the levels apart by their first token: {pairs}")
    return list(found.values())


@torch.inference_mode()
def read_words(speaker: Speaker, turns: Sequence[Turn], tokens: Sequence[int]) -> list[list[float]]:
    """Return how likely each token is to come next in each turn, among all tokens."""
    logits = speaker.network(**speaker.inputs(turns), logits_to_keep=1).logits[:, -1]  # (batch, vocabulary)
    rows: list[list[float]] = logits.float().softmax(-1)[:, list(tokens)].tolist()
    return rows


def in_halves(
    speaker: Speaker, turns: Sequence[Turn], run: Callable[[Sequence[Turn]], Sequence[Said]]
) -> list[Said | PictureError]:
    """Run a batch; where memory does not suffice or a picture is refused, its halves, down to what is at fault."""
    try:
        return list(run(turns))
    except (torch.OutOfMemoryError, PictureError, ValueError, RuntimeError) as error:
        problem = why_not(error, speaker.device)
    # Outside of `except`: the error would hold the tensors that must go.
    if speaker.device.startswith("cuda"):
        torch.cuda.empty_cache()
    if len(turns) == 1:
        return [problem]
    half = len(turns) // 2
    return [*in_halves(speaker, turns[:half], run), *in_halves(speaker, turns[half:], run)]


class LevelScorer:
    """Rates with speakers, one for each device; one that is idle takes the next batch.

    Args:
        card: the model.
        first: one of them, to ask what all have in common.
        speakers: all of them, maybe shared with a critic.
        choices: what is asked.
        batch_size: how many pictures it likes at once.

    """

    def __init__(
        self, card: ModelCard, first: Speaker, speakers: Idle[Speaker], choices: LevelChoices, batch_size: int
    ) -> None:
        self.card = card
        self.dimensions: tuple[str, ...] = ()
        self.backend = f"torch-{first.device}"
        self.batch_size = batch_size
        self.fingerprint: dict[str, Any] = {
            "runtime": "torch",
            "dtype": str(first.data_type).removeprefix("torch."),
            "levels": asdict(choices),
        }
        self._choices = choices
        self._tokens = find_word_tokens(first, choices, card.id)
        self._first = first
        self._speakers = speakers

    def prepare(self, picture: View) -> Pixels:
        return self._first.look(picture)

    def rate(self, prepared: Sequence[Pixels]) -> list[Rating | PictureError]:
        turns = [Turn(picture, self._choices.question, self._choices.stem) for picture in prepared]
        with self._speakers.taken() as speaker:
            return in_halves(speaker, turns, lambda some: [self._rating(row) for row in self._read(speaker, some)])

    def extract(self, prepared: Sequence[Pixels]) -> list[Features | PictureError]:
        """Return the hidden state behind which the level is said, and the rating that is read from it."""
        with self._speakers.taken() as speaker:
            return self._extract(speaker, list(prepared))

    def close(self) -> None:
        """Nothing was started."""

    def _extract(self, speaker: Speaker, pictures: list[Pixels]) -> list[Features | PictureError]:
        """Extract from a batch, then from one picture at a time where a batch fails."""
        try:
            logits, hidden = self._ask(speaker, pictures)
        except (torch.OutOfMemoryError, ValueError, RuntimeError) as error:
            problem = why_not(error, speaker.device)
        else:
            rows = self._probabilities(logits)
            return [Features(values, self._rating(row).raw) for values, row in zip(hidden, rows, strict=True)]
        if len(pictures) == 1:
            return [problem]
        return [each for picture in pictures for each in self._extract(speaker, [picture])]

    @torch.inference_mode()
    def _ask(self, speaker: Speaker, pictures: Sequence[Pixels]) -> tuple[torch.Tensor, np.ndarray]:
        """Return logits, (batch, vocabulary), and float32 hidden states behind the last norm, (batch, hidden)."""
        turns = [Turn(picture, self._choices.question, self._choices.stem) for picture in pictures]
        said = speaker.network(**speaker.inputs(turns), logits_to_keep=1, output_hidden_states=True)
        return said.logits[:, -1], said.hidden_states[-1][:, -1].float().cpu().numpy()

    @torch.inference_mode()
    def _read(self, speaker: Speaker, turns: Sequence[Turn]) -> list[list[float]]:
        """Return the probability of each level for each picture."""
        return self._probabilities(speaker.network(**speaker.inputs(turns), logits_to_keep=1).logits[:, -1])

    def _probabilities(self, logits: torch.Tensor) -> list[list[float]]:
        """Return the probability of each level for each row of (batch, vocabulary)."""
        return logits[:, self._tokens].float().softmax(-1).tolist()

    def _rating(self, row: Sequence[float]) -> Rating:
        raw = sum(weight * probability for weight, probability in zip(self._choices.weights, row, strict=True))
        return Rating(raw, levels=dict(zip(self._choices.words, row, strict=True)))


def why_not(error: Exception, device: str) -> PictureError:
    """Return why a model could not answer about one picture: memory, or its own processor refused the picture."""
    if isinstance(error, PictureError):
        return error
    if isinstance(error, torch.OutOfMemoryError):
        return PictureError(ErrorCode.GPU_OOM, f"{device} has not enough memory for one picture")
    problem = first_line(error)
    return PictureError(ErrorCode.MODEL_CRASH, f"the model refused the picture: {type(error).__name__}: {problem}")
