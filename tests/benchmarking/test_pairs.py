import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aescli.benchmarking.evaluating import evaluate
from aescli.benchmarking.lines import Line
from aescli.benchmarking.pairs import OPTIONS, STRAIGHT, TURNED, bradley_terry, count_apart
from aescli.benchmarking.records import Record
from aescli.benchmarking.statistics import wilson


def _numbers(lines: list[Line]) -> dict[str, Record]:
    return {record.metric: record for record in evaluate(lines).records if record.model == "m"}


def _asked(*replies: tuple[str, str]) -> list[Line]:
    return [
        Line(suite="pairs", split="s", item=f"{at}/{order}", model="m", reply=reply, options=OPTIONS,
             answer="A" if order == STRAIGHT else "B",
             groups={"pair": str(at), "order": order, "winner": f"w{at}", "loser": f"l{at}"})
        for at, both in enumerate(replies) for order, reply in zip((STRAIGHT, TURNED), both, strict=True)
    ]  # fmt: skip


def test_both_orders_must_agree_and_a_flip_is_a_tie() -> None:
    found = _numbers(_asked(("A", "B"), ("A", "A"), ("B", "A"), ("A", "no idea")))
    assert found["pair_accuracy"].value == pytest.approx((2 + 1 + 0 + 1) / 8)
    assert found["consistent_accuracy"].value == 0.25
    assert found["flip_rate"].value == 0.25
    assert found["left_share"].value == pytest.approx(5 / 7)
    assert found["valid_rate"].value == pytest.approx(7 / 8)


def test_a_pair_that_is_judged_again_makes_no_number_surer() -> None:
    lines = _asked(*[("A", "B")] * 3, *[("A", "A")] * 3)
    more = [_judged_again(line, time) for time in range(2, 11) for line in lines]
    once, again = _numbers(lines), _numbers([*lines, *more])
    for metric in ("pair_accuracy", "consistent_accuracy", "flip_rate", "left_share", "valid_rate"):
        assert (again[metric].low, again[metric].high) == pytest.approx((once[metric].low, once[metric].high))
    assert again["flip_rate"].n == 60
    assert "60 judgements of 6 pairs" in again["flip_rate"].note


def _judged_again(line: Line, time: int) -> Line:
    pair = f"{line.groups['pair']} ({time})"
    return replace(line, item=f"{pair}/{line.groups['order']}", groups={**line.groups, "pair": pair})


def test_one_who_always_says_left_has_a_position_and_no_opinion() -> None:
    found = _numbers(_asked(*[("A", "A")] * 5))
    assert found["pair_accuracy"].value == 0.5
    assert found["consistent_accuracy"].value == 0
    assert found["flip_rate"].value == 1
    assert found["left_share"].value == 1


def test_scores_decide_pairs_and_equal_ones_count_a_half() -> None:
    scores = {"a": 9.0, "b": 5.0, "c": 5.0}
    beats = {"a": "b\nc", "b": "c", "c": "a"}
    lines = [
        Line(suite="pairs", split="s", item=name, model="m", overall=score, groups={"beats": beats[name]})
        for name, score in scores.items()
    ]
    found = _numbers(lines)
    assert found["pair_accuracy"].value == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert found["pair_accuracy"].n == 4


def test_strengths_of_two_are_the_log_odds_of_their_games() -> None:
    found = bradley_terry([("a", "b")] * 3000 + [("b", "a")] * 1000)
    assert found["a"] - found["b"] == pytest.approx(math.log(3), abs=0.01)
    assert bradley_terry([]) == {}


@settings(deadline=None)
@given(st.permutations(list(range(6))))
def test_a_round_of_games_without_upsets_gives_the_order(order: list[int]) -> None:
    games = [(str(order[i]), str(order[j])) for i in range(6) for j in range(i + 1, 6)]
    found = bradley_terry(games)
    assert sorted(found, key=lambda name: -found[name]) == [str(each) for each in order]
    assert all(map(math.isfinite, found.values()))
    assert sum(found.values()) == pytest.approx(0, abs=1e-9)


