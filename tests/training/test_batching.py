import pytest

from aescli.errors import UsageError
from aescli.training.batching import BatchChoices, Plan, pack, share_evenly

LENGTHS = [10, 40, 20, 30, 10, 50, 20, 10]


def seen(plan: Plan) -> list[list[int]]:
    return [sorted(at for batch in plan.step(number)[1] for at in batch) for number in range(plan.steps)]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_epoch_sees_every_sample_once_in_an_order_of_its_own(processes: int) -> None:
    plan = Plan(LENGTHS, BatchChoices(samples=4, tokens=60, epochs=3), processes)
    steps = seen(plan)
    epochs = [steps[at : at + plan.steps_of_epoch] for at in range(0, len(steps), plan.steps_of_epoch)]
    assert all(sorted(at for step in epoch for at in step) == list(range(8)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_how_many_processes_share_a_step_does_not_change_its_samples() -> None:
    choices = BatchChoices(samples=4, tokens=60, epochs=2)
    assert seen(Plan(LENGTHS, choices, 1)) == seen(Plan(LENGTHS, choices, 2))


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_micro_batches_can_be_shared_and_keep_to_their_budget(processes: int) -> None:
    plan = Plan(LENGTHS, BatchChoices(samples=8, tokens=80), processes)
    _, batches = plan.step(0)
    assert len(batches) % processes == 0
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(LENGTHS[at] for at in batch) <= 80


def test_a_sample_that_is_longer_than_the_budget_is_alone() -> None:
    assert pack([0, 1, 2], [5, 900, 5], 100) == [(1,), (0, 2)]


def test_batches_join_where_there_are_too_few_samples_to_cut() -> None:
    shared = share_evenly([(0,), (1,), (2,)], [30, 10, 20], 2)
    assert sorted(map(sorted, shared)) == [[0], [1, 2]]


def test_what_is_left_over_is_a_step_unless_it_cannot_be_shared() -> None:
    assert Plan([1] * 9, BatchChoices(samples=4), 1).steps == 3
    assert Plan([1] * 9, BatchChoices(samples=4), 2).steps == 2
    with pytest.raises(UsageError, match="cannot share"):
        Plan([1], BatchChoices(), 2)
