"""The word better is kept for what is: rules of validation and verdict."""

import numpy as np
import pytest

from aescli.metrics import srcc
from aescli.training import judging
from aescli.training.judging import Interval, judge, resample
from aescli.training.reports import say_verdict
from aescli.training.targets import Targets
from aescli.training.validating import cross_validate

CHANCE = np.random.default_rng(0)
PEOPLE = CHANCE.normal(size=200)
SCORES = Targets(("overall",), PEOPLE[:, None])
ALONE = np.arange(200)
SHUFFLED = CHANCE.normal(0, 0.07, 100)


def noisy(amount: float, seed: int) -> np.ndarray:
    return PEOPLE + np.random.default_rng(seed).normal(0, amount, 200)


def bounds(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def test_better_takes_an_interval_above_zero() -> None:
    good, fair, alike = noisy(0.3, 1), noisy(3.0, 2), noisy(0.3, 3)
    found = judge(SCORES, good, fair, SHUFFLED, ALONE, 0)
    assert found.better
    assert bounds(found.difference)[0] > 0
    assert say_verdict(found, "mini", "SRCC", leaks=False).startswith("better than mini alone")
    assert "better" not in say_verdict(found, "mini", "SRCC", leaks=True)
    for predicted, base in ((good, alike), (fair, good)):
        other = judge(SCORES, predicted, base, SHUFFLED, ALONE, 0)
        assert not other.better
        assert "better" not in say_verdict(other, "mini", "SRCC", leaks=False)


def test_without_a_base_chance_is_the_measure() -> None:
    assert judge(SCORES, noisy(0.5, 1), None, SHUFFLED, ALONE, 0).better
    nothing = judge(SCORES, CHANCE.normal(size=200), None, SHUFFLED, ALONE, 0)
    assert nothing.base is None
    assert not nothing.better
    flattered = judge(SCORES, noisy(0.5, 1), None, SHUFFLED + 2, ALONE, 0)  # shuffled labels do as well
    assert not flattered.better


def test_groups_that_are_drawn_whole_widen_the_interval() -> None:
    predicted = np.repeat(noisy(1.5, 1)[:20], 10)
    people = np.repeat(PEOPLE[:20], 10) + CHANCE.normal(0, 0.01, 200)
    targets = Targets(("overall",), people[:, None])
    apart, together = (
        judge(targets, predicted, None, SHUFFLED, groups, 0).agreement for groups in (ALONE, np.arange(200) // 10)
    )
    assert apart.value == together.value
    assert np.ptp(bounds(together)) > 1.5 * np.ptp(bounds(apart))


def test_of_few_groups_nothing_is_said() -> None:
    """Three groups that happen to lean one way are no proof, whatever the number of pictures."""
    found = judge(SCORES, noisy(0.3, 1), noisy(3.0, 2), SHUFFLED, ALONE % 3, 0)
    assert not found.better
    assert found.difference.low is None
    assert "3 groups are too few" in say_verdict(found, "mini", "SRCC", leaks=False)
    wide = bounds(judge(SCORES, noisy(0.3, 1), None, SHUFFLED, ALONE % 5, 0).agreement)
    plain = np.quantile(resample(PEOPLE, [noisy(0.3, 1)], ALONE % 5, 0), (0.025, 0.975))
    assert np.ptp(wide) > 1.2 * np.ptp(plain)  # by what Student's t is wider


def test_draws_hold_whole_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = ALONE % 7
    members = [np.flatnonzero(groups == group) for group in range(7)]
    series, chance = [noisy(0.3, 1), noisy(3.0, 2)], np.random.default_rng(5 + 3)
    monkeypatch.setattr(judging, "_AT_ONCE", 3 * 200)  # three draws, and one that is left over
    found = resample(PEOPLE, series, groups, 5)
    assert found.shape == (1000, 2)
    for row in found:
        places = np.concatenate([members[at] for at in chance.integers(7, size=7)])
        assert row == pytest.approx([srcc(each[places], PEOPLE[places]) for each in series], abs=1e-12)


def test_comparisons_have_intervals_too() -> None:
    pairs = CHANCE.integers(0, 200, (300, 2))
    pairs = np.where((PEOPLE[pairs[:, 0]] > PEOPLE[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1])
    targets = Targets(("overall",), np.zeros((200, 1)), pairs=pairs)
    found = judge(targets, noisy(0.3, 1), noisy(5, 2), 0.5 + SHUFFLED / 2, ALONE, 0)
    assert found.better
    low, high = bounds(found.agreement)
    assert low < found.agreement.value < high <= 1


@pytest.mark.parametrize(("pictures", "better"), [(6, False), (200, True)])
def test_a_perfect_order_of_few_is_no_certainty(pictures: int, better: bool) -> None:
    pairs = np.array([(one, other) for one in range(pictures) for other in range(one)])[:2000]
    targets = Targets(("overall",), np.zeros((pictures, 1)), pairs=pairs)
    found = judge(targets, np.arange(pictures), None, 0.5 + SHUFFLED / 2, np.arange(pictures), 0)
    assert found.better is better
    assert found.agreement.value == 1
    assert bounds(found.agreement)[0] < 1


@pytest.mark.parametrize("inside", [False, True])
def test_intervals_of_comparisons_hold_the_truth(inside: bool) -> None:
    held = 0
    for seed in range(200):
        chance = np.random.default_rng(seed)
        groups = np.arange(120) // 4
        worth = chance.normal(size=120)
        one = chance.integers(0, 120, 300)
        other = one // 4 * 4 + chance.integers(0, 4, 300) if inside else chance.integers(0, 120, 300)
        pairs = np.stack([one, other], 1)[one != other]
        better = worth[pairs[:, 0]] + chance.normal(size=len(pairs)) > worth[pairs[:, 1]]
        pairs = np.where(better[:, None], pairs, pairs[:, ::-1])
        targets = Targets(("overall",), np.zeros((120, 1)), pairs=pairs)
        low, high = bounds(judge(targets, chance.normal(size=120), None, SHUFFLED, groups, 0).agreement)
        held += low <= 0.5 <= high
    assert 0.9 <= held / 200 <= 0.995


def test_validation_sees_no_held_out_label() -> None:
    x = CHANCE.normal(size=(60, 10))
    y = x[:, :1] + 0.3 * CHANCE.normal(size=(60, 1))
    groups = np.arange(60) // 2
    steps: list[tuple[int, float]] = []
    targets = Targets(("overall",), y)
    found = cross_validate(x, targets, groups, 3, 0, lambda step: steps.append((step.done, step.agreement or 0)))
    assert [done for done, _ in steps] == [0, 1, 2, 3]
    assert steps[-1][1] > 0.8
    assert abs(float(found.chance.mean())) < 0.2
    # Other labels for one group change nothing of what is predicted for it.
    changed = y.copy()
    changed[groups == 7] += 100
    again = cross_validate(x, Targets(("overall",), changed), groups, 3, 0, lambda _: None)
    for kind, predicted in found.by_kind.items():
        assert np.array_equal(predicted[groups == 7], again.by_kind[kind][groups == 7])
        assert not np.array_equal(predicted, again.by_kind[kind])


def test_worse_takes_a_base_that_knows_something() -> None:
    """Held-out agreement leans below zero on noise, so there a base that says nothing would look better."""
    against, nothing, good = -0.3 * PEOPLE + 2 * CHANCE.normal(size=200), CHANCE.normal(size=200), noisy(0.3, 1)
    for base, word in ((nothing, "not shown to do more"), (good, "worse")):
        found = judge(SCORES, against - 0.2 * base, base, SHUFFLED, ALONE, 0)
        assert bounds(found.difference)[1] < 0
        assert say_verdict(found, "mini", "SRCC", leaks=False).startswith(word)
    found = judge(SCORES, -good, None, SHUFFLED, ALONE, 0)
    assert say_verdict(found, "mini", "SRCC", leaks=False).startswith("not shown to do more than chance")
