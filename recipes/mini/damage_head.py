"""Small heads that say how badly a photograph was spoilt, one for each damage; they never see a rating.

Taste and damage pull at each other in one linear head: what gives a tilted copy away also moves photographs that are
as they should be. Hidden layers of their own learn damage, and to say nothing of sound photographs; `overall` then
subtracts what they say.
"""

from dataclasses import dataclass

import numpy as np
import torch
from heads import ALL_DAMAGES, find_columns
from ramps import Ramps
from torch import nn
from torch.nn.functional import dropout, huber_loss, softplus


@dataclass(frozen=True)
class Told:
    """What one head tells, for `overall` to subtract.

    Args:
        damages: their names.
        measures: the groups of measures that it sees beside the network's features.
        hidden: width of its hidden layer.
        ramps: for each damage, from where on what is told counts, over which width it counts more and more, and how
            much it takes in the end, of 1 to 7.

    """

    damages: tuple[str, ...]
    measures: tuple[str, ...]
    hidden: int
    ramps: tuple[tuple[float, float, float], ...]


# What a lens or a file does, and flat contrast, shows in `technical`. Cropped photographs have little in their middle
# that is not at their edges; tilts do not show there.
HEADS = (
    Told(("white balance",), ("colours",), 64, ((0.5, 3.0, 1.35),)),
    Told(("tilt",), ("lines",), 64, ((0.0, 1.5, 0.42),)),
    Told(("dark", "bright"), (), 32, ((1.0, 1.5, 0.85), (1.0, 2.0, 2.25))),
    Told(("crop",), ("centre10", "centre15", "centre20"), 64, ((-0.5, 3.0, 0.8),)),
)
# Bare corners are measured; from the start of their ramp on they tell a tilt alone. OASIS's copies would do with a
# lower one, which costs no ranks: of other photographs taste likes what stands on a plain canvas.
BARE = (0.8, 0.7, 1.9)
LACKING = (0.0, 0.5, 0.7)  # the ramp of the logit of `technical`, turned round
TOLD = tuple(damage for head in HEADS for damage in head.damages)
RAMPS = Ramps(*np.array([*(ramp for head in HEADS for ramp in head.ramps), BARE, LACKING]).T)


@dataclass(frozen=True)
class Schedule:
    """How a head is trained.

    Args:
        axes: how many of a space's axes are read, the first: more remember the photographs and say less of others.
        epochs: how often every view of photographs without ratings is seen.
        photographs: of these in a step, each with all of its views.
        beside: rated photographs in a step, drawn anew each time.
        share: of the loss on these, beside that on the others.
        rate: the highest learning rate; a cosine brings it to zero.
        decay: of weights.
        dropout: of inputs and of the hidden layer.
        level: of the loss on strengths, beside that on order.
        others: of the loss on saying less of a damage where there is another: a blurred portrait looks less cropped.
        seed: of weights, order and dropout.

    """

    axes: int = 600
    epochs: int = 8
    photographs: int = 32
    beside: int = 8
    share: float = 0.5
    rate: float = 1e-3
    decay: float = 0.05
    dropout: float = 0.4
    level: float = 0.5
    others: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class DamageHead:
    """What a space makes of a view to a number for each damage told: 0 as it was, more the worse it is."""

    columns: np.ndarray  # (inputs,), of what a space returns
    hidden: np.ndarray  # (inputs, hidden)
    hidden_bias: np.ndarray  # (hidden,)
    out: np.ndarray  # (hidden, told)
    out_bias: np.ndarray  # (told,)
    curve: tuple[float, ...]  # the mean loss of each epoch

    def __call__(self, placed: torch.Tensor) -> torch.Tensor:
        """(..., PLACED) to (..., told)."""
        columns, hidden, hidden_bias, out, out_bias = (
            torch.from_numpy(each).to(placed.device)
            for each in (self.columns, self.hidden, self.hidden_bias, self.out, self.out_bias)
        )
        return (placed[..., columns] @ hidden + hidden_bias).relu() @ out + out_bias


@dataclass(frozen=True)
class Spoilt:
    """Photographs, whole and spoilt, as heads learn from them.

    Args:
        names: of the views.
        strengths: of the damage, (photographs, views).
        counted: whether a head is to tell it, (photographs, views): not a tilt that bare corners tell.
        placed: what a space makes of them, (photographs, views, PLACED).

    """

    names: tuple[str, ...]
    strengths: torch.Tensor
    counted: torch.Tensor
    placed: torch.Tensor

    def __getitem__(self, photographs: np.ndarray) -> "Spoilt":
        return Spoilt(self.names, *(each[photographs] for each in (self.strengths, self.counted, self.placed)))

    def __len__(self) -> int:
        return len(self.placed)


def fit_damage_heads(unrated: Spoilt, rated: Spoilt, schedule: Schedule) -> tuple[DamageHead, ...]:
    """Train all heads on both kinds of photographs, of which they see no rating; the same heads each time."""
    return tuple(_fit((unrated, rated), told, schedule) for told in HEADS)


def tell_damages(heads: tuple[DamageHead, ...], placed: torch.Tensor) -> torch.Tensor:
    """(..., PLACED) to (..., TOLD)."""
    return torch.cat([head(placed) for head in heads], -1)


