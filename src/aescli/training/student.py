"""HumanAesExpert while it is trained: one pass over question and answer feeds the text loss and the sample's head.

The heads read the last token of the question: behind it stands the answer, which they must not see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import UsageError
from aescli.images.view import Pixels
from aescli.models import internvl
from aescli.models.heads import Heads
from aescli.models.humanaesexpert import normalize_on_device
from aescli.training.questions import Dialogue
from aescli.training.samples import Rated

DATA_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
IGNORED = -100  # of torch's cross-entropy


@dataclass(frozen=True, slots=True, kw_only=True)
class LossChoices:
    """What each part of the loss weighs. The paper states neither kinds nor weights; the heads' is squared error.

    Args:
        text: cross-entropy, mean over the answer's tokens.
        regression: of the whole, on samples with one score.
        expert: mean over all twelve, parents included, on samples with twelve.

    """

    text: float = 1.0
    regression: float = 1.0
    expert: float = 1.0

    def __post_init__(self) -> None:
        if min(self.text, self.regression, self.expert) < 0:
            raise UsageError("losses weigh 0 or more")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A sample that is ready: its tiles, uint8 (tiles, side, side, 3), its dialogue, and what is known of it."""

    pixels: Pixels
    dialogue: Dialogue
    sample: Rated


class Student(nn.Module):
    """A backbone and its heads; what is trained requires a gradient."""

    def __init__(
        self, backbone: internvl.Backbone, heads: Heads, image_token: int, level_tokens: Sequence[int],
        losses: LossChoices,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network = backbone.network
        self.heads = heads
        self.image_token = image_token
        self.losses = losses
        self.register_buffer("level_tokens", torch.tensor(list(level_tokens)), persistent=False)

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - torch's own signature
        """Set the mode; the vision tower is frozen, and stays as it is asked later."""
        super().train(mode)
        self.network.model.vision_tower.eval()
        return self

    def forward(  # noqa: PLR0913, PLR0917 - a batch, always by keywords
        self, pixels: Tensor, tokens: Tensor, mask: Tensor, asked: Tensor, places: Tensor, targets: Tensor,
        level_at: Tensor, scores: Tensor, expert: Tensor,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Return losses and what the heads say.

        Args:
            pixels: of all tiles, uint8 (tiles, side, side, 3).
            tokens: padded on the right, (batch, length).
            mask: 1 for real tokens, (batch, length).
            asked: the last token of each question, (batch,).
            places: the token before each of the answer, (batch, answer).
            targets: the answer, IGNORED where there is none, (batch, answer).
            level_at: which of the answer is the level, (batch,).
            scores: from 0 to 1; of a sample with one score in the last column, (batch, 12).
            expert: whether a sample has twelve, (batch,).

        Returns:
            `loss`, `text`, `regression_loss`, `expert_loss`, `regression`, all (batch,); `expert` (batch, 12);
            `levels`, the logits of the level words, (batch, levels).

        """
        weights = self.network.model.vision_tower.embeddings.patch_embeddings.projection.weight
        features = internvl.encode(self.network, normalize_on_device(pixels, weights.dtype))
        embeddings = internvl.embed(self.network, tokens, features, self.image_token)
        hidden = self.network.model.language_model(
            inputs_embeds=embeddings, attention_mask=mask, use_cache=False
        ).last_hidden_state  # (batch, length, hidden)
        rows = torch.arange(len(tokens), device=tokens.device)
        # Logits of the answer alone: over the picture's tokens they would be the largest tensor of all.
        logits = self.network.lm_head(hidden[rows[:, None], places])  # (batch, answer, vocabulary)
        pooled = hidden[rows, asked]  # (batch, hidden)
        with torch.autocast(pooled.device.type, enabled=False):  # heads compute in float32
            text = answer_loss(logits.float(), targets)
            regression, twelve = self.heads.regress(pooled), self.heads.judge(pooled)
            squared = (regression - scores[:, -1]) ** 2  # (batch,)
            judged = ((twelve - scores) ** 2).mean(1)  # (batch,)
        regression_loss, expert_loss = squared * ~expert, judged * expert
        parts = self.losses
        return {
            "loss": parts.text * text + parts.regression * regression_loss + parts.expert * expert_loss,
            "text": text,
            "regression_loss": regression_loss,
            "expert_loss": expert_loss,
            "regression": regression,
            "expert": twelve,
            "levels": logits[rows, level_at][:, self.level_tokens],
        }


def answer_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy over each answer, (batch,), of logits (batch, answer, vocabulary)."""
    found = functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
    return found.sum(1) / (targets != IGNORED).sum(1).clamp(min=1)


def collate(loaded: Sequence[Loaded], image_token: int, tile_tokens: int) -> dict[str, Tensor]:
    """Return samples as the batch that `Student.forward` takes."""
    rows, asked = [], []
    for each in loaded:
        features = [image_token] * (len(each.pixels) * tile_tokens)
        prompt = [*each.dialogue.before, *features, *each.dialogue.after]
        asked.append(len(prompt) - 1)
        rows.append(torch.tensor([*prompt, *each.dialogue.answer]))
    answers = [torch.tensor(each.dialogue.answer) for each in loaded]
    tokens, mask = pad_right(rows, 0)
    targets, _ = pad_right(answers, IGNORED)  # (batch, answer)
    ends = torch.tensor(asked)
    places = (ends[:, None] + torch.arange(targets.shape[1])).clamp(max=tokens.shape[1] - 1)
    scores = torch.zeros(len(loaded), len(HUMAN_DIMENSIONS))
    for row, each in enumerate(loaded):
        known = torch.tensor(each.sample.scores)
        scores[row, -len(known) :] = known
    return {
        "pixels": torch.from_numpy(np.concatenate([each.pixels for each in loaded])),
        "tokens": tokens,
        "mask": mask,
        "asked": ends,
        "places": places,
        "targets": targets,
        "level_at": torch.tensor([each.dialogue.level_at for each in loaded]),
        "scores": scores,
        "expert": torch.tensor([each.sample.is_expert for each in loaded]),
    }


def pad_right(rows: Sequence[Tensor], filler: int) -> tuple[Tensor, Tensor]:
    """Return rows of different lengths as one batch, and 1 where they are real, both (batch, longest)."""
    padded = nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=filler)
    mask = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return padded, mask


def recompute_activations(network: Any, *, wanted: bool) -> None:
    """Let a language model compute activations twice instead of keeping them, or not."""
    language = network.model.language_model
    if wanted:
        language.activation_checkpointing_enable({"use_reentrant": False})
    else:
        language.activation_checkpointing_disable()
