"""Stage two of `multihead`: the MetaVoter, fitted to held-out scores of heads that change no more."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aescli.errors import UsageError
from aescli.images.opening import Opener
from aescli.models.heads import Heads
from aescli.models.humanaesexpert import Judge, Readings
from aescli.models.read_outs import EXPERT, PLAIN
from aescli.models.tiles import Tiling, cut
from aescli.training.pictures import look_at, work_ahead
from aescli.training.samples import Rated

FEWEST = 8  # samples: a voter of fewer would be a guess


@dataclass(frozen=True, slots=True, kw_only=True)
class VoterChoices:
    """How the voter is fitted; the paper does not say.

    Args:
        steps: of Adam over all samples at once, by squared error.
        rate: its learning rate.
        decay: of its weights: what keeps it near a plain mean where samples are few.
        seed: of its first weights.

    """

    steps: int = 500
    rate: float = 0.01
    decay: float = 1e-3
    seed: int = 42

    def __post_init__(self) -> None:
        if min(self.steps, self.seed) < 0 or self.rate <= 0 or self.decay < 0:
            raise UsageError("voter.rate is above 0; voter.steps, voter.decay and voter.seed are 0 or more")


def read_samples(judge: Judge, samples: Sequence[Rated], opener: Opener, tiling: Tiling) -> Readings:
    """Return what all heads say of samples, in their order, both questions asked of each."""

    def look(sample: Rated) -> Any:
        return look_at(sample.picture, opener, lambda view: cut(view, tiling))

    found = [judge.read([pixels], (PLAIN, EXPERT)) for pixels in work_ahead(look, samples)]
    return Readings(*(torch.cat([getattr(each, name) for each in found]) for name in Readings.__slots__))


def fit_voter(heads: Heads, readings: Readings, overall: Tensor, choices: VoterChoices) -> dict[str, float]:
    """Fit the voter of some heads in place.

    Args:
        heads: only their voter changes.
        readings: of the samples.
        overall: what people said of them, from 0 to 1, (samples,).
        choices: how.

    Returns:
        Root of the mean squared error of the voter, and of each thing that it reads.

    """
    inputs = [each.float().cpu().clone() for each in _inputs(readings)]  # a clone of an inference tensor is none
    wanted = overall.float()
    voter = heads.voter.cpu()
    chance = torch.Generator().manual_seed(choices.seed)
    with torch.no_grad():
        for parameter in voter.parameters():
            bound = 1 / (parameter.shape[-1] ** 0.5 if parameter.ndim > 1 else 4.0)
            parameter.copy_(torch.empty_like(parameter).uniform_(-bound, bound, generator=chance))
    voter.requires_grad_(requires_grad=True)
    optimizer = torch.optim.Adam(voter.parameters(), lr=choices.rate, weight_decay=choices.decay)
    stacked = torch.stack(inputs, -1)  # (samples, 3)
    for _ in range(choices.steps):
        optimizer.zero_grad()
        loss = ((voter(stacked)[:, 0] - wanted) ** 2).mean()
        loss.backward()
        optimizer.step()
    voter.requires_grad_(requires_grad=False)
    with torch.no_grad():
        said = {"metavoter": voter(stacked)[:, 0], **dict(zip(heads.choices.voter_order, inputs, strict=True))}
    return {name: float(((each - wanted) ** 2).mean().sqrt()) for name, each in said.items()}


def _inputs(readings: Readings) -> tuple[Tensor, Tensor, Tensor]:
    if readings.lm is None or readings.regression is None or readings.expert is None:
        raise AssertionError("both questions were asked")
    return readings.lm, readings.regression, readings.expert[:, -1]