def test_two_scorers_are_compared_pair_by_pair_and_a_pair_judged_twice_counts_twice() -> None:
    beats = {f"w{at}": f"l{at}\nl{at}" for at in range(20)} | {f"l{at}": "" for at in range(20)}
    lines = [
        Line(suite="pairs", split="s", item=name, model=model, overall=9.0 if name[0] == better else 1.0,
             groups={"beats": lost})
        for model, better in (("m", "w"), ("worse", "l")) for name, lost in beats.items()
    ]  # fmt: skip
    records = evaluate(lines).records
    (gap,) = [each for each in records if each.metric == "pair_accuracy_difference"]
    assert (gap.model, gap.value, gap.n) == ("m - worse", 1, 40)
    assert gap.note.startswith("the first is better")
    found = _numbers(lines)
    assert found["bradley_terry_srcc"].value == pytest.approx(1)
    assert found["valid_rate"].value == 1


def test_pairs_that_share_pictures_tell_less() -> None:
    apart = [(f"a{at}", f"b{at}") for at in range(200)]
    coins = np.arange(200) % 2
    assert count_apart(coins, apart) == pytest.approx(200, rel=0.02)
    assert count_apart(np.ones(200), apart) == 200
    assert count_apart(np.ones(200), [("a", f"b{at}") for at in range(200)]) < 2  # all hangs on one picture
    assert count_apart(coins, [("a", f"b{at}") for at in range(200)]) == 1
    assert count_apart([1, 0], [("a", "b"), ("b", "a")]) == 1


def test_chance_lies_in_the_interval_as_often_as_it_says() -> None:
    """Two orders of 60 pictures that have nothing to do with each other, compared on 200 pairs."""
    chance = np.random.default_rng(0)
    held: list[bool] = []
    naive: list[bool] = []
    for _ in range(200):
        pairs = [chance.choice(60, 2, replace=False) for _ in range(200)]
        ours, theirs = chance.permutation(60), chance.permutation(60)
        won = np.array([(ours[one] > ours[two]) == (theirs[one] > theirs[two]) for one, two in pairs])
        for found, count in ((held, count_apart(won, [(str(one), str(two)) for one, two in pairs])), (naive, 200)):
            interval = wilson(won.mean() * count, count)
            found.append(interval.low <= 0.5 <= interval.high)
    assert np.mean(held) >= 0.9
    assert np.mean(naive) < 0.85


def test_the_difference_of_two_scorers_knows_which_pairs_share_pictures() -> None:
    """Two orders that have nothing to do with people's: neither is better."""
    chance = np.random.default_rng(0)
    told = [_tells_apart(chance, pictures=40, pairs=200) for _ in range(150)]
    assert np.mean(told) <= 0.1  # where pairs are drawn one by one, .18 are told for better or worse


def _tells_apart(chance: np.random.Generator, pictures: int, pairs: int) -> bool:
    names = [f"p{at:02d}" for at in chance.permutation(pictures)]  # as people like them
    beats: dict[str, list[str]] = {name: [] for name in names}
    for _ in range(pairs):
        one, two = sorted(chance.choice(pictures, 2, replace=False))
        beats[names[one]].append(names[two])
    lines = [
        Line(suite="pairs", split="s", item=name, model=model, overall=float(score), groups={"beats": "\n".join(lost)})
        for model in ("m", "other")
        for (name, lost), score in zip(beats.items(), chance.permutation(pictures), strict=True)
    ]
    (gap,) = [each for each in evaluate(lines).records if each.metric == "pair_accuracy_difference"]
    assert gap.low is not None
    assert gap.high is not None
    return not gap.low <= 0 <= gap.high


def test_two_scorers_that_agree_on_every_pair_are_a_tie_of_some_width() -> None:
    lines = [
        Line(suite="pairs", split="s", item=name, model=model, overall=score, groups={"beats": lost})
        for model in ("m", "other")
        for name, score, lost in (("a", 4.0, "b"), ("b", 3.0, "c"), ("c", 2.0, "d"), ("d", 1.0, ""))
    ]
    (gap,) = [each for each in evaluate(lines).records if each.metric == "pair_accuracy_difference"]
    assert gap.value == 0
    assert gap.low is not None
    assert gap.low < -0.5
    assert gap.note.startswith("tie")
