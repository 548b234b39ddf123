"""LLaVA-1.5 with its level read-out as one module: pixels, tower, one question, levels (see `aescli.models.onnx`).

The question is the same for every picture, so its embeddings are constants that stand before and behind the picture's.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aescli.cards import ModelCard
from aescli.models import llava
from aescli.models.checkpoint import check_revision
from aescli.models.exportable import Exportable, describe_pixels
from aescli.models.fitting import PAD
from aescli.models.idle import Idle
from aescli.models.level_choices import LevelChoices
from aescli.models.levels import LevelScorer, find_word_tokens
from aescli.models.llava import LlavaSpeaker
from aescli.models.speaking import read_choices
from aescli.models.talking import Turn

PREPROCESSING = "the whole picture padded to a square with CLIP's mean colour, bicubic"


class Graph(nn.Module):
    """Returns of pixels, uint8 (batch, side, side, 3), ratings of 0 to 1, probabilities of levels, and features.

    They are (batch,), (batch, words) and (batch, hidden); the levels are read in fp32.
    """

    mean: Tensor
    deviation: Tensor
    before: Tensor
    behind: Tensor
    words: Tensor
    worth: Tensor
    causal: Tensor

    def __init__(self, speaker: LlavaSpeaker, choices: LevelChoices, words: Sequence[int]) -> None:
        super().__init__()
        network = speaker.network
        self.network = network
        turn = Turn(np.zeros((1, 1, 3), np.uint8), choices.question, choices.stem)
        tokens = torch.tensor(speaker.tokens(turn))
        embedded = network.model.language_model.embed_tokens(tokens)  # (length, hidden)
        start = int((tokens == speaker.llava.image_token).nonzero()[0])
        length = len(tokens)
        self.register_buffer("mean", torch.tensor(llava.MEAN))
        self.register_buffer("deviation", torch.tensor(llava.STD))
        self.register_buffer("before", embedded[None, :start].clone())
        self.register_buffer("behind", embedded[None, start + speaker.llava.image_tokens :].clone())
        self.register_buffer("words", network.lm_head.weight[list(words)].float())  # (words, hidden)
        self.register_buffer("worth", torch.tensor(choices.weights))
        self.register_buffer("causal", torch.ones(length, length, dtype=torch.bool).tril()[None, None])

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scaled = (pixels.float() / 255 - self.mean) / self.deviation  # (batch, side, side, 3)
        seen = self._look(scaled.permute(0, 3, 1, 2).to(self.before.dtype))  # (batch, image tokens, hidden)
        before, behind = (each.expand(seen.shape[0], -1, -1) for each in (self.before, self.behind))
        row = torch.cat([before, seen, behind], 1)  # (batch, length, hidden)
        language: Any = self.network.model.language_model
        places = torch.arange(self.causal.shape[-1])[None]
        hidden = language(
            inputs_embeds=row, attention_mask=self.causal, position_ids=places, use_cache=False
        ).last_hidden_state[:, -1]  # (batch, hidden)
        features = hidden.float()
        levels = (features @ self.words.T).softmax(-1)  # (batch, words)
        return (levels * self.worth).sum(-1), levels, features

    def _look(self, pixels: Tensor) -> Tensor:
        """Return visual features, as `llava.encode` does, which an exporter would follow for one batch size only."""
        model = self.network.model
        seen = model.vision_tower(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]
        found: Tensor = model.multi_modal_projector(seen[:, 1:])  # without the token of the whole picture
        return found


def make_exportable(card: ModelCard, folder: Path, data_type: str) -> tuple[ModelCard, Exportable]:
    """Load a checkpoint for an export; the card comes back with its revision.

    Args:
        card: the model.
        folder: of its weights, in LLaVA-1.5's released layout.
        data_type: `fp32` or `fp16`, of the graph's network.

    Raises:
        WeightsUnavailable: files are missing or are not what they should be, or levels cannot be told apart.

    """
    card = replace(card, revision=check_revision(card, folder))
    choices = read_choices(folder)
    precise = llava.load_speaker(folder, torch.float32, "cpu")
    speaker = precise if data_type == "fp32" else llava.load_speaker(folder, torch.float16, "cpu")
    scorer = LevelScorer(card, precise, Idle([precise]), choices, 1)
    graph = Graph(speaker, choices, find_word_tokens(speaker, choices, card.id))
    fields = {"fit": PAD, "preprocessing": PREPROCESSING, "levels": asdict(choices)}
    return card, describe_pixels(graph, scorer, fields, choices.words)
