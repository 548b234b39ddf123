"""Planted replies give counts that are known in advance, by both denominators."""

import pytest

from aescli.benchmarking.evaluating import evaluate
from aescli.benchmarking.lines import Line
from aescli.benchmarking.records import Record
from tests.benchmarking.lines import replied

PLANTED = [
    ("A", True, True),  # a letter
    ("Balanced", True, True),  # the option's text
    ("Unbalanced", False, True),  # not to be taken for Balanced
    ("I cannot judge this picture.", False, False),
    ("A or B", False, False),
    ("", False, False),
]


def numbers(lines: list[Line], model: str = "m") -> dict[str, Record]:
    return {record.metric: record for record in evaluate(lines).records if record.model == model}


def test_planted_replies_are_counted() -> None:
    found = numbers([replied(at, reply) for at, (reply, _, _) in enumerate(PLANTED)])
    right, valid = sum(row[1] for row in PLANTED), sum(row[2] for row in PLANTED)
    accuracy, answered = found["perception/overall/accuracy"], found["perception/overall/accuracy_answered"]
    rate = found["perception/overall/valid_rate"]
    assert [each.value for each in (accuracy, answered, rate)] == pytest.approx([right / 6, right / valid, valid / 6])
    assert [each.n for each in (accuracy, answered, rate)] == [6, 3, 6]
    assert "2 of 6" in accuracy.note
    assert "2 of 3" in answered.note
    assert accuracy.low is not None
    assert accuracy.low < 1 / 3 < (accuracy.high or 0)


def test_a_refusal_is_wrong_and_a_broken_server_is_no_answer() -> None:
    lines = [
        replied(0, "A"),
        replied(1, None, error_code="refused", error="no"),
        replied(2, None, error_code="endpoint_error", error="500"),
        replied(3, None, error_code="budget", error="not asked"),
    ]
    found = numbers(lines)
    assert found["perception/overall/accuracy"].value == 0.5
    assert found["perception/overall/accuracy"].n == 2
    assert "incomplete: 2 items not answered" in found["perception/overall/accuracy"].note
    assert found["perception/overall/refused_rate"].value == 0.5


def test_guessing_and_the_commonest_answer_stand_beside_it() -> None:
    options = {"A": "High", "B": "Medium", "C": "Low"}
    lines = [replied(at, "A", answer, options) for at, answer in enumerate("AAABC")]
    assert numbers(lines, "baseline: random")["perception/overall/accuracy"].value == pytest.approx(1 / 3)
    majority = numbers(lines, "baseline: majority")["perception/overall/accuracy"]
    assert majority.value == pytest.approx(0.6)
    assert "'high'" in majority.note
    found = numbers(lines)
    assert found["perception/overall/recall_high"].value == 1
    assert found["perception/overall/recall_low"].value == 0
    assert "said 5 times" in found["perception/overall/recall_high"].note


def test_classes_and_types_are_parts_and_few_items_are_said() -> None:
    groups = [
        {"ability": "AesA1", "class": "Color & light", "type": "Yes-No"},
        {"ability": "AesA1", "class": "Content"},
    ]
    found = numbers([replied(at, "A", groups=group) for at, group in enumerate(groups)])
    assert found["AesA/color_light/accuracy"].n == 1
    assert found["AesA/type_yes_no/accuracy"].n == 1
    assert "fewer than 50 items" in found["AesA/content/accuracy"].note
    assert "fewer" not in found["AesA/overall/accuracy"].note


def test_the_last_line_of_an_item_counts_and_a_reply_is_read_again() -> None:
    lines = [replied(0, None, error_code="endpoint_error"), replied(0, "B", parsed="A")]
    assert numbers(lines)["perception/overall/accuracy"].value == 0


