"""Heads on frozen features: `overall` from ratings, a teacher and pairs, `technical` from damage alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from damage import DAMAGES
from network import FEATURES, MEASURES, PLACEABLE, find_group, groups
from ramps import Ramps
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from views import Views

# How much a group of features counts beside the others, whatever its width.
WEIGHTS = {"mean": 20.0, "quarters": 5.0}
AXES = 1500
PLACED = AXES + MEASURES  # numbers that a space makes of a view: its axes, and measures as they are
CLEAN = ("whole", "mirrored", "reframed")
TECHNICAL = tuple(damage.name for damage in DAMAGES if damage.technical)
ALL_DAMAGES = tuple(damage.name for damage in DAMAGES)


@dataclass(frozen=True)
class Strengths:
    """How much each part of the loss of `overall` counts.

    Args:
        unlabelled: of a photograph without ratings against one with, its target being the teacher's word.
        pairs: of all pairs of a photograph and its spoilt copy against all ratings, for axes and nearness.
        pair_weights: of a pair of one damage there, where it is not 1.
        margin: by how much a spoilt copy should lie below, in deviations of the ratings.
        ridge: of the weights.
        nearness: how freely nearness to landmarks speaks, beside an axis.

    """

    unlabelled: float = 3.0
    pairs: float = 1.7
    pair_weights: Mapping[str, float] = field(default_factory=lambda: {"crop": 3.0})
    margin: float = 0.3
    ridge: float = 1.0
    nearness: float = 6.0


@dataclass(frozen=True)
class Space:
    """Standardised features, each group of its own weight; the network's on main axes, which lack a thousandth."""

    mean: np.ndarray  # (PLACEABLE,)
    scale: np.ndarray  # (PLACEABLE,)
    axes: np.ndarray  # (PLACEABLE - MEASURES, AXES)

    @classmethod
    def of(cls, features: np.ndarray) -> "Space":
        """Build a space from views of photographs, (photographs, views, FEATURES), the first of them whole."""
        features = features[..., :PLACEABLE]
        mean, scale = weigh_features(features[:, 0])
        rng = np.random.default_rng(0)
        sample = features.reshape(-1, features.shape[-1])[rng.permutation(features.shape[0] * features.shape[1])[:8000]]
        placed = ((sample.astype(np.float32) - mean) * scale).astype(np.float32)[:, :-MEASURES]
        torch.manual_seed(0)
        _, _, axes = torch.pca_lowrank(torch.from_numpy(placed), AXES, center=False, niter=2)
        return cls(mean, scale, axes.numpy())

    def place(self, features: np.ndarray) -> torch.Tensor:
        """(..., FEATURES) to (..., PLACED), single precision."""
        flat = features.reshape(-1, features.shape[-1])[:, :PLACEABLE]
        placed = np.empty((len(flat), PLACED), np.float32)
        for at in range(0, len(flat), 4096):
            part = ((flat[at : at + 4096].astype(np.float32) - self.mean) * self.scale).astype(np.float32)
            placed[at : at + 4096, :AXES] = part[:, :-MEASURES] @ self.axes
            placed[at : at + 4096, AXES:] = part[:, -MEASURES:]
        return torch.from_numpy(placed).reshape(*features.shape[:-1], PLACED)

    def unfold(self, weights: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (FEATURES, outputs) and bias (outputs,) for features as they come out of the network.

        `weights` (PLACED, outputs) are those of what `place` returns.
        """
        raw = np.concatenate([self.axes.astype(np.float64) @ weights[:AXES], weights[AXES:]]) * self.scale[:, None]
        return np.pad(raw, ((0, FEATURES - PLACEABLE), (0, 0))), bias - self.mean @ raw


def weigh_features(whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and scales of features, each (features,): groups of their own weight, and a variance of 1 in all.

    Args:
        whole: of photographs as they are, (photographs, features): all that can be placed, or the first groups of them.

    """
    whole = whole.astype(np.float64)
    deviation = whole.std(0)
    width = [np.full(count, np.sqrt(WEIGHTS.get(name, 1.0) / count)) for name, count in groups()]
    # A feature that hardly moves must not become noise of unit size.
    scale = np.concatenate(width)[: whole.shape[1]] / np.maximum(deviation, 0.02 * np.median(deviation))
    scale /= np.sqrt(np.square((whole - whole.mean(0)) * scale).sum(1).mean())
    return whole.mean(0), scale


def find_columns(group: str) -> slice:
    """Return where a group of measures stands in what `Space.place` returns."""
    columns, shift = find_group(group), PLACED - PLACEABLE
    if columns.stop > PLACEABLE:
        raise KeyError(group)
    return slice(columns.start + shift, columns.stop + shift)


@dataclass(frozen=True)
class Seen:
    """What the heads see of views.

    Args:
        placed: places in a space, (..., PLACED).
        near: nearness to landmarks, (..., landmarks).
        told: of damage, (..., told), then how bare corners are, and last what `technical` lacks.
        usual: what ramps of height 1 take of sound photographs like these, (..., told).

    """

    placed: torch.Tensor
    near: torch.Tensor
    told: torch.Tensor
    usual: torch.Tensor

    def __getitem__(self, at: object) -> "Seen":
        return self.map(lambda values: values[at])

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Seen":
        return Seen(*(change(each) for each in (self.placed, self.near, self.told, self.usual)))


@dataclass(frozen=True)
class Examples:
    """What `overall` is fitted to.

    Args:
        rated: clean views of rated photographs, (photographs, clean views).
        scores: their mean ratings, (photographs,).
        unrated: clean views of the others, (photographs, clean views).
        said: what the teacher says of them, (photographs,).
        drops: a photograph less each spoilt copy, (pairs,): first of rated ones, then of the others.
        kinds: the damage of each pair, a place in ALL_DAMAGES, (pairs,).

    """

    rated: Seen
    scores: np.ndarray
    unrated: Seen
    said: np.ndarray
    drops: tuple[Seen, Seen]
    kinds: torch.Tensor


@dataclass(frozen=True)
class Taste:
    """What is liked, 1 to 7: linear in places and nearness."""

    placed: np.ndarray  # (PLACED,)
    near: np.ndarray  # (landmarks,), zeros for those that were not used
    bias: float

    def __call__(self, seen: Seen) -> np.ndarray:
        """Judge views, (...)."""
        parts = ((seen.placed, self.placed), (seen.near, self.near))
        return sum((part.double().cpu().numpy() @ weights for part, weights in parts), start=np.float64(self.bias))


@dataclass(frozen=True)
class Overall:
    """`overall`, 1 to 7: taste less what damage takes beyond the usual."""

    taste: Taste
    ramps: Ramps

    def __call__(self, seen: Seen) -> np.ndarray:
        """Judge views, (...)."""
        told, usual = (each.double().cpu().numpy() for each in (seen.told, seen.usual))
        return self.taste(seen) - self.ramps(told, usual)


def fit_taste(examples: Examples, landmarks: torch.Tensor, root: torch.Tensor, strengths: Strengths) -> Taste:
    """Return what gives ratings: least squares on both kinds of photographs, logistic on pairs, ridge.

    Args:
        examples: what to fit to.
        landmarks: which of them may be used, places.
        root: from nearness to these to independent numbers, (landmarks, numbers).
        strengths: of the parts of the loss.

    """
    middle, spread = examples.scores.mean(), examples.scores.std()
    root = root * strengths.nearness

    def numbers(seen: Seen) -> torch.Tensor:
        """(...) to (all, PLACED + numbers)."""
        both = torch.cat([seen.placed, seen.near[..., landmarks] @ root], -1)
        return both.reshape(-1, both.shape[-1])

    rated, unrated = numbers(examples.rated), numbers(examples.unrated)
    drops = torch.cat([numbers(each) for each in examples.drops])
    wanted = _repeated((examples.scores - middle) / spread, examples.rated.placed)
    said = _repeated((examples.said - middle) / spread, examples.unrated.placed)
    count = len(examples.scores)
    share = strengths.unlabelled * len(examples.said) / count
    by_pair = _weigh(examples.kinds, strengths.pair_weights)  # (pairs,)

    def loss(weights: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        errors = (rated @ weights + bias - wanted).square().mean()
        beside = (unrated @ weights + bias - said).square().mean() * share
        drop = (softplus((strengths.margin - drops @ weights) * 4.0) * by_pair).mean() / 4.0
        return errors + beside + strengths.pairs * drop + strengths.ridge / count * weights.square().sum()

    weights, bias = _minimise(loss, drops.shape[-1], drops.device)
    near = np.zeros(examples.rated.near.shape[-1])
    near[landmarks.cpu().numpy()] = root.double().cpu().numpy() @ weights[PLACED:]
    return Taste(weights[:PLACED] * spread, near * spread, float(bias * spread + middle))


def fit_technical(views: Views, placed: torch.Tensor, ridge: float) -> tuple[np.ndarray, float]:
    """Return weights and bias of a logit: near 1 for what is as it was, .5 at medium damage, .25 at strong.

    Order counts most: each copy below its photograph. A line through what came of it then gives the levels.

    Args:
        views: of photographs.
        placed: their features in a space, (photographs, views, PLACED).
        ridge: of the weights.

    """
    clean = [at for at, name in enumerate(views.names) if name in CLEAN]
    spoilt = [at for at, name in enumerate(views.names) if name in TECHNICAL]
    good, bad = placed[:, clean].flatten(0, 1), placed[:, spoilt]
    targets = torch.from_numpy(1.0 - views.strengths[:, spoilt] / 2.0).flatten().to(placed.device)
    drops = (placed[:, :1] - bad).flatten(0, 1)
    bad = bad.flatten(0, 1)

    sound = torch.full((len(good),), 0.98, device=placed.device)

    def level(weights: torch.Tensor, bias: torch.Tensor, spoilt: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        below = binary_cross_entropy_with_logits(spoilt @ weights + bias, targets)
        return below + binary_cross_entropy_with_logits(whole @ weights + bias, sound)

    def loss(weights: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        order = softplus(4.0 - drops @ weights).mean()
        return level(weights, bias, bad, good) + 100.0 * order + ridge * weights.square().sum()

    weights, _ = _minimise(loss, placed.shape[-1], placed.device, steps=150)
    line = torch.from_numpy(weights).float().to(placed.device)[:, None]
    slope, bias = _minimise(lambda scale, shift: level(scale, shift, bad @ line, good @ line), 1, placed.device)
    return weights * slope[0], bias


def pair_drops(views: Views, seen: Seen) -> Seen:
    """Return what each spoilt view lost against the whole picture, (photographs, spoilt views)."""
    spoilt = [at for at, name in enumerate(views.names) if name in ALL_DAMAGES]
    return seen.map(lambda values: values[:, :1] - values[:, spoilt])


def pair_kinds(views: Views, photographs: int) -> torch.Tensor:
    """Return the damage of each of these pairs, a place in ALL_DAMAGES, (pairs,)."""
    kinds = [ALL_DAMAGES.index(name) for name in views.names if name in ALL_DAMAGES]
    return torch.tensor(kinds).repeat(photographs)


def clean_views(views: Views, seen: Seen) -> Seen:
    return seen[:, [at for at, name in enumerate(views.names) if name in CLEAN]]


def _weigh(kinds: torch.Tensor, weights: Mapping[str, float]) -> torch.Tensor:
    """Return the weight of each pair, (pairs,)."""
    return torch.tensor([weights.get(name, 1.0) for name in ALL_DAMAGES], device=kinds.device)[kinds]


def _repeated(values: np.ndarray, views: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.repeat(values, views.shape[1]).astype(np.float32)).to(views.device)


def _minimise(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], width: int, device: torch.device, steps: int = 60
) -> tuple[np.ndarray, float]:
    """Minimise a convex loss of weights and bias from zero: no seed, the same answer each time."""
    weights, bias = (torch.zeros(shape, device=device, requires_grad=True) for shape in (width, ()))
    optimiser = torch.optim.LBFGS(
        [weights, bias], max_iter=steps, history_size=20, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss(weights, bias)
        value.backward()
        return value

    optimiser.step(closure)
    return weights.detach().double().cpu().numpy(), float(bias.detach())
