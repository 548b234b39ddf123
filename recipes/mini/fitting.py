"""Everything that the heads are fitted to, placed once, and the fits."""

from dataclasses import replace

import numpy as np
import torch
from damage_head import BARE, RAMPS, Schedule, Spoilt, cross_fit, fit_damage_heads, tell_damages
from heads import (
    AXES,
    Examples,
    Overall,
    Seen,
    Space,
    Strengths,
    Taste,
    clean_views,
    fit_taste,
    fit_technical,
    pair_drops,
    pair_kinds,
)
from landmarks import Landmarks, inverse_root
from network import find_group
from ratings import Ratings, folds_of
from teachers import fit_teacher, gaussian_kernel, linear_kernel
from usual import Usual, fit_usual
from views import Views

TECHNICAL_RIDGE = 1e-4
# How much the teacher hears of a linear kernel and of the MobileNets, beside nearness on the axes of landmarks; how
# wide its Gaussians are on these and on the MobileNets, in median squared distances.
LINEAR, OTHERS = 0.3, 0.5
KERNEL_WIDTHS = 1.0, 2.0
DAMAGE_SEED = 0  # of the folds in which damage is told of photographs that were not learnt from


class Fitting:
    """Views of both kinds of photographs as the heads see them."""

    def __init__(
        self,
        ratings: Ratings,
        rated: Views,
        unrated: Views,
        teachers: dict[str, np.ndarray],
        strengths: Strengths,
        device: torch.device,
    ) -> None:
        self.ratings, self.rated, self.unrated, self.strengths = ratings, rated, unrated, strengths
        self.device = device
        self.space = Space.of(unrated.features)
        self.landmarks = Landmarks.of(self.space, rated.features[:, 0], unrated.features[:, 0])
        placed, placed_rated = (self.space.place(each.features).to(device) for each in (unrated, rated))
        self.technical = fit_technical(unrated, placed, TECHNICAL_RIDGE)
        spoilt, spoilt_rated = self._spoilt(unrated, placed), self._spoilt(rated, placed_rated)
        self.damages = fit_damage_heads(spoilt, spoilt_rated, Schedule())
        folds = folds_of(ratings.themes, DAMAGE_SEED)
        told = cross_fit(spoilt, spoilt_rated, folds, Schedule())
        self.seen_unrated = self._see(placed, unrated.features, tell_damages(self.damages, placed))
        self.seen_rated = self._see(placed_rated, rated.features, told)
        root = self._root(np.arange(len(self.landmarks.places)))
        self.usual = self._fit_usual(np.arange(len(folds)), root)
        self.seen_rated = self._cross_usual(folds, root)
        self.kernel = self._teacher_kernel(teachers)

    def see(self, features: np.ndarray) -> Seen:
        """Return what the heads see of views, (..., FEATURES) to (...)."""
        placed = self.space.place(features).to(self.device)
        seen = self._see(placed, features, tell_damages(self.damages, placed))
        return replace(seen, usual=self.usual(seen))

    def logit(self, placed: torch.Tensor) -> torch.Tensor:
        """Return the logit of `technical`, (..., PLACED) to (...)."""
        weights, bias = self.technical
        return placed @ torch.from_numpy(weights).float().to(placed.device) + bias

    def overall(self, rated: np.ndarray) -> Overall:
        """Fit `overall`, knowing only the ratings of the places `rated`."""
        whole = self.seen_rated[rated, 0]
        taken = RAMPS(whole.told.double().cpu().numpy(), whole.usual.double().cpu().numpy())
        return Overall(self.taste(rated), replace(RAMPS, average=float(taken.mean())))

    def taste(self, rated: np.ndarray) -> Taste:
        """Fit taste, knowing only the ratings of the places `rated`."""
        count = len(self.ratings.scores)
        said = fit_teacher(self.kernel, rated, self.ratings.scores[rated])
        seen = self.seen_rated[rated]
        kinds = [pair_kinds(self.rated, len(rated)), pair_kinds(self.unrated, len(said) - count)]
        examples = Examples(
            rated=clean_views(self.rated, seen),
            scores=self.ratings.scores[rated],
            unrated=clean_views(self.unrated, self.seen_unrated),
            said=said[count:],
            drops=(pair_drops(self.rated, seen), pair_drops(self.unrated, self.seen_unrated)),
            kinds=torch.cat(kinds).to(self.device),
        )
        used = np.concatenate([rated, np.arange(count, len(self.landmarks.places))])
        return fit_taste(examples, torch.from_numpy(used).to(self.device), self._root(used), self.strengths)

    def _root(self, landmarks: np.ndarray) -> torch.Tensor:
        """Return what makes nearness to these landmarks, places, into independent numbers."""
        places = torch.from_numpy(self.landmarks.places).to(self.device)
        return inverse_root(self.landmarks.nearness(places)[landmarks][:, landmarks])

    def _see(self, placed: torch.Tensor, features: np.ndarray, told: torch.Tensor) -> Seen:
        lacking = -self.logit(placed)[..., None]
        told = torch.cat([told, self._corners(features), lacking], -1)
        return Seen(placed, self._nearness(features), told, torch.zeros_like(told))

    def _fit_usual(self, learnt: np.ndarray, root: torch.Tensor) -> Usual:
        """Learn what is usual from all photographs without ratings, and the places `learnt` of those with."""
        root = root * self.strengths.nearness
        unrated, rated = self.seen_unrated, self.seen_rated[learnt]
        taken = [RAMPS.rise(each.told[:, 0].double().cpu().numpy()) for each in (unrated, rated)]
        return fit_usual(clean_views(self.unrated, unrated), clean_views(self.rated, rated), taken, root)

    def _cross_usual(self, folds: np.ndarray, root: torch.Tensor) -> Seen:
        """Return rated photographs with what is usual for them, told by photographs of other folds."""
        usual = torch.empty_like(self.seen_rated.usual)
        for fold in np.unique(folds):
            told = np.flatnonzero(folds == fold)
            usual[told] = self._fit_usual(np.flatnonzero(folds != fold), root)(self.seen_rated[told])
        return replace(self.seen_rated, usual=usual)

    def _spoilt(self, views: Views, placed: torch.Tensor) -> Spoilt:
        tilts = torch.tensor([name == "tilt" for name in views.names], device=self.device)
        counted = ~(tilts & (self._corners(views.features)[..., 0] > BARE[0]))
        return Spoilt(views.names, torch.from_numpy(views.strengths).to(self.device), counted, placed)

    def _corners(self, features: np.ndarray) -> torch.Tensor:
        """Return how bare corners are, (..., 1)."""
        return torch.from_numpy(features[..., find_group("corners")]).float().to(self.device)

    def _nearness(self, features: np.ndarray) -> torch.Tensor:
        return self.landmarks.nearness(self.landmarks.place(features).to(self.device))

    def _teacher_kernel(self, teachers: dict[str, np.ndarray]) -> np.ndarray:
        """Return the kernel between all photographs, rated ones first, (photographs, photographs)."""
        whole = np.concatenate([self.rated.features[:, 0], self.unrated.features[:, 0]])
        own = gaussian_kernel(self.landmarks.place(whole).double().numpy(), KERNEL_WIDTHS[0])
        linear = linear_kernel(self.space.place(whole).double().numpy()[:, :AXES])
        others = np.concatenate([_standard(features) for features in teachers.values()], 1)
        return np.asarray(own + LINEAR * linear + OTHERS * gaussian_kernel(others, KERNEL_WIDTHS[1]))


def _standard(features: np.ndarray) -> np.ndarray:
    """Return features (photographs, features) of one deviation each, and of one squared length on average."""
    placed = (features.astype(np.float64) - features.mean(0)) / (features.std(0) + 1e-6)
    return np.asarray(placed / np.sqrt(np.square(placed).sum(1).mean()))
