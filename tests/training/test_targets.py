from dataclasses import replace

import pytest

from aescli.dimensions import Scale
from aescli.errors import NothingMatched, UsageError
from aescli.labels.values import Labelled, LabelledSet, Pair, Problem
from aescli.training.targets import build_targets, choose_pictures, find_scales


def labelled(pictures: list[Labelled], *dimensions: str) -> LabelledSet:
    return LabelledSet("set", tuple(pictures), ("overall", *dimensions), (), (), (1.0, 3.0), "")


def voted(at: int, *, score: float | None = None, counts: tuple[float, ...] | None = None) -> Labelled:
    votes = (3.0, float(at), 0.0) if counts is None else counts
    mean = (votes[0] + 2 * votes[1]) / (3 + at) if votes else 1.0
    return Labelled(f"{at}.jpg", {"overall": mean if score is None else score}, votes, source=f"r.csv:{at}")


def test_a_row_without_votes_is_named_and_the_others_keep_theirs() -> None:
    pictures = [voted(at) for at in range(38)] + [voted(38, counts=()), voted(39, score=2.9)]
    labels = labelled(pictures)
    chosen = choose_pictures(labels, "overall", None)
    assert [str(each) for each in chosen.problems] == [
        "r.csv:38: has no votes", "r.csv:39: its score is 2.9, its votes say 1.92857"
    ]  # fmt: skip
    assert not chosen.notes
    assert build_targets(labels, chosen.pictures, chosen.dimensions).kind == "votes"


def test_votes_that_many_rows_lack_are_not_trained_and_a_note_says_so() -> None:
    labels = labelled([voted(at, counts=() if at % 3 == 1 else None, score=at / 30) for at in range(30)])
    chosen = choose_pictures(labels, "overall", None)
    assert len(chosen.pictures) == 30
    assert not chosen.problems
    assert "scores are trained, not votes" in chosen.notes[0]
    assert build_targets(labels, chosen.pictures, chosen.dimensions).kind == "scores"


def test_votes_that_are_trained_say_what_scores_run_from_and_to() -> None:
    """Whatever pictures that are left out have: a score that is not the mean of their votes, but no light."""
    pictures = [replace(voted(at), scores={**voted(at).scores, "light": float(at)}) for at in range(40)]
    labels = labelled([*pictures, *(voted(at, score=2.9) for at in range(40, 60))], "light")
    chosen = choose_pictures(replace(labels, scale=(1.1, 2.9)), "all", None)
    targets = build_targets(labels, chosen.pictures, chosen.dimensions)
    assert targets.kind == "votes"
    assert find_scales(targets, None) == (Scale(1, 3), Scale(0, 39))
    assert find_scales(targets, Scale(0, 10)) == (Scale(0, 10), Scale(0, 10))


def test_only_what_is_trained_is_complained_about() -> None:
    pictures = [Labelled(f"{at}.jpg", {"overall": at, "light": at}) for at in range(25)]
    bad = Labelled("bad.jpg", {"overall": 3}, source="r.csv:9", bad={"light": "light is no number but 'n/a'"})
    labels = labelled([*pictures, bad], "light")
    assert choose_pictures(labels, "overall", None).problems == []
    chosen = choose_pictures(labels, "light", None)
    assert chosen.problems == [Problem("r.csv:9", "light is no number but 'n/a'")]
    assert len(chosen.pictures) == 25


def compared(*pairs: tuple[int, int]) -> LabelledSet:
    pictures = tuple(Labelled(f"{at}.jpg", {}) for at in range(30))
    gone = () if pairs else (Labelled("gone.jpg", {}),)
    found = tuple(Pair(f"{one}.jpg", f"{other}.jpg") for one, other in pairs)
    return LabelledSet("set", pictures, (), (), gone, None, "", found, compares=True)


def test_comparisons_have_no_range_and_no_dimensions() -> None:
    labels = compared(*((at, at + 1) for at in range(29)))
    chosen = choose_pictures(labels, "overall", None)
    assert build_targets(labels, chosen.pictures, chosen.dimensions).kind == "pairs"
    with pytest.raises(UsageError, match="--range is for scores"):
        choose_pictures(labels, "overall", Scale(1, 5))
    for wanted in ("all", "overall,light"):
        with pytest.raises(UsageError, match="--dims is for scores"):
            choose_pictures(labels, wanted, None)


def test_comparisons_that_all_lack_a_picture() -> None:
    with pytest.raises(NothingMatched, match="no comparison has both of its pictures") as raised:
        choose_pictures(compared(), "overall", None)
    assert "gone.jpg" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("scores", "fine"), [((9e8, 9e8 + 60), False), ((-5e3, -5e3 + 0.1), False), ((1e8, 2e8), True)]
)
def test_scores_that_hardly_differ_beside_their_size_are_refused(scores: tuple[float, float], fine: bool) -> None:
    labels = labelled([Labelled(f"{at}.jpg", {"overall": scores[at % 2]}) for at in range(30)])
    if fine:
        build_targets(labels, labels.pictures, ("overall",))
        return
    with pytest.raises(UsageError, match="too narrow"):
        build_targets(labels, labels.pictures, ("overall",))


@pytest.mark.parametrize("name", ["=cmd", "a\x1b[31m", "a\u202eb", "a\nb", "@x", "path", "raw"])
def test_a_dimension_that_no_column_may_be_called_is_refused(name: str) -> None:
    labels = labelled([Labelled(f"{at}.jpg", {"overall": at, name: at}) for at in range(30)], name)
    assert choose_pictures(labels, "overall", None).dimensions == ("overall",)
    with pytest.raises(UsageError, match="cannot be a column"):
        choose_pictures(labels, "all", None)
