import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from aescli import metrics
from aescli.benchmarking.evaluating import evaluate
from aescli.benchmarking.labelled import ceiling
from aescli.benchmarking.lines import Line
from aescli.benchmarking.records import Record
from aescli.benchmarking.scores import Judged, LabelScale, statistic
from aescli.labels.values import Labelled
from tests.benchmarking.lines import scored

LABELS = [1.0, 2.5, 3.0, 4.5, 4.5, 6.0, 7.5, 8.0, 9.5, 2.0]
SCORES = [2.0, 2.0, 4.0, 4.0, 5.0, 7.0, 6.5, 9.0, 9.0, 1.0]


def numbers(lines: list[Line], model: str = "m") -> dict[str, Record]:
    return {record.metric: record for record in evaluate(lines).records if record.model == model}


def test_numbers_are_scipys() -> None:
    found = numbers(scored("m", SCORES, LABELS))
    assert found["srcc"].value == pytest.approx(stats.spearmanr(SCORES, LABELS).statistic, abs=1e-12)
    assert found["plcc"].value == pytest.approx(stats.pearsonr(SCORES, LABELS).statistic, abs=1e-12)
    assert found["krcc"].value == pytest.approx(stats.kendalltau(SCORES, LABELS).statistic, abs=1e-12)
    assert found["rmse"].value == pytest.approx(math.sqrt(np.mean(np.subtract(SCORES, LABELS) ** 2)))
    assert found["mae"].value == pytest.approx(np.mean(np.abs(np.subtract(SCORES, LABELS))))
    assert found["level_accuracy"].value == 0.7
    assert (found["plcc_logistic"].value or 0) >= (found["plcc"].value or 1) - 1e-9
    for metric in ("srcc", "plcc", "krcc", "rmse", "mae"):
        record = found[metric]
        assert record.n == 10
        assert record.low is not None
        assert record.high is not None
        assert record.value is not None
        assert record.low <= record.value <= record.high
        assert "se 0." in record.note


def test_errors_are_on_the_labels_scale() -> None:
    lines = scored("m", [0, 5, 10, 5], [1, 3, 5, 3], label_range=(1.0, 5.0))
    assert numbers(lines)["rmse"].value == pytest.approx(0)
    assert numbers(lines, "baseline: mean label")["mae"].value == pytest.approx(1)


def test_the_authors_roots_stand_beside_the_true_errors() -> None:
    lines = scored("m", [5.0, 6.0, 7.0, 8.0], [0.4, 0.5, 0.6, 0.9], suite="humanbeauty", label_range=(0.0, 1.0))
    found = numbers(lines)
    errors = np.array([0.1, 0.1, 0.1, -0.1])
    assert found["mse"].value == pytest.approx(0.01)
    assert found["mse_author_root"].value == pytest.approx(math.sqrt(0.01 + 1e-8))
    assert found["mae"].value == pytest.approx(np.abs(errors).mean())
    assert found["mae_author_root"].value == pytest.approx(math.sqrt(0.1 + 1e-8))
    assert found["f1_macro"].value is not None
    assert "root" in found["mse_author_root"].note


def test_ava_tells_the_sides_of_five() -> None:
    lines = scored("m", [4.0, 6.0, 5.1, 4.9], [4.9, 5.1, 5.0, 6.0], suite="ava", label_range=(1.0, 10.0))
    # On the scale of 1 to 10 the scores are 4.6, 6.4, 5.59, 5.41.
    assert numbers(lines)["accuracy"].value == pytest.approx(3 / 4)


def test_a_missing_score_is_counted_and_ranked_lowest_in_the_strict_number() -> None:
    scores: list[float | None] = [*SCORES[:-1], None]
    found = numbers(scored("m", scores, LABELS))
    assert found["srcc"].n == 9
    assert "1 items without a score left out" in found["srcc"].note
    strict = [*SCORES[:-1], -1.0]
    assert found["srcc_strict"].value == pytest.approx(stats.spearmanr(strict, LABELS).statistic)


