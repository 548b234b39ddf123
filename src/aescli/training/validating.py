"""Cross-validation inside cross-validation: every choice is made within the training folds.

For each fold, strength, setting and kind of head are chosen by three inner folds of the other folds' pictures; then the
fold's own pictures, which no choice has seen, are predicted. Shuffled copies of the labels go the same way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from aescli.errors import AesError
from aescli.metrics import plcc_rows, rank, srcc
from aescli.models.trained_head import Head
from aescli.training.candidates import fit_linear, fit_small_network, rate, unfold
from aescli.training.groups import assign_folds, assign_outer_folds
from aescli.training.linear import STRENGTHS, Basis, find_basis, fit_comparisons, fit_ridge
from aescli.training.network import SETTINGS, Setting
from aescli.training.progress import Progress, Tell
from aescli.training.targets import Targets

KINDS = ("ridge", "mlp")

_INNER_FOLDS = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """What inner folds chose, and the agreement that they saw for each kind of head."""

    kind: str
    strengths: tuple[float, ...]
    setting: Setting
    agreement: dict[str, float]
    shuffled: tuple[float, ...] = ()  # strengths for the shuffled copies of the labels


@dataclass(frozen=True, slots=True)
class Validation:
    """Predictions for pictures by heads that have not seen them.

    Args:
        predicted: of what was chosen in each fold, (pictures, dimensions).
        by_kind: of each kind of head alone, (pictures, dimensions).
        chance: agreement of ridges that were trained on shuffled labels, one for each shuffle.
        choices: of each fold.

    """

    predicted: np.ndarray
    by_kind: dict[str, np.ndarray]
    chance: np.ndarray
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class _Sample:
    """What every fold shares: features, targets and groups of all pictures, and shuffled copies of the labels."""

    features: np.ndarray
    targets: Targets
    groups: np.ndarray
    shuffles: Sequence[np.ndarray]
    seed: int


@dataclass(slots=True)
class _Found:
    """Predictions that are filled in fold by fold."""

    chosen: np.ndarray
    by_kind: dict[str, np.ndarray]
    shuffled: np.ndarray
    done: np.ndarray
    choices: list[Choice] = field(default_factory=list)


def check_parts(targets: Targets, groups: np.ndarray, folds: int, seed: int) -> None:
    """Refuse targets that cannot be learnt while a part of them is held out; `cross_validate` takes the same parts.

    Raises:
        UsageError: there are too few groups for these folds.
        AesError: comparisons hang on so few pictures that without some of them none is left.

    """
    for rows in _training_parts(groups, folds, seed):
        pairs = targets.take(rows).pairs
        if pairs is not None and not len(pairs):
            raise AesError(
                "the comparisons hang on too few pictures: with some held out, no comparison is left to learn from",
                hint="compare more of the pictures with each other",
            )


def cross_validate(
    features: np.ndarray, targets: Targets, groups: np.ndarray, folds: int, seed: int, tell: Tell
) -> Validation:
    """Predict every picture by heads that were trained and chosen without its fold.

    Args:
        features: (pictures, width).
        targets: of the same pictures.
        groups: which are never parted, (pictures,).
        folds: at least two.
        seed: of folds, networks and shuffles.
        tell: is told the agreement so far, fold by fold.

    Raises:
        UsageError: there are too few groups for the folds.
        AesError: a part has no comparison to learn from.

    """
    check_parts(targets, groups, folds, seed)
    place = assign_outer_folds(groups, folds, seed)
    count, dimensions = targets.scores.shape
    shuffles = _shuffle(targets, groups, seed)
    empty = np.zeros((count, dimensions))
    found = _Found(
        empty, {kind: empty.copy() for kind in KINDS}, np.zeros((count, len(shuffles))), np.zeros(count, bool)
    )
    sample = _Sample(features, targets, groups, shuffles, seed)
    tell(Progress("folds", 0, folds))
    for fold in range(folds):
        _run_fold(sample, place != fold, found)
        so_far = np.flatnonzero(found.done)
        agreement = targets.take(so_far).agreement(found.chosen[so_far, 0])
        tell(Progress("folds", fold + 1, folds, agreement, targets.measure))
    pairs = zip(shuffles, found.shuffled.T, strict=True)
    chance = [_agreement_of_shuffle(targets, shuffle, column) for shuffle, column in pairs]
    return Validation(found.chosen, found.by_kind, np.array(chance), tuple(found.choices))


def fit_final(features: np.ndarray, targets: Targets, groups: np.ndarray, seed: int, tell: Tell) -> tuple[Head, Choice]:
    """Choose by inner folds of all pictures, and fit what was chosen on all of them.

    Returns:
        A head over raw features, and what it is.

    """
    tell(Progress("fitting", 0, 1))
    choice = _choose(features, targets, groups, [], seed)
    basis = find_basis(features)
    head = _fit(choice.kind, choice, basis, basis.project(features), targets, seed)
    tell(Progress("fitting", 1, 1))
    return unfold(head, basis), choice


def _training_parts(groups: np.ndarray, folds: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the rows of every part that something is fitted to."""
    place = assign_outer_folds(groups, folds, seed)
    outer = [np.flatnonzero(place != fold) for fold in range(folds)]
    yield from outer
    for rows in (*outer, np.arange(len(groups))):
        inner = _assign_inner_folds(groups[rows], seed)
        yield from (rows[inner != fold] for fold in range(inner.max() + 1))


