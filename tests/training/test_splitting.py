from pathlib import Path

import pytest

from aescli.errors import AesError, UsageError
from aescli.training.samples import Data, Rated, Talk
from aescli.training.splitting import SPLITS, SplitChoices, read_splits, split, write_splits

RATED = tuple(Rated(f"{at}.jpg", (at / 100,), "fair", "AVA" if at < 80 else "BAID") for at in range(100))


def test_each_source_gives_its_share_and_no_picture_is_in_two_splits() -> None:
    splits = split(Data("x", RATED), SplitChoices())
    assert {name: len(splits[name]) for name in SPLITS} == {"train": 80, "validation": 5, "voter": 5, "test": 10}
    assert sum(sample.group == "BAID" for sample in splits["test"]) == 2
    assert sorted(each.picture for name in SPLITS for each in splits[name]) == sorted(each.picture for each in RATED)


def test_the_seed_decides_and_nothing_else() -> None:
    splits = split(Data("x", RATED), SplitChoices())
    assert splits == split(Data("x", RATED), SplitChoices())
    assert splits["test"] != split(Data("x", RATED), SplitChoices(seed=1))["test"]


def test_conversations_about_one_picture_stay_together() -> None:
    talks = tuple(Talk(f"{at // 4}.jpg", (("Why?", str(at)),)) for at in range(80))
    splits = split(Data("x", talks), SplitChoices())
    pictures = [{each.picture for each in splits[name]} for name in SPLITS]
    assert sum(map(len, pictures)) == 20


def test_what_the_authors_set_aside_is_the_test() -> None:
    aside = (Rated("t.jpg", (0.5,), "fair"),)
    splits = split(Data("x", RATED, aside), SplitChoices())
    assert splits["test"] == aside
    assert len(splits["train"]) == 90


def test_splits_are_written_whole_each_time(tmp_path: Path) -> None:
    splits = split(Data("x", RATED), SplitChoices())
    hashes = write_splits(tmp_path, splits)
    assert write_splits(tmp_path, splits) == hashes
    assert read_splits(tmp_path) == (splits, hashes)
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(AesError, match=r"test\.jsonl"):
        read_splits(tmp_path)


def test_shares_must_leave_something() -> None:
    with pytest.raises(UsageError):
        SplitChoices(test=1.0)
