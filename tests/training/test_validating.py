import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aescli.errors import AesError, UsageError
from aescli.metrics import srcc
from aescli.models.trained_head import Head
from aescli.training import validating
from aescli.training.candidates import fit_small_network
from aescli.training.groups import assign_folds, assign_outer_folds
from aescli.training.linear import STRENGTHS, find_basis, fit_ridge
from aescli.training.network import SETTINGS, Setting
from aescli.training.targets import Targets
from aescli.training.validating import check_parts, cross_validate, fit_final, permute_groups


def rated(count: int) -> Targets:
    return Targets(("overall",), np.random.default_rng(0).normal(size=(count, 1)))


def compared(count: int, pairs: list[tuple[int, int]]) -> Targets:
    return Targets(("overall",), np.zeros((count, 1)), pairs=np.array(pairs))


@pytest.mark.parametrize(
    ("sizes", "folds", "hint"),
    [((15, 15), 2, "three groups are the least"), ((10, 10, 10), 2, "--folds 3"), ((30, 3, 3, 4), 2, "--folds 3"),
     ((40,), 5, "three groups are the least"), ((20, 20), 5, "three groups are the least"),
     ((9, 9, 9), 5, "--folds 3")],
)  # fmt: skip
def test_too_few_groups_for_the_choices_within(sizes: tuple[int, ...], folds: int, hint: str) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    with pytest.raises(UsageError, match="groups are too few for") as raised:
        check_parts(rated(len(groups)), groups, folds, 0)
    assert hint in (raised.value.hint or "")
    if len(sizes) > 2:
        check_parts(rated(len(groups)), groups, 3, 0)  # what the hint says works


def test_the_hubs_of_comparisons_cannot_be_held_out() -> None:
    star = compared(40, [(0, at) for at in range(1, 40)])
    two_hubs = compared(40, [(at % 2, at) for at in range(2, 40)])
    for targets in (star, two_hubs):
        with pytest.raises(AesError, match="hang on too few pictures"):
            check_parts(targets, np.arange(40), 5, 0)
    check_parts(compared(40, [(at, at + 1) for at in range(39)]), np.arange(40), 5, 0)


@pytest.mark.filterwarnings("error")
def test_a_part_of_one_picture_is_learnt_from_too() -> None:
    groups = np.array([0] * 18 + [1, 2])
    features = np.random.default_rng(1).normal(size=(20, 6))
    found = cross_validate(features, rated(20), groups, 3, 0, lambda step: None)
    assert np.isfinite(found.predicted).all()
    head, _ = fit_final(features, rated(20), groups, 0, lambda step: None)
    assert np.isfinite(head.rate(features)).all()


@pytest.mark.parametrize(("pictures", "fitted"), [(60, 2), (400, 3)])
def test_networks_that_see_the_same_are_fitted_once(
    monkeypatch: pytest.MonkeyPatch, pictures: int, fitted: int
) -> None:
    """Few pictures have fewer components than two of the settings take."""
    asked: list[Setting] = []

    def counted(components: np.ndarray, targets: Targets, setting: Setting, seed: int) -> Head:
        asked.append(setting)
        return fit_small_network(components, targets, setting, seed)

    monkeypatch.setattr(validating, "fit_small_network", counted)
    features = np.random.default_rng(1).normal(size=(pictures, 300))
    fit_final(features, rated(pictures), np.arange(pictures), 0, lambda step: None)
    assert asked[: 3 * fitted] == [*SETTINGS[:fitted]] * 3  # in each of three inner folds
    assert len(asked) <= 3 * fitted + 1  # and what was chosen, on all


def test_each_shuffled_copy_takes_the_strength_that_orders_it_best() -> None:
    features, targets, groups = np.random.default_rng(1).normal(size=(60, 20)), rated(60), np.arange(60)
    found = cross_validate(features, targets, groups, 3, 0, lambda step: None)
    place, chance = assign_outer_folds(groups, 3, 0), np.random.default_rng(0 + 2)
    copies = np.column_stack([targets.scores[permute_groups(groups, chance), 0] for _ in range(100)])
    for fold, choice in enumerate(found.choices):
        rows = np.flatnonzero(place != fold)
        inner, said = assign_folds(groups[rows], 3, 1), np.zeros((len(STRENGTHS), len(rows), 100))
        for part in range(3):
            known, unseen = rows[inner != part], rows[inner == part]
            basis = find_basis(features[known])
            for at, strength in enumerate(STRENGTHS):
                weight, bias = fit_ridge(basis, basis.project(features[known]), copies[known], strength)
                said[at, inner == part] = basis.project(features[unseen]) @ weight.T + bias
        assert len(set(choice.shuffled)) > 1
        for at, strength in enumerate(choice.shuffled):
            agreement = [srcc(each[:, at], copies[rows, at]) or 0.0 for each in said]
            assert agreement[STRENGTHS.index(strength)] == pytest.approx(max(agreement), abs=1e-12)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(0, 9))
def test_a_group_takes_the_labels_of_one_group(listed: list[int], seed: int) -> None:
    groups = np.array(listed)
    found = permute_groups(groups, np.random.default_rng(seed))
    givers = []
    for group in np.unique(groups):
        taken = found[groups == group]
        (giver,) = set(groups[taken].tolist())
        givers.append(giver)
        assert len(set(taken.tolist())) == len(taken) or len(taken) > np.sum(groups == giver)
    assert sorted(givers) == np.unique(groups).tolist()


@pytest.mark.parametrize("sizes", [(8,) * 10, (40, 20, 8) + (2,) * 6])
@pytest.mark.parametrize("kind", ["scores", "pairs", "pairs inside"])
def test_chance_reaches_as_far_where_labels_hang_together(kind: str, sizes: tuple[int, ...]) -> None:
    """Labels of groups that look alike, and comparisons that twenty people repeat, say nothing of features here."""
    outside = 0
    for seed in range(20):
        chance = np.random.default_rng(seed)
        groups, count = np.repeat(np.arange(len(sizes)), sizes), sum(sizes)
        features = chance.normal(size=(len(sizes), 12))[groups] + 0.1 * chance.normal(size=(count, 12))
        if kind == "scores":
            scores = chance.normal(size=len(sizes))[groups] + 0.1 * chance.normal(size=count)
            targets = Targets(("overall",), scores[:, None])
        elif kind == "pairs":
            groups, features = np.arange(count), chance.normal(size=(count, 12))
            pairs = chance.integers(0, count, (40, 2))
            targets = compared(count, [tuple(pair) for pair in pairs for _ in range(20)])
        else:  # people like, in each group, what lies along a direction of its own
            worth = (features * chance.normal(size=(len(sizes), 12))[groups]).sum(1)
            drawn = [chance.choice(np.flatnonzero(groups == each), 2) for each in groups for _ in range(2)]
            targets = compared(
                count,
                [(one, other) if worth[one] > worth[other] else (other, one) for one, other in drawn if one != other],
            )
        found = cross_validate(features, targets, groups, 3, seed, lambda step: None)
        low, high = np.quantile(found.chance, (0.025, 0.975))
        outside += not low <= targets.agreement(found.by_kind["ridge"][:, 0]) <= high
    assert outside <= 4  # one of twenty is expected