def _run_fold(sample: _Sample, inside: np.ndarray, found: _Found) -> None:
    features, targets, seed = sample.features, sample.targets, sample.seed
    rows, held_out = np.flatnonzero(inside), np.flatnonzero(~inside)
    known = targets.take(rows)
    copies = [_take_shuffle(targets, shuffle, rows) for shuffle in sample.shuffles]
    choice = _choose(features[rows], known, sample.groups[rows], copies, seed)
    basis = find_basis(features[rows])
    components, unseen = basis.project(features[rows]), basis.project(features[held_out])
    for kind in KINDS:
        found.by_kind[kind][held_out] = rate(_fit(kind, choice, basis, components, known, seed), unseen)
    found.chosen[held_out] = found.by_kind[choice.kind][held_out]
    for at, (copy, strength) in enumerate(zip(copies, choice.shuffled, strict=True)):
        found.shuffled[held_out, at] = _fit_shuffled(basis, components, copy, strength, unseen)
    found.done[held_out] = True
    found.choices.append(choice)


def _choose(
    features: np.ndarray, targets: Targets, groups: np.ndarray, copies: Sequence[np.ndarray], seed: int
) -> Choice:
    """Choose strengths, setting and kind by inner folds."""
    place = _assign_inner_folds(groups, seed)
    count, dimensions = targets.scores.shape
    linear = np.zeros((len(STRENGTHS), count, dimensions))
    network = np.zeros((len(SETTINGS), count))
    shuffled = np.zeros((len(STRENGTHS), count, len(copies)))
    for fold in range(place.max() + 1):
        rows, held_out = np.flatnonzero(place != fold), np.flatnonzero(place == fold)
        basis, known = find_basis(features[rows]), targets.take(rows)
        components, unseen = basis.project(features[rows]), basis.project(features[held_out])
        for at, strength in enumerate(STRENGTHS):
            head = fit_linear(basis, components, known, (strength,) * dimensions)
            linear[at, held_out] = rate(head, unseen)
            if targets.pairs is None and copies:
                weight, bias = fit_ridge(basis, components, np.column_stack([copy[rows] for copy in copies]), strength)
                shuffled[at, held_out] = unseen @ weight.T + bias
        fitted: dict[tuple[int, float], np.ndarray] = {}  # of few pictures several settings see the same components
        for at, setting in enumerate(SETTINGS):
            same = min(setting.components, components.shape[1]), setting.decay
            if same not in fitted:
                fitted[same] = rate(fit_small_network(components, known, setting, seed), unseen)[:, 0]
            network[at, held_out] = fitted[same]
    by_strength = np.array([[_agree(targets, each, at) for at in range(dimensions)] for each in linear])
    by_setting = [targets.agreement(each) for each in network]
    best = by_strength.argmax(0)
    agreement = {"ridge": float(by_strength[best[0], 0]), "mlp": max(by_setting)}
    return Choice(
        kind="ridge" if agreement["ridge"] >= agreement["mlp"] else "mlp",
        strengths=tuple(STRENGTHS[at] for at in best),
        setting=SETTINGS[int(np.argmax(by_setting))],
        agreement=agreement,
        shuffled=_best_of_shuffled(targets, copies, shuffled, best),
    )


def _assign_inner_folds(groups: np.ndarray, seed: int) -> np.ndarray:
    return assign_folds(groups, min(_INNER_FOLDS, len(np.unique(groups))), seed + 1)


