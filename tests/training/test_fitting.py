"""The two heads: each equals what it stands for, and learns what is there to learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aescli.models.trained_head import softmax
from aescli.training.candidates import fit_linear, fit_small_network, rate, unfold
from aescli.training.linear import find_basis, fit_comparisons, fit_ridge
from aescli.training.losses import ComparisonLoss, Loss, SquaredLoss, VotesLoss
from aescli.training.network import Setting, fit_network
from aescli.training.targets import Targets, order_share

SETTING = Setting(8, 0.01)


def features(count: int, width: int, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    found = chance.normal(3, 1, (count, width)) * chance.uniform(0.1, 9, width)
    found[:, 0] = 4.0  # a feature that never changes
    return found


@given(count=st.integers(5, 40), width=st.integers(2, 40), strength=st.floats(0.01, 10), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_ridge_is_ridge(count: int, width: int, strength: float, seed: int) -> None:
    x = features(count, width, seed)
    y = np.random.default_rng(seed).normal(size=(count, 2))
    basis = find_basis(x)
    weight, bias = basis.unfold(fit_ridge(basis, basis.project(x), y, strength))
    deviation = x.std(0)
    changing = deviation > 0
    standard = (x - x.mean(0))[:, changing] / deviation[changing]
    penalty = strength * width * np.eye(changing.sum())
    expected = (
        np.linalg.solve(standard.T @ standard + penalty, standard.T @ (y - y.mean(0))) / deviation[changing, None]
    )
    assert pytest.approx(expected, rel=1e-6, abs=1e-9) == weight[:, changing].T
    assert not weight[:, ~changing].any()
    assert x.mean(0) @ weight.T + bias == pytest.approx(y.mean(0))


def test_comparisons_are_a_logistic_regression() -> None:
    x = features(30, 6)
    pairs = np.random.default_rng(1).integers(0, 30, (80, 2))
    basis = find_basis(x)
    z = basis.project(x)
    weight, _ = fit_comparisons(basis, z, pairs, 0.3)
    used = z[:, : weight.shape[1]]
    difference = used[pairs[:, 0]] - used[pairs[:, 1]]

    def loss(weights: np.ndarray) -> float:
        return float(np.logaddexp(0, -difference @ weights).sum() + 0.3 * 6 / 8 * weights @ weights)

    best = loss(weight[0])
    for step in np.eye(weight.shape[1]) * 1e-3:
        assert loss(weight[0] + step) > best
        assert loss(weight[0] - step) > best


def value(loss: Loss, said: np.ndarray, batch: np.ndarray) -> float:
    """Return the loss itself, of what its slope says it is."""
    match loss:
        case VotesLoss():
            moved = np.cumsum(softmax(said[:, :4]) - VOTES[batch], 1)
            return float((moved**2).sum(1).mean() + ((said[:, 4:] - OTHERS[batch]) ** 2).sum(1).mean())
        case ComparisonLoss():
            won, lost = np.split(said, 2)
            return float(np.logaddexp(0, lost - won).mean())
        case _:
            return float(((said - OTHERS[batch]) ** 2).sum(1).mean())


VOTES = softmax(np.random.default_rng(2).normal(size=(9, 4)))
OTHERS = np.random.default_rng(3).normal(size=(9, 2))
PAIRS = np.random.default_rng(4).integers(0, 9, (9, 2))


@pytest.mark.parametrize("loss", [SquaredLoss(OTHERS), VotesLoss(VOTES, OTHERS), ComparisonLoss(PAIRS)])
def test_slopes_are_those_of_the_loss(loss: Loss) -> None:
    batch = np.array([1, 4, 8])
    said = np.random.default_rng(5).normal(size=(len(loss.rows(batch)), loss.outputs))
    slope = loss.slope(said, batch)
    for place in np.ndindex(said.shape):
        step = np.zeros_like(said)
        step[place] = 1e-6
        expected = (value(loss, said + step, batch) - value(loss, said - step, batch)) / 2e-6
        assert slope[place] == pytest.approx(expected, abs=1e-6)


def test_a_network_learns_what_no_line_can() -> None:
    x = np.random.default_rng(0).normal(size=(400, 4))
    y = np.abs(x[:, :1]) + np.abs(x[:, 1:2])
    targets = Targets(("overall",), y)
    basis = find_basis(x)
    z = basis.project(x)
    network, line = fit_small_network(z, targets, SETTING, 0), fit_linear(basis, z, targets, (0.01,))
    assert targets.agreement(rate(network, z)[:, 0]) > 0.9
    assert targets.agreement(rate(line, z)[:, 0]) < 0.4


@pytest.mark.parametrize("kind", ["scores", "votes", "pairs"])
def test_a_head_says_the_same_of_features_as_of_their_components(kind: str) -> None:
    x = features(40, 12)
    y = (x[:, 1] / x[:, 1].std())[:, None]
    levels = np.arange(1, 6.0)
    votes = softmax(-((levels - 3 - 0.5 * (y - y.mean())) ** 2))
    pairs = np.array([(a, b) for a in range(40) for b in range(40) if y[a] > y[b]])
    targets = {
        "scores": Targets(("overall", "light"), np.hstack([y, 5 - 2 * y])),
        "votes": Targets(("overall", "light"), np.hstack([votes @ levels[:, None], 5 - 2 * y]), votes, tuple(levels)),
        "pairs": Targets(("overall",), np.zeros((40, 1)), pairs=pairs),
    }[kind]
    basis = find_basis(x)
    z = basis.project(x)
    strengths = (0.03,) * len(targets.dimensions)
    for head in (fit_linear(basis, z, targets, strengths), fit_small_network(z, targets, SETTING, 1)):
        found = rate(head, z)
        assert unfold(head, basis).rate(x) == pytest.approx(found, rel=1e-6, abs=1e-8)
        assert targets.agreement(found[:, 0]) > 0.9
        if kind != "pairs":
            assert np.corrcoef(found[:, 1], targets.scores[:, 1])[0, 1] > 0.9
            assert found.mean(0) == pytest.approx(targets.scores.mean(0), rel=0.2)


def test_a_network_has_the_weights_that_it_always_had() -> None:
    """Weights shrink, biases do not; the numbers are of a loop over the four arrays one by one."""
    chance = np.random.default_rng(0)
    inputs = chance.normal(size=(90, 6))
    targets = np.column_stack([inputs[:, 0] + 0.3, np.abs(inputs[:, 1])])
    (first, first_bias), (second, second_bias) = fit_network(inputs, SquaredLoss(targets), Setting(128, 5.0), 3)
    found = [first.sum(), np.abs(first).sum(), first_bias.sum(), np.abs(second).sum(), *second_bias]
    expected = [2.5808539036, 27.9501185777, 8.3941089349, 4.9958082226, 0.1646574863, 0.1392667533]
    assert found == pytest.approx(expected, abs=1e-8)


def test_fewer_items_than_a_batch() -> None:
    x = np.random.default_rng(0).normal(size=(7, 3))
    first, second = fit_network(x, SquaredLoss(x[:, :1]), Setting(128, 0.0), 0)
    assert first[0].shape == (32, 3)
    assert np.isfinite(second[0]).all()


def test_taking_pictures_takes_their_comparisons() -> None:
    targets = Targets(("overall",), np.zeros((5, 1)), pairs=np.array([[0, 1], [4, 2], [2, 0]]))
    pairs = targets.take(np.array([0, 2, 4])).pairs
    assert pairs is not None
    assert pairs.tolist() == [[2, 1], [1, 0]]
    assert order_share(np.array([1.0, 1.0, 0.0]), np.array([[0, 1], [0, 2]])) == 0.75
