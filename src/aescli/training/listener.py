"""LLaVA while it is trained on conversations: text loss on what is answered, and on nothing else.

Source: haotian-liu/LLaVA, llava/train/train.py (`preprocess_v1`): the conversation in template v1, a mark behind each
answer, and no loss on questions and pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from aescli.errors import WeightsUnavailable
from aescli.images.view import Pixels
from aescli.models import internvl, llava
from aescli.models.llava import LlavaSpeaker
from aescli.training.samples import Talk
from aescli.training.student import IGNORED, answer_loss, pad_right


@dataclass(frozen=True, slots=True)
class Words:
    """A conversation as tokens, and what of it is to be learnt: the token, or IGNORED; both (length,)."""

    tokens: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def answered(self) -> int:
        """How many tokens are to be learnt."""
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True, slots=True)
class LoadedTalk:
    """A conversation that is ready, and its picture, uint8 (side, side, 3)."""

    pixels: Pixels
    words: Words


class Listener(nn.Module):
    """A network; what is trained requires a gradient."""

    def __init__(self, speaker: LlavaSpeaker) -> None:
        super().__init__()
        self.network = speaker.network
        self.image_token = speaker.llava.image_token

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's own signature
        """Set the mode; the vision tower is frozen, and stays as it is asked later."""
        super().train(mode)
        self.network.model.vision_tower.eval()
        return self

    def forward(
        self, pixels: Tensor, tokens: Tensor, mask: Tensor, places: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """Return losses.

        Args:
            pixels: normalised, (batch, 3, side, side).
            tokens: padded on the right, (batch, length).
            mask: 1 for real tokens, (batch, length).
            places: the token before each that is to be learnt, (batch, learnt).
            targets: what is to be learnt, IGNORED where there is none, (batch, learnt).

        Returns:
            `loss`, the mean over what is to be learnt, and `right`, the share of it that is said, both (batch,).

        """
        tower = next(self.network.model.vision_tower.parameters())
        features = llava.encode(self.network, pixels.to(tower.dtype))
        embeddings = internvl.embed(self.network, tokens, features, self.image_token)
        hidden = self.network.model.language_model(
            inputs_embeds=embeddings, attention_mask=mask, use_cache=False
        ).last_hidden_state  # (batch, length, hidden)
        rows = torch.arange(len(tokens), device=tokens.device)
        logits = self.network.lm_head(hidden[rows[:, None], places])  # (batch, learnt, vocabulary)
        with torch.autocast(logits.device.type, enabled=False):
            loss = answer_loss(logits.float(), targets)
        known = targets != IGNORED
        right = ((logits.argmax(-1) == targets) & known).sum(1) / known.sum(1).clamp(min=1)
        return {"loss": loss, "right": right}


def encode_talk(speaker: LlavaSpeaker, talk: Talk, most: int) -> Words:
    """Return a conversation as tokens, cut after `most`.

    Raises:
        WeightsUnavailable: the tokenizer joins an answer to its question.

    """
    before, after = llava.TEMPLATE.split(llava.IMAGE)
    end = speaker.stops[0]
    tokens = [speaker.tokenizer.bos_token_id, *_encode(speaker, before)]
    tokens += [speaker.llava.image_token] * speaker.llava.image_tokens
    labels = [IGNORED] * len(tokens)
    for at, (question, answer) in enumerate(talk.turns):
        text = (after if at == 0 else "USER: {question} ASSISTANT:").replace("{question}", question)
        asked, whole = _encode(speaker, text), _encode(speaker, f"{text} {answer}")
        if whole[: len(asked)] != asked:
            raise WeightsUnavailable(f"{talk.source}: the tokenizer joins the answer to its question")
        tokens += [*whole, end]
        labels += [*[IGNORED] * len(asked), *whole[len(asked) :], end]
    return Words(tuple(tokens[:most]), tuple(labels[:most]))


def collate_talks(loaded: Sequence[LoadedTalk]) -> dict[str, Tensor]:
    """Return conversations as the batch that `Listener.forward` takes."""
    tokens, mask = pad_right([torch.tensor(each.words.tokens) for each in loaded], 0)
    places, targets = [], []
    for each in loaded:
        labels = torch.tensor(each.words.labels)
        (learnt,) = torch.nonzero(labels != IGNORED, as_tuple=True)
        places.append(learnt - 1)
        targets.append(labels[learnt])
    pixels: Any = llava.normalize(np.stack([each.pixels for each in loaded]))
    return {
        "pixels": torch.from_numpy(pixels),
        "tokens": tokens,
        "mask": mask,
        "places": pad_right(places, 0)[0],
        "targets": pad_right(targets, IGNORED)[0],
    }


def _encode(speaker: LlavaSpeaker, text: str) -> list[int]:
    return list(speaker.tokenizer(text, add_special_tokens=False)["input_ids"])
