"""A small head that says how badly, and in which way, a photograph was spoilt; it never sees a rating.

Taste and damage pull at each other in one linear head: what gives a tilted copy away also moves photographs that are
as they should be. A hidden layer of its own learns damage from photographs without labels, and to say nothing of sound
ones; `overall` then subtracts what it says.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from damage import DAMAGES
from torch import nn
from torch.nn.functional import dropout, huber_loss, softplus
from views import Views

THRESHOLDS = (0.3, 0.9)
# What `overall` subtracts. Portraits look cropped to this head, and a penalty for that costs their order; other damage
# the linear part sees.
PENALISED = tuple(at for at, damage in enumerate(DAMAGES) if damage.name in ("white balance", "tilt"))


@dataclass(frozen=True)
class Schedule:
    """How the head is trained.

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
    hidden: int = 128
    epochs: int = 8
    photographs: int = 32
    rate: float = 1e-3
    decay: float = 0.05
    dropout: float = 0.5
    level: float = 0.5
    pairs: float = 4.0
    seed: int = 0


@dataclass(frozen=True)
class DamageHead:
    """The first axes of a space to one number for each damage: 0 as it was, more the worse it is."""

    hidden: np.ndarray  # (axes, hidden)
    hidden_bias: np.ndarray  # (hidden,)
    out: np.ndarray  # (hidden, damages)
    out_bias: np.ndarray  # (damages,)

    def __call__(self, placed: torch.Tensor) -> torch.Tensor:
        """(..., AXES) to (..., damages)."""
        hidden = placed[..., : len(self.hidden)] @ torch.from_numpy(self.hidden) + torch.from_numpy(self.hidden_bias)
        return hidden.relu() @ torch.from_numpy(self.out) + torch.from_numpy(self.out_bias)


def fit_damage_head(views: Views, placed: torch.Tensor, schedule: Schedule) -> DamageHead:
    """Train on views of photographs without labels; the same head each time.

    Args:
        views: their names and strengths.
        placed: their features in a space, (photographs, views, AXES).
        schedule: how.

    """
    torch.manual_seed(schedule.seed)
    placed = placed[..., : schedule.axes].contiguous()
    spread = placed[:, 0].std(0)
    spread = spread.clamp(min=0.3 * float(spread.median()))
    hidden, out = nn.Linear(placed.shape[-1], schedule.hidden), nn.Linear(schedule.hidden, len(DAMAGES))
    parameters = [*hidden.parameters(), *out.parameters()]
    optimiser = torch.optim.AdamW(parameters, schedule.rate, weight_decay=schedule.decay)
    strengths = torch.from_numpy(views.strengths)
    own = torch.tensor([[name == damage.name for damage in DAMAGES] for name in views.names]).float()
    # Whether a softened view is blurred or rough as JPEG is cannot be said.
    sure = torch.tensor([[name != "softened" or not damage.technical for damage in DAMAGES] for name in views.names])
    steps = len(placed) // schedule.photographs
    for epoch in range(schedule.epochs):
        order = torch.from_numpy(np.random.default_rng((schedule.seed, epoch)).permutation(len(placed)))
        for step in range(steps):
            progress = (epoch * steps + step) / (schedule.epochs * steps)
            optimiser.param_groups[0]["lr"] = schedule.rate * 0.5 * (1.0 + np.cos(np.pi * progress))
            members = order[step * schedule.photographs : (step + 1) * schedule.photographs]
            seen = dropout(placed[members] / spread, schedule.dropout)
            found = out(dropout(hidden(seen).relu(), schedule.dropout))  # (photographs, views, damages)
            loss = damage_loss(found, strengths[members], own, sure.float(), schedule)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    weights = (hidden.weight / spread).T, hidden.bias, out.weight.T, out.bias
    return DamageHead(*(each.detach().contiguous().numpy() for each in weights))


def hinges(damages: torch.Tensor) -> torch.Tensor:
    """Return how far each penalised damage lies above each threshold, (..., damages) to (..., hinges).

    Doubts cost nothing.
    """
    penalised = damages[..., list(PENALISED)]
    return torch.cat([(penalised - threshold).relu() for threshold in THRESHOLDS], -1)


def cross_fit(views: Views, placed: torch.Tensor, schedule: Schedule) -> torch.Tensor:
    """Return what heads say of photographs that they did not learn from, (photographs, views, damages), by halves."""
    found = torch.empty(*placed.shape[:-1], len(DAMAGES))
    halves = [torch.arange(start, len(placed), 2) for start in (0, 1)]
    for learnt, said in (halves, halves[::-1]):
        found[said] = fit_damage_head(replace(views, strengths=views.strengths[learnt]), placed[learnt], schedule)(
            placed[said]
        )
    return found


def damage_loss(
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