def test_a_constant_model_has_no_correlation_rather_than_nought() -> None:
    found = numbers(scored("m", [5.0] * 10, LABELS))
    assert found["srcc"].value is None
    assert found["srcc"].low is None
    assert found["rmse"].value is not None


def test_an_inverted_model_stays_negative() -> None:
    found = numbers(scored("m", [10 - score for score in SCORES], LABELS))
    assert (found["srcc"].value or 0) < -0.9
    assert (found["plcc_logistic"].value or 0) < -0.9


def test_dimensions_are_judged_where_people_did_too() -> None:
    lines = scored("m", SCORES, LABELS)
    both = [
        replace(line, dims={"light": line.overall or 0.0, "noise": 1.0}, labels={**line.labels, "light": at})
        for at, line in enumerate(lines)
    ]
    found = numbers(both)
    assert found["light/srcc"].value == pytest.approx(stats.spearmanr(SCORES, range(10)).statistic)
    assert "noise/srcc" not in found


def test_models_are_compared_and_a_smaller_error_is_better() -> None:
    chance = np.random.default_rng(0)
    labels = chance.uniform(0, 10, 200)
    good, bad = np.clip(labels + chance.normal(0, 0.5, 200), 0, 10), np.clip(labels + chance.normal(0, 4, 200), 0, 10)
    report = evaluate([*scored("good", good.tolist(), labels.tolist()), *scored("bad", bad.tolist(), labels.tolist())])
    found = {record.metric: record for record in report.records if record.model == "good - bad"}
    assert found["srcc_difference"].note.startswith("the first is better")
    assert found["mae_difference"].note.startswith("the first is better")
    assert (found["mae_difference"].value or 0) < 0


def test_the_ceiling_falls_with_fewer_votes() -> None:
    chance = np.random.default_rng(0)

    def voted(votes: int) -> list[Labelled]:
        centres = chance.uniform(0.2, 0.8, 300)
        counts = [np.bincount(chance.binomial(4, centre, votes), minlength=5) for centre in centres]
        return [Labelled(f"{at}.jpg", {}, tuple(map(float, each))) for at, each in enumerate(counts)]

    many, few = ceiling(voted(400), 1), ceiling(voted(5), 1)
    assert many is not None
    assert few is not None
    assert 0.7 < few < many < 1
    assert many > 0.99
    assert ceiling([Labelled("a.jpg", {"overall": 1.0})], 1) is None


@pytest.mark.parametrize("name", ["srcc", "plcc", "krcc", "rmse", "mse", "mae"])
def test_numbers_by_rows_are_those_of_one(name: str) -> None:
    chance = np.random.default_rng(0)
    predicted, actual = chance.integers(0, 9, (2, 40)).astype(float)
    judged = Judged((), predicted, predicted, actual, LabelScale(0, 10), 0)
    places = chance.integers(0, 40, (30, 40))
    places[0] = 3  # one item again and again has no correlation
    found = statistic(judged, name)(places)
    for row, value in zip(places, found, strict=True):
        one = getattr(metrics, name)(predicted[row], actual[row])
        assert value == pytest.approx(math.nan if one is None else one, abs=1e-12, nan_ok=True)


def test_every_number_has_a_baseline_that_needs_no_model() -> None:
    for suite, scale in (("scores", (0.0, 10.0)), ("humanbeauty", (0.0, 10.0)), ("ava", (0.0, 10.0))):
        lines = [replace(line, dims={"light": 5.0}, labels={**line.labels, "light": 3.0 + at})
                 for at, line in enumerate(scored("m", SCORES, LABELS, suite=suite, label_range=scale))]  # fmt: skip
        records = evaluate(lines).records
        ours = {record.metric for record in records if record.model == "m"}
        theirs = {record.metric for record in records if record.model.startswith("baseline: ")}
        assert {name for name in ours if "valid_rate" not in name} == theirs


