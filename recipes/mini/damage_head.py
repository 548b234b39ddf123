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

THRESHOLDS = (0.3, 0.9)
# What `overall` subtracts, and what is measured for each. Portraits look cropped to such a head, and a penalty for that
# costs their order; other damage the linear part sees.
PENALISED = {"white balance": "colours", "tilt": "lines"}


@dataclass(frozen=True)
class Schedule:
    """How a head is trained.

    Args:
        axes: how many of a space's axes are read, the first: more remember the photographs and say less of others.
        hidden: width.
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
    hidden: int = 64
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
    """What a space makes of a view to one number: 0 as it was, more the worse one damage is."""

    columns: np.ndarray  # (inputs,), of what a space returns
    hidden: np.ndarray  # (inputs, hidden)
    hidden_bias: np.ndarray  # (hidden,)
    out: np.ndarray  # (hidden, 1)
    out_bias: np.ndarray  # (1,)

    def __call__(self, placed: torch.Tensor) -> torch.Tensor:
        """(..., PLACED) to (..., 1)."""
        seen = placed[..., torch.from_numpy(self.columns)]
        hidden = seen @ torch.from_numpy(self.hidden) + torch.from_numpy(self.hidden_bias)
        return hidden.relu() @ torch.from_numpy(self.out) + torch.from_numpy(self.out_bias)


def fit_damage_heads(views: Views, placed: torch.Tensor, schedule: Schedule) -> tuple[DamageHead, ...]:
    """Train a head for each penalised damage on views of photographs without labels; the same heads each time.

    Args:
        views: their names and strengths.
        placed: what a space makes of them, (photographs, views, PLACED).
        schedule: how.

    """
    return tuple(_fit(views, placed, damage, schedule) for damage in PENALISED)


def tell_damages(heads: tuple[DamageHead, ...], placed: torch.Tensor) -> torch.Tensor:
    """(..., PLACED) to (..., penalised damages)."""
    return torch.cat([head(placed) for head in heads], -1)


def hinges(damages: torch.Tensor) -> torch.Tensor:
    """Return how far each penalised damage lies above each threshold, (..., penalised damages) to (..., hinges).

    Doubts cost nothing.
    """
    return torch.cat([(damages - threshold).relu() for threshold in THRESHOLDS], -1)


def cross_fit(views: Views, placed: torch.Tensor, schedule: Schedule) -> torch.Tensor:
    """Return what heads say of photographs that they did not learn from, by halves.

    The result is (photographs, views, penalised damages).
    """
    found = torch.empty(*placed.shape[:-1], len(PENALISED))
    halves = [torch.arange(start, len(placed), 2) for start in (0, 1)]
    for learnt, said in (halves, halves[::-1]):
        heads = fit_damage_heads(replace(views, strengths=views.strengths[learnt]), placed[learnt], schedule)
        found[said] = tell_damages(heads, placed[said])
    return found


def _fit(views: Views, placed: torch.Tensor, damage: str, schedule: Schedule) -> DamageHead:
    """Train on every damage, so that one is told from another, and keep what says this one."""
    torch.manual_seed(schedule.seed)
    axes, measured = torch.arange(schedule.axes), torch.arange(placed.shape[-1])[find_columns(PENALISED[damage])]
    columns = torch.cat([axes, measured])
    seen = placed[..., columns].contiguous()
    spread = torch.cat([_spread(seen[:, 0, : len(axes)]), _spread(seen[:, 0, len(axes) :])])
    hidden, out = nn.Linear(len(columns), schedule.hidden), nn.Linear(schedule.hidden, len(DAMAGES))
    parameters = [*hidden.parameters(), *out.parameters()]
    optimiser = torch.optim.AdamW(parameters, schedule.rate, weight_decay=schedule.decay)
    strengths = torch.from_numpy(views.strengths)
    own = torch.tensor([[name == each.name for each in DAMAGES] for name in views.names]).float()
    # Whether a softened view is blurred or rough as JPEG is cannot be said.
    sure = torch.tensor([[name != "softened" or not each.technical for each in DAMAGES] for name in views.names])
    steps = len(seen) // schedule.photographs
    for epoch in range(schedule.epochs):
        order = torch.from_numpy(np.random.default_rng((schedule.seed, epoch)).permutation(len(seen)))
        for step in range(steps):
            progress = (epoch * steps + step) / (schedule.epochs * steps)
            optimiser.param_groups[0]["lr"] = schedule.rate * 0.5 * (1.0 + np.cos(np.pi * progress))
            members = order[step * schedule.photographs : (step + 1) * schedule.photographs]
            inputs = dropout(seen[members] / spread, schedule.dropout)
            found = out(dropout(hidden(inputs).relu(), schedule.dropout))  # (photographs, views, damages)
            loss = _damage_loss(found, strengths[members], own, sure.float(), schedule)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    kept = [each.name for each in DAMAGES].index(damage)
    weights = (hidden.weight / spread).T, hidden.bias, out.weight.T[:, kept : kept + 1], out.bias[kept : kept + 1]
    return DamageHead(columns.numpy(), *(each.detach().contiguous().numpy() for each in weights))


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
