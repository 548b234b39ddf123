"""A head on CLIP as one module: uint8 pixels, the tower, length one, the folded head (see `aescli.models.onnx`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aescli.cards import ModelCard
from aescli.models.base import LoadOptions
from aescli.models.clip_head import MEAN, PREPROCESSING, STD, Head, load, load_tower
from aescli.models.exportable import Exportable, describe_pixels
from aescli.models.fitting import CROP


class Graph(nn.Module):
    """Returns ratings (batch,) and embeddings (batch, width) of pixels, uint8 (batch, 224, 224, 3).

    The head is in fp32 whatever the tower is in.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, tower: Any, head: Head) -> None:
        super().__init__()
        self.tower = tower
        self.activation = head.activation
        self.register_buffer("mean", torch.tensor(MEAN))
        self.register_buffer("deviation", torch.tensor(STD))
        self.layers = nn.ModuleList(_linear(weight, bias) for weight, bias in head.layers)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        scaled = (pixels.float() / 255 - self.mean) / self.deviation  # (batch, height, width, 3)
        embeddings = self.tower(pixel_values=scaled.permute(0, 3, 1, 2).to(self.tower.dtype)).image_embeds.float()
        unit: Tensor = embeddings / embeddings.norm(dim=1, keepdim=True)  # (batch, width)
        found = unit
        for at, layer in enumerate(self.layers):
            found = layer(found)
            if self.activation == "relu" and at + 1 < len(self.layers):
                found = found.relu()
        return found[:, 0], unit


def make_exportable(card: ModelCard, folders: Sequence[Path], data_type: str) -> tuple[ModelCard, Exportable]:
    """Load a head and its tower for an export; the card comes back with its revision.

    Args:
        card: the model.
        folders: of the head and of the tower.
        data_type: `fp32` or `fp16`, of the graph's tower.

    Raises:
        WeightsUnavailable: one of both is missing or is not what it should be.

    """
    scorer = load(card, folders, LoadOptions(device="cpu", data_type="fp32"))
    tower = scorer.tower if data_type == "fp32" else load_tower(folders[1], torch.float16)
    fields = {"fit": CROP, "preprocessing": PREPROCESSING}
    return scorer.card, describe_pixels(Graph(tower, scorer.head), scorer, fields)


def _linear(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data = torch.from_numpy(weight).float()
    layer.bias.data = torch.from_numpy(bias).float()
    return layer.requires_grad_(requires_grad=False)