def test_a_scale_that_nobody_stated_is_said_to_be_guessed() -> None:
    lines = scored("m", SCORES, LABELS)
    low, high = min(LABELS), max(LABELS)
    stated = numbers([replace(line, label_range=(0.0, 20.0)) for line in lines])["rmse"].note
    guessed = numbers([replace(line, label_range=(low, high), range_guessed=True) for line in lines])
    assert "laid on 0 to 20, the labels' scale" in stated
    assert f"laid on {low:g} to {high:g}, the ends of these labels" in guessed["rmse"].note
    assert f"of {low:g} to {high:g}" in guessed["level_accuracy"].note


def test_the_valid_rate_stands_beside_scores() -> None:
    found = numbers(scored("m", [*SCORES[:-1], None], LABELS))["valid_rate"]
    assert (found.value, found.n, found.note) == (0.9, 10, "9 of 10 have a score")


def test_pictures_of_one_group_stand_and_fall_together_in_differences_too() -> None:
    chance = np.random.default_rng(0)
    labels = np.repeat(chance.uniform(0, 10, 30), 8)
    one, two = (np.clip(labels + np.repeat(chance.normal(0, noise, 30), 8), 0, 10) for noise in (1.0, 2.0))

    def gap(groups: bool) -> Record:
        lines = [
            replace(line, groups={"group": str(at % 240 // 8)} if groups else {})
            for at, line in enumerate([*scored("one", one.tolist(), labels.tolist()),
                                       *scored("two", two.tolist(), labels.tolist())])
        ]  # fmt: skip
        return {record.metric: record for record in evaluate(lines).records}["mae_difference"]

    together, apart = gap(groups=True), gap(groups=False)
    assert together.value == apart.value
    assert (together.high or 0) - (together.low or 0) > 2 * ((apart.high or 0) - (apart.low or 0))


def test_errors_of_two_models_are_on_one_scale() -> None:
    labels = [float(at % 7 + 1) for at in range(30)]
    same = [5.0 + at % 3 for at in range(30)]
    guessed = scored("a", same, labels, label_range=(1.0, 6.5), range_guessed=True)
    later = scored("b", same, labels, label_range=(1.5, 7.0), range_guessed=True)
    stated = scored("c", same, labels, label_range=(0.0, 10.0))
    two = [*guessed, *later]
    for lines, scale in ((two, "1 to 7, the ends"), ([*two, *stated], "0 to 10, the labels'")):
        records = evaluate(lines).records
        errors = [record for record in records if record.metric == "mae" and record.model in "abc"]
        assert len({record.value for record in errors}) == 1
        assert all(scale in record.note for record in errors)
        assert all(record.value == 0 for record in records if record.metric == "mae_difference")
    nothing = [replace(line, label_range=None) for line in scored("a", same, labels)]
    half = [replace(line, label_range=None, model="b") for line in nothing[:5]]
    assert "laid on 1 to 7" in numbers([*nothing, *half], "b")["mae"].note


def test_two_scales_of_the_same_labels_leave_ranks_alone() -> None:
    labels = [float(at % 7 + 1) for at in range(30)]
    same = [5.0 + at % 3 for at in range(30)]
    one, other = scored("c", same, labels), scored("d", same[::-1], labels, label_range=(0.0, 100.0))
    records = [record for record in evaluate([*one, *other]).records if "baseline" not in record.model]
    errors = [record for record in records if record.metric in ("mae", "rmse", "level_accuracy")]
    assert errors
    assert all(record.value is None and "0 to 10 and 0 to 100" in record.note for record in errors)
    assert {record.metric for record in records if "difference" in record.metric} == {
        "srcc_difference", "plcc_difference",
    }  # fmt: skip


def test_an_item_that_was_labelled_anew_tells_no_models_apart() -> None:
    labels = [float(at % 7 + 1) for at in range(30)]
    one = scored("a", [5.0 + at % 3 for at in range(30)], labels)
    two = scored("b", [5.0 + at % 3 for at in range(30)], [9.0, 9.0, *labels[2:]])
    report = evaluate([*one, *two])
    assert {record.n for record in report.records if "difference" in record.metric} == {28}
    assert any("2 items have one label in one run and another in the next" in note for note in report.notes)