def cross_fit(unrated: Spoilt, rated: Spoilt, folds: np.ndarray, schedule: Schedule) -> torch.Tensor:
    """Return what heads say of rated photographs that they did not learn from, (photographs, views, TOLD).

    What a head says of photographs that it learnt from is surer than what it will say of others.
    """
    found = torch.empty(*rated.placed.shape[:-1], len(TOLD), device=rated.placed.device)
    for fold in np.unique(folds):
        heads = fit_damage_heads(unrated, rated[folds != fold], schedule)
        found[folds == fold] = tell_damages(heads, rated.placed[folds == fold])
    return found


def _fit(sets: tuple[Spoilt, Spoilt], told: Told, schedule: Schedule) -> DamageHead:
    """Train one head to say how strong its damages are, nothing of sound views, and no less of others."""
    torch.manual_seed(schedule.seed)
    first, beside = sets
    device, places = first.placed.device, torch.arange(first.placed.shape[-1])
    parts = [places[: schedule.axes], *(places[find_columns(group)] for group in told.measures)]
    spread = torch.cat([_spread(first.placed[:, 0, part.to(device)]) for part in parts])
    columns = torch.cat(parts)
    seen = [each.placed[..., columns.to(device)] / spread for each in sets]
    known = [_know(each, told.damages) for each in sets]
    hidden = nn.Linear(len(columns), told.hidden).to(device)
    out = nn.Linear(told.hidden, len(told.damages)).to(device)
    parameters = [*hidden.parameters(), *out.parameters()]
    optimiser = torch.optim.AdamW(parameters, schedule.rate, weight_decay=schedule.decay)
    steps, curve = len(first) // schedule.photographs, []

    def loss_of(at: int, members: torch.Tensor) -> torch.Tensor:
        inputs = dropout(seen[at][members], schedule.dropout)
        found = out(dropout(hidden(inputs).relu(), schedule.dropout))  # (photographs, views, told)
        return _damage_loss(found, sets[at].strengths[members], sets[at].counted[members], *known[at], schedule)

    for epoch in range(schedule.epochs):
        rng = np.random.default_rng((schedule.seed, epoch))
        order, losses = torch.from_numpy(rng.permutation(len(first))).to(device), torch.zeros((), device=device)
        for step in range(steps):
            progress = (epoch * steps + step) / (schedule.epochs * steps)
            optimiser.param_groups[0]["lr"] = schedule.rate * 0.5 * (1.0 + np.cos(np.pi * progress))
            loss = loss_of(0, order[step * schedule.photographs : (step + 1) * schedule.photographs])
            drawn = rng.choice(len(beside), min(len(beside), schedule.beside), replace=False)
            loss = loss + schedule.share * loss_of(1, torch.from_numpy(drawn).to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses += loss.detach()
        curve.append(round(float(losses) / steps, 4))
    weights = (hidden.weight / spread).T, hidden.bias, out.weight.T, out.bias
    return DamageHead(columns.numpy(), *(each.detach().cpu().contiguous().numpy() for each in weights), tuple(curve))


def _know(spoilt: Spoilt, damages: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which of these damages a view has, (views, told), and which views are sound, (views,)."""
    own = torch.tensor([[name == damage for damage in damages] for name in spoilt.names])
    sound = torch.tensor([name not in ALL_DAMAGES for name in spoilt.names])
    return own.float().to(spoilt.placed.device), sound.to(spoilt.placed.device)


def _spread(placed: torch.Tensor) -> torch.Tensor:
    """Return deviations over photographs, (photographs, inputs) to (inputs,): none so small that noise is blown up."""
    spread = placed.std(0)
    return spread.clamp(min=0.3 * float(spread.median()))


def _damage_loss(
    found: torch.Tensor,
    strengths: torch.Tensor,
    counted: torch.Tensor,
    own: torch.Tensor,
    sound: torch.Tensor,
    schedule: Schedule,
) -> torch.Tensor:
    """Strengths of a head's own damages, each copy above every sound view, and no less of what is spoilt otherwise.

    Args:
        found: (photographs, views, told).
        strengths: (photographs, views).
        counted: which of its copies it learns from, (photographs, views).
        own: which of its damages a view has, (views, told).
        sound: which views have none at all, (views,).
        schedule: weights of the parts.

    """
    known = ((own > 0) & counted[..., None]) | sound[:, None]  # (photographs, views, told)
    errors = huber_loss(found, strengths[..., None] * own, delta=0.5, reduction="none") * known
    level = errors.sum() / known.sum()
    spoilt = own.sum(1) > 0
    copies = (found * own)[:, spoilt].sum(-1)  # (photographs, spoilt views)
    beside = found[:, sound] @ own[spoilt].T  # (photographs, sound views, spoilt views)
    order = softplus((0.5 - copies[:, None] + beside) * 4.0) * counted[:, None, spoilt]
    order = order.sum() / (counted[:, spoilt].sum() * sound.sum()).clamp(min=1)
    other = (own == 0) & ~sound[:, None]  # (views, told)
    lowered = (found[:, sound].mean(1, keepdim=True) - found).relu().square() * other
    less = lowered.sum() / (other.sum() * len(found))
    return schedule.level * level + order + schedule.others * less