def _fit(kind: str, choice: Choice, basis: Basis, components: np.ndarray, targets: Targets, seed: int) -> Head:
    if kind == "ridge":
        return fit_linear(basis, components, targets, choice.strengths)
    return fit_small_network(components, targets, choice.setting, seed)


def _agree(targets: Targets, predicted: np.ndarray, dimension: int) -> float:
    if dimension == 0:
        return targets.agreement(predicted[:, 0])
    return srcc(predicted[:, dimension], targets.scores[:, dimension]) or 0.0  # undefined: it says nothing


def _shuffle(targets: Targets, groups: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return copies in which labels say nothing of pictures: of `overall`, (pictures,); of comparisons, (pairs, 2).

    What hangs together goes on doing so, or chance would reach less than it does: labels of a group go to one group.
    Comparisons inside of groups are all turned round in half of these; of others other pictures have a part, and who
    was compared with whom, how often, stays.
    """
    chance = np.random.default_rng(seed + 2)
    if targets.pairs is None:
        copies = 100 if len(targets.scores) <= 20_000 else 20
        return [targets.scores[permute_groups(groups, chance), 0] for _ in range(copies)]
    copies = 40 if len(targets.pairs) <= 2_000 else 20  # Newton's method takes a while
    _, ends = np.unique(groups[targets.pairs], return_inverse=True)
    one, other = ends.reshape(-1, 2).T
    if (one == other).all():
        turned = chance.random((copies, one.max() + 1)) < 0.5
        return [np.where(each[one, None], targets.pairs[:, ::-1], targets.pairs) for each in turned]
    return [_permute_pictures(groups, chance)[targets.pairs] for _ in range(copies)]


def permute_groups(groups: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Return whose label each picture takes, (pictures,): those of a group from one group, which each gives once.

    Where that is smaller its labels are taken several times: cut out of many groups, labels of a large one would hang
    together less than they do.
    """
    names, place = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(place == at) for at in range(len(names))]
    found = np.empty(len(place), int)
    for mine, giver in zip(members, chance.permutation(len(names)), strict=True):
        theirs = members[giver]
        found[mine] = chance.choice(theirs, len(mine), replace=len(theirs) < len(mine))
    return found


def _permute_pictures(groups: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Return another picture for each, (pictures,), those of a group from one group as far as their sizes allow."""
    names, place = np.unique(groups, return_inverse=True)

    def line_up() -> np.ndarray:
        return np.lexsort((chance.random(len(place)), chance.permutation(len(names))[place]))

    found = np.empty(len(place), int)
    found[line_up()] = line_up()
    return found


def _take_shuffle(targets: Targets, shuffle: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if targets.pairs is None:
        return np.asarray(shuffle[rows])
    pairs = Targets(targets.dimensions, targets.scores, pairs=shuffle).take(rows).pairs
    return np.zeros((0, 2), int) if pairs is None else pairs


def _best_of_shuffled(
    targets: Targets, copies: Sequence[np.ndarray], predicted: np.ndarray, best: np.ndarray
) -> tuple[float, ...]:
    """Return the strength that inner folds choose for each shuffled copy; comparisons take that of the true ones.

    Args:
        targets: of the pictures.
        copies: of the labels of `overall`, (pictures,) each.
        predicted: by each strength, (strengths, pictures, copies).
        best: place of the strength that is chosen for each true dimension.

    """
    if targets.pairs is not None or not copies:
        return (STRENGTHS[int(best[0])],) * len(copies)
    ranks = rank(np.array(copies))  # (copies, pictures)
    agreement = [np.nan_to_num(plcc_rows(rank(each.T), ranks)) for each in predicted]  # (copies,) each
    return tuple(STRENGTHS[at] for at in np.argmax(agreement, 0))


def _fit_shuffled(
    basis: Basis, components: np.ndarray, copy: np.ndarray, strength: float, unseen: np.ndarray
) -> np.ndarray:
    if copy.ndim == 2:
        weight, bias = fit_comparisons(basis, components, copy, strength)
    else:
        weight, bias = fit_ridge(basis, components, copy[:, None], strength)
    return np.asarray(unseen[:, : weight.shape[1]] @ weight[0] + bias[0])


def _agreement_of_shuffle(targets: Targets, shuffle: np.ndarray, predicted: np.ndarray) -> float:
    if targets.pairs is not None:
        return Targets(targets.dimensions, targets.scores, pairs=shuffle).agreement(predicted)
    return srcc(predicted, shuffle) or 0.0