def test_paired_differences_say_which_is_better_and_call_a_tie_a_tie() -> None:
    good = [replied(at, "A", model="good") for at in range(100)]
    bad = [replied(at, "A" if at % 2 else "B", model="bad") for at in range(100)]
    same = [replied(at, "A" if at % 2 == 0 else "B", model="same") for at in range(100)]
    found = {record.model: record for record in evaluate([*good, *bad, *same]).records if "difference" in record.metric}
    assert found["good - bad"].value == pytest.approx(0.5)
    assert found["good - bad"].note.startswith("the first is better")
    assert found["bad - same"].note.startswith("tie")
    assert "after Holm for 3" in found["bad - same"].note


def test_differences_are_of_items_that_both_saw() -> None:
    one = [replied(at, "A", model="one") for at in range(10)]
    two = [replied(at, "B", model="two") for at in range(5)]
    report = evaluate([*one, *two])
    (difference,) = [record for record in report.records if record.metric.endswith("difference")]
    assert difference.n == 5
    assert any("not all models saw the same items" in note for note in report.notes)


def test_options_of_one_model_in_two_setups_stay_apart() -> None:
    lines = [replied(0, "A", setup={"side": 512}), replied(0, "B", setup={"side": 1024})]
    models = {record.model for record in evaluate(lines).records if record.metric.endswith("overall/accuracy")}
    assert len([model for model in models if model.startswith("m [")]) == 2


def test_a_leak_stands_beside_every_number() -> None:
    lines = [replied(0, "A", trained_on=("UNIAA-Bench",))]
    assert "leak: trained on UNIAA-Bench" in numbers(lines)["perception/overall/accuracy"].note
    lines = [replied(0, "A", leaks=("AVA",))]  # UNIAA's pictures are, in part, AVA's
    assert "leak: has seen pictures of AVA" in numbers(lines)["perception/overall/accuracy"].note
    assert "leak" not in numbers([replied(0, "A", trained_on=("KonIQ",))])["perception/overall/accuracy"].note


LEVELS = {"A": "High", "B": "Medium", "C": "Low"}


def assessed(at: int, reply: str, answer: str | None, likely: dict[str, float]) -> Line:
    groups = {"ability": "AesA1", "picture": str(at)}
    return replied(at, reply, answer, LEVELS, groups=groups, likely=likely, suite="aesbench", split="test")  # type: ignore[arg-type]


def test_the_likeliest_word_is_another_answer_than_the_reply() -> None:
    high, low = {"A": 0.2, "B": 0.1, "C": 0.1}, {"A": 0.01, "B": 0.02, "C": 0.37}
    lines = [assessed(0, "A", "A", low), assessed(1, "A", "C", low), assessed(2, "?", "A", high)]
    lines.append(assessed(3, "A", "B", high))
    found = numbers(lines)
    assert found["AesA/overall/accuracy"].value == 0.25
    assert found["AesA/overall/accuracy_logits"].value == 0.5
    assert "40.0% of what may be said" in found["AesA/overall/accuracy_logits"].note
    assert found["AesA/overall/recall_high_logits"].value == 0.5
    assert "said 2 times; taken for Low 1" in found["AesA/overall/recall_high_logits"].note
    assert "said 3 times; taken for unreadable 1" in found["AesA/overall/recall_high"].note
    assert "taken for High 1" in found["AesA/overall/recall_medium"].note


def test_without_a_key_shares_stand_beside_the_published_line_of_always_high() -> None:
    likely = {"A": 0.5, "B": 0.1, "C": 0.1}
    lines = [assessed(at, "C", None, likely) for at in range(4)]
    found = numbers(lines)
    assert found["AesA/overall/share_low"].value == 1
    assert found["AesA/overall/share_high_logits"].value == 1
    assert not [metric for metric in found if "accuracy" in metric]
    (always,) = numbers(lines, "always-High baseline").values()
    assert (always.metric, always.value, always.source) == ("AesA/overall/accuracy", 0.4468, "1251 of 2800 items")
    assert numbers(lines, "baseline: random")["AesA/overall/accuracy"].value == pytest.approx(1 / 3)
