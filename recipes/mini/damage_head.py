"""Small heads that say how badly a photograph was spoilt, one for each damage; they never see a rating.

Taste and damage pull at each other in one linear head: what gives a tilted copy away also moves photographs that are
as they should be. Hidden layers of their own learn damage from photographs without labels, and to say nothing of sound
ones; `overall` then subtracts what they say.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from damage import DAMAGES
from heads import find_columns
from torch import nn
from torch.nn.functional import dropout, huber_loss, softplus
from views import Views


@dataclass(frozen=True)
class Told:
    """What one head tells, for `overall` to subtract.

    Args:
        damages: their names.
        measures: the group of measures that it sees beside the network's features.
        hidden: width of its hidden layer.
        thresholds: of doubt, below which nothing is subtracted, and of surety, above which more is.

    """

    damages: tuple[str, ...]
    measures: tuple[str, ...]
    hidden: int
    thresholds: tuple[float, float]


# Portraits look cropped to such a head, and a penalty for that costs their order; flat contrast and what a lens or a
# file does show in `technical`. Many good photographs are dark or bright on purpose: these thresholds are higher.
HEADS = (
    Told(("white balance",), ("colours",), 64, (0.3, 0.9)),
    Told(("tilt",), ("lines",), 64, (0.3, 0.9)),
    Told(("dark", "bright"), (), 32, (0.6, 1.2)),
)
TOLD = tuple(damage for head in HEADS for damage in head.damages)
THRESHOLDS = tuple(np.array([head.thresholds[at] for head in HEADS for _ in head.damages], np.float32) for at in (0, 1))
SOUND = 1.0  # the logit of `technical` below which `overall` is lowered too


@dataclass(frozen=True)
class Schedule:
    """How a head is trained.

    Args:
        axes: how many of a space's axes are read, the first: more remember the photographs and say less of others.
        epochs: how often every view is seen.
        photographs: in a step, each with all of its views.
        rate: the highest learning rate; a cosine brings it to zero.
        decay: of weights.
        dropout: of inputs and of the hidden layer.
        level: of the loss on strengths.
        pairs: of the loss on the order of a spoilt copy and each sound view.
        seed: of weights, order and dropout.

    """

    axes: int = 600
    epochs: int = 16
    photographs: int = 32
    rate: float = 1e-3
    decay: float = 0.05
    dropout: float = 0.4
    level: float = 0.5
    pairs: float = 4.0
    seed: int = 0


@dataclass(frozen=True)
class DamageHead:
    """What a space makes of a view to a number for each damage told: 0 as it was, more the worse it is."""

    columns: np.ndarray  # (inputs,), of what a space returns
    hidden: np.ndarray  # (inputs, hidden)
    hidden_bias: np.ndarray  # (hidden,)
    out: np.ndarray  # (hidden, told)
    out_bias: np.ndarray  # (told,)

    def __call__(self, placed: torch.Tensor) -> torch.Tensor:
        """(..., PLACED) to (..., told)."""
        columns, hidden, hidden_bias, out, out_bias = (
            torch.from_numpy(each).to(placed.device)
            for each in (self.columns, self.hidden, self.hidden_bias, self.out, self.out_bias)
        )
        return (placed[..., columns] @ hidden + hidden_bias).relu() @ out + out_bias


def fit_damage_heads(views: Views, placed: torch.Tensor, schedule: Schedule) -> tuple[DamageHead, ...]:
    """Train all heads on views of photographs without labels; the same heads each time.

    Args:
        views: their names and strengths.
        placed: what a space makes of them, (photographs, views, PLACED).
        schedule: how.

    """
    return tuple(_fit(views, placed, told, schedule) for told in HEADS)


def tell_damages(heads: tuple[DamageHead, ...], placed: torch.Tensor) -> torch.Tensor:
    """(..., PLACED) to (..., TOLD)."""
    return torch.cat([head(placed) for head in heads], -1)


def hinges(damages: torch.Tensor, logit: torch.Tensor) -> torch.Tensor:
    """Return how far each damage lies above each threshold, and how far `technical` below its own, (..., hinges).

    Args:
        damages: what the heads say, (..., TOLD). Doubts cost nothing.
        logit: of `technical`, (...).

    """
    above = [(damages - torch.from_numpy(each).to(damages.device)).relu() for each in THRESHOLDS]
    return torch.cat([*above, (SOUND - logit).relu()[..., None]], -1)


def cross_fit(views: Views, placed: torch.Tensor, schedule: Schedule) -> torch.Tensor:
    """Return what heads say of photographs that they did not learn from, by halves.

    The result is (photographs, views, TOLD).
    """
    found = torch.empty(*placed.shape[:-1], len(TOLD), device=placed.device)
    halves = [torch.arange(start, len(placed), 2) for start in (0, 1)]
    for learnt, said in (halves, halves[::-1]):
        heads = fit_damage_heads(replace(views, strengths=views.strengths[learnt]), placed[learnt], schedule)
        found[said] = tell_damages(heads, placed[said])
    return found


def _fit(views: Views, placed: torch.Tensor, told: Told, schedule: Schedule) -> DamageHead:
    """Train on every damage, so that one is told from another, and keep what says these."""
    torch.manual_seed(schedule.seed)
    device, places = placed.device, torch.arange(placed.shape[-1])
    parts = [places[: schedule.axes], *(places[find_columns(group)] for group in told.measures)]
    spread = torch.cat([_spread(placed[:, 0, part.to(device)]) for part in parts])
    columns = torch.cat(parts)
    seen = placed[..., columns.to(device)].contiguous()
    hidden = nn.Linear(len(columns), told.hidden).to(device)
    out = nn.Linear(told.hidden, len(DAMAGES)).to(device)
    parameters = [*hidden.parameters(), *out.parameters()]
    optimiser = torch.optim.AdamW(parameters, schedule.rate, weight_decay=schedule.decay)
    strengths = torch.from_numpy(views.strengths).to(device)
    own = torch.tensor([[name == each.name for each in DAMAGES] for name in views.names]).float().to(device)
    # Whether a softened view is blurred or rough as JPEG is cannot be said.
    sure = torch.tensor([[name != "softened" or not each.technical for each in DAMAGES] for name in views.names])
    sure = sure.float().to(device)
    steps = len(seen) // schedule.photographs
    for epoch in range(schedule.epochs):
        order = torch.from_numpy(np.random.default_rng((schedule.seed, epoch)).permutation(len(seen))).to(device)
        for step in range(steps):
            progress = (epoch * steps + step) / (schedule.epochs * steps)
            optimiser.param_groups[0]["lr"] = schedule.rate * 0.5 * (1.0 + np.cos(np.pi * progress))
            members = order[step * schedule.photographs : (step + 1) * schedule.photographs]
            inputs = dropout(seen[members] / spread, schedule.dropout)
            found = out(dropout(hidden(inputs).relu(), schedule.dropout))  # (photographs, views, damages)
            loss = _damage_loss(found, strengths[members], own, sure, schedule)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    kept = [[each.name for each in DAMAGES].index(damage) for damage in told.damages]
    weights = (hidden.weight / spread).T, hidden.bias, out.weight.T[:, kept], out.bias[kept]
    return DamageHead(columns.numpy(), *(each.detach().cpu().contiguous().numpy() for each in weights))


def _spread(placed: torch.Tensor) -> torch.Tensor:
    """Return deviations over photographs, (photographs, inputs) to (inputs,): none so small that noise is blown up."""
    spread = placed.std(0)
    return spread.clamp(min=0.3 * float(spread.median()))


def _damage_loss(
    found: torch.Tensor, strengths: torch.Tensor, own: torch.Tensor, sure: torch.Tensor, schedule: Schedule
) -> torch.Tensor:
    """Strengths of each view's own damage, nothing of the others, and each copy above every sound view.

    Args:
        found: (photographs, views, damages).
        strengths: (photographs, views).
        own: which damage a view has, (views, damages).
        sure: what is known of a view, (views, damages).
        schedule: weights of both parts.

    """
    spoilt = own.sum(1) > 0
    level = (huber_loss(found, strengths[..., None] * own, delta=0.5, reduction="none") * sure).mean()
    copies = (found * own)[:, spoilt].sum(-1)  # (photographs, spoilt views)
    sound = found[:, ~spoilt] @ own[spoilt].T  # (photographs, sound views, spoilt views)
    below = softplus((0.5 - copies[:, None] + sound) * 4.0) * (sure[~spoilt] @ own[spoilt].T)
    return schedule.level * level + schedule.pairs * below.mean() / 4.0
