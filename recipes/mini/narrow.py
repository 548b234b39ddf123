"""Fewer channels in the largest maps: those go that say least beside the others, which learn to say it, too.

Hassibi and Stork, "Second order derivatives for network pruning: optimal brain surgeon" (NeurIPS 1992), with what the
next layer makes of the channels for a loss. Six of the stem's thirty-two are the same everywhere, and go for nothing.
"""

from collections.abc import Sequence

import numpy as np
import torch
from measures import find_gains, halve
from network import Backbone, take_channels
from torch import nn

KEPT = 24  # of 32; processors calculate eight at once
AT_ONCE = 20  # photographs
RIDGE = 1e-6  # of the mean square of a channel


@torch.no_grad()
def narrow(backbone: Backbone, pixels: Sequence[np.ndarray], kept: int = KEPT) -> None:
    """Take channels from the stem and the first filters.

    Args:
        backbone: changed in place.
        pixels: of photographs, each (1, side, side, 3).
        kept: channels.

    """
    stem, block = backbone.stem, backbone.blocks[0]
    total, places = 0.0, 0
    for at in range(0, len(pixels), AT_ONCE):
        planes = torch.from_numpy(np.concatenate(pixels[at : at + AT_ONCE])).permute(0, 3, 1, 2).float()
        seen = nn.functional.relu6(block.depthwise(backbone.begin(planes, find_gains(halve(planes)))))
        seen = seen.transpose(0, 1).flatten(1).double()  # (channels, places)
        seen = torch.cat([seen, torch.ones_like(seen[:1])])
        total, places = total + seen @ seen.T, places + seen.shape[1]
    weights = block.project.weight[:, :, 0, 0].double()  # (outputs, channels)
    channels, weights, constant = choose_channels(total / places, weights, kept)
    backbone.stem, block.depthwise = take_channels(stem, channels), take_channels(block.depthwise, channels)
    block.project.weight.data = weights.float()[:, :, None, None]
    block.project.bias.data += constant.float()


def choose_channels(
    moments: torch.Tensor, weights: torch.Tensor, kept: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the channels that stay (kept,), the weights of these (outputs, kept), and what joins the bias (outputs,).

    One goes after the other, each the one without which least is lost in squares.

    Args:
        moments: mean products of the channels, and last of one, (channels + 1, channels + 1).
        weights: that the next layer gives them, (outputs, channels).
        kept: how many stay.

    """
    count = weights.shape[1]
    inverse = torch.linalg.inv(moments + RIDGE * moments.diagonal()[:-1].mean() * torch.eye(count + 1).to(moments))
    rows = torch.cat([weights.T, torch.zeros_like(weights.T[:1])])  # (channels + 1, outputs)
    left = torch.arange(count)
    for _ in range(count - kept):
        lost = rows[left].square().sum(1) / inverse.diagonal()[left]
        worst = left[lost.argmin()]
        step = inverse[:, worst] / inverse[worst, worst]
        rows = rows - torch.outer(step, rows[worst])
        inverse = inverse - torch.outer(step, inverse[worst])
        left = left[left != worst]
    return left, rows[left].T, rows[-1]
