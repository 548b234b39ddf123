from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from aescli.errors import UsageError
from aescli.images.alike import cut_border, look_around
from aescli.images.picture import Decoding, open_picture
from aescli.images.taken import read_capture
from aescli.labels.values import Labelled, Pair
from aescli.training.groups import Groups, assign_folds, find_groups, join_alike, join_copies, join_near
from tests import exif
from tests.conftest import encoded, photograph


@given(groups=st.lists(st.integers(0, 12), min_size=2, max_size=60), folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_groups_never_straddle_folds(groups: list[int], folds: int, seed: int) -> None:
    if len(set(groups)) < folds:
        with pytest.raises(UsageError, match="too few"):
            assign_folds(np.array(groups), folds, seed)
        return
    place = assign_folds(np.array(groups), folds, seed)
    assert set(place) == set(range(folds))
    for group in set(groups):
        assert len(set(place[np.array(groups) == group])) == 1


def taken(folder: Path, name: str, moment: str | None, offset: str = "") -> Labelled:
    return Labelled(str(exif.taken(folder, name, moment, offset=offset)), {"overall": 1.0})


def test_clocks_of_two_countries_part_no_burst(tmp_path: Path) -> None:
    pictures = [
        taken(tmp_path, "here", "2024:05:01 10:00:00", offset="+00:00"),
        taken(tmp_path, "there", "2024:05:01 12:00:02", offset="+02:00"),
        taken(tmp_path, "silent", "2024:05:01 12:00:50"),  # by the clock of the second
        taken(tmp_path, "later", "2024:05:01 10:10:00", offset="-05:30"),
        taken(tmp_path, "odd", "2024:05:01 08:00:00", offset="noon"),
    ]
    groups = find_groups(pictures, "time").numbers
    assert groups[0] == groups[1] == groups[2]
    assert len({*groups.tolist()}) == 3
    assert [read_capture(each.path).offset for each in pictures] == [0.0, 7200.0, None, -19800.0, None]


def test_a_pause_of_more_than_a_minute_parts_bursts(tmp_path: Path) -> None:
    moments = ["2024:05:01 10:00:50", None, "2024:05:01 10:00:00", "2024:05:01 10:02:00", "2024:05:01 10:01:45", None]
    pictures = [taken(tmp_path, str(at), moment) for at, moment in enumerate(moments)]
    groups = find_groups(pictures, "time").numbers
    assert groups[0] == groups[2] == groups[4] == groups[3]  # each within a minute of the next
    assert len({groups[0], groups[1], groups[5]}) == 3
    later = taken(tmp_path, "later", "2024:05:01 10:03:01")
    assert find_groups([*pictures, later], "time").numbers[-1] != groups[0]


def test_folders_and_columns() -> None:
    pictures = [Labelled(f"/p/{folder}/x.jpg", {}, columns={"day": day}) for folder, day in ("a1", "b1", "a2", "a ")]
    assert find_groups(pictures, "folder").numbers.tolist() == [0, 1, 0, 0]
    assert find_groups(pictures, "day").numbers.tolist()[:3] == [0, 0, 1]
    empty = [*pictures, Labelled("/p/z.jpg", {}), Labelled("/p/y.jpg", {}, columns={"day": ""})]
    blank = [Labelled(f"/p/{day}.jpg", {}, columns={"day": day}) for day in ("sea", " sea ", " ", "  ", "NA", "NA")]
    assert len(set(find_groups(blank, "day").numbers.tolist())) == 5
    assert len(set(find_groups(empty, "day").numbers.tolist())) == 5  # without a day, each is a group of its own
    assert find_groups(pictures, None).numbers.tolist() == [0, 1, 2, 3]


def test_a_folder_is_one_however_it_is_spelled(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    folders = ("a", "./a", "a/../a", "link", "b", "./b")
    pictures = [Labelled(f"{tmp_path}/{folder}/{at}.jpg", {}) for at, folder in enumerate(folders)]
    assert find_groups(pictures, "folder").numbers.tolist() == [0, 0, 0, 0, 1, 1]


def test_how_many_stand_alone(tmp_path: Path) -> None:
    moments = ["2024:05:01 10:00:50", None, None]
    pictures = [taken(tmp_path, str(at), moment) for at, moment in enumerate(moments)]
    said = find_groups(pictures, "time").note
    assert said == "2 of 3 pictures do not say when they were taken: each is a group of its own"
    assert not find_groups(pictures[:1], "time").note


@given(groups=st.lists(st.integers(0, 9), min_size=2, max_size=40), contents=st.lists(st.integers(0, 9), min_size=40))
def test_copies_are_never_parted(groups: list[int], contents: list[int]) -> None:
    pictures = [Labelled(f"{at}.jpg", {}) for at in range(len(groups))]
    files = list(map(str, contents[: len(groups)]))
    joined = join_copies(Groups(np.array(groups), "so"), pictures, files)
    for one in range(len(groups)):
        for other in range(one):
            if groups[one] == groups[other] or files[one] == files[other]:
                assert joined.numbers[one] == joined.numbers[other]
    assert joined.note.startswith("so")
    assert ("byte for byte" in joined.note) == (len(set(files)) < len(files))
    if len(set(files)) == len(files):
        assert list(joined.numbers) == groups


def test_a_column_of_the_same_name_is_not_what_groups_by(tmp_path: Path) -> None:
    pictures = [Labelled(str(tmp_path / f"{at}.jpg"), {}, columns={"folder": "x"}) for at in range(3)]
    assert "not by the column 'folder'" in find_groups(pictures, "folder").note


def test_what_a_model_sees_as_nearly_the_same_is_never_parted() -> None:
    chance = np.random.default_rng(0)
    features = chance.normal(size=(80, 300))
    features[1] = features[0] + 0.1 * chance.normal(size=300)
    features[7] = features[1] + 0.1 * chance.normal(size=300)
    pictures = [Labelled(f"{at}.jpg", {}) for at in range(80)]
    found = join_near(Groups(np.arange(80)), pictures, features)
    assert len(set(found.numbers)) == 78
    assert len({found.numbers[at] for at in (0, 1, 7)}) == 1
    assert "nearly the same to the model, and are kept together" in found.note
    few = join_near(Groups(np.arange(80)), pictures, features[:, :10])
    assert not few.note  # in few directions everything is near something
    lengthy = join_near(Groups(np.arange(80)), pictures, features * 0.3 ** np.arange(300) + features[:, :1])
    assert not lengthy.note  # and in many of which one is all that counts


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("count", [12, 25, 60])
def test_copies_that_a_model_sees_are_never_parted_however_few_or_many(count: int, copies: int) -> None:
    """Copies that are not the same to the model, but by far nearer to each other than to all else."""
    chance = np.random.default_rng(1)
    photographs = chance.normal(size=(count, 300))
    features = np.concatenate([photographs, *(photographs + 0.5 * chance.normal(size=(copies, count, 300)))])
    pictures = [Labelled(f"{at}.jpg", {}) for at in range(len(features))]
    found = join_near(Groups(np.arange(len(features))), pictures, features)
    assert len(set(found.numbers)) == count
    assert np.array_equal(found.numbers, np.tile(found.numbers[:count], 1 + copies))
    assert not join_near(Groups(np.arange(count)), pictures[:count], photographs).note


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture.convert("L"),
        lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
        lambda picture: picture.transpose(Image.Transpose.ROTATE_180),
        ImageOps.mirror,
        lambda picture: ImageOps.expand(picture, 20, "white"),
        lambda picture: ImageOps.pad(picture, (400, 700), color="black"),
        lambda picture: ImageOps.mirror(ImageOps.expand(picture, (0, 60), "black")),
    ],
    ids=["black and white", "a quarter", "upside down", "mirrored", "frame", "story", "mirrored letterbox"],
)
def test_a_copy_that_was_framed_or_turned_looks_alike(change: Callable[[Image.Image], Image.Image]) -> None:
    chance = np.random.default_rng(0)
    shown = [np.asarray(photograph(at)) * chance.uniform(0.4, 1, 3) for at in range(12)]
    originals = [Image.fromarray(each.astype(np.uint8)) for each in shown]
    copies = [change(each) for each in originals]
    looks = [look_around(open_picture(encoded(each, "JPEG"), Decoding())) for each in (*originals, *copies)]
    pictures = [Labelled(f"{at}.jpg", {}) for at in range(24)]
    found = join_alike(Groups(np.arange(24)), pictures, looks)
    assert np.array_equal(found.numbers[:12], found.numbers[12:])
    assert len(set(found.numbers)) == 12
    assert "12 pairs of pictures look alike" in found.note


def test_a_picture_of_one_colour_has_no_border() -> None:
    for picture in (Image.new("RGB", (90, 60), "white"), ImageOps.expand(photograph(0, (10, 10)), 90, "black")):
        pixels = np.asarray(picture)
        assert cut_border(pixels) is pixels


def test_words_are_one_in_either_form_of_unicode() -> None:
    cells = ("Caf\u00e9", "Cafe\u0301", "x")
    pictures = [Labelled(f"{at}.jpg", {}, columns={"place": cell}) for at, cell in enumerate(cells)]
    assert find_groups(pictures, "place").numbers.tolist() == [0, 0, 1]


def test_comparisons_are_grouped_by_what_stands_beside_them() -> None:
    pictures = [Labelled(name, {}) for name in "abcdefg"]
    beside = {"ab": "1", "cd": "2", "ce": " 2 ", "fg": ""}
    pairs = [Pair(names[0], names[1], columns={"series": cell}) for names, cell in beside.items()]
    found = find_groups(pictures, "series", pairs)
    assert [list(found.numbers).index(number) for number in found.numbers] == [0, 0, 2, 2, 2, 5, 6]
    assert found.note == "2 of 7 pictures have no series: each is a group of its own"
    joined = find_groups(pictures, "series", [*pairs, Pair("b", "e", columns={"series": "1"})])
    assert len(set(joined.numbers[:5])) == 1  # e stands in both
    assert joined.note.endswith("1 with more than one series, such as e, join these")
    third = [Pair("a", "z", columns={"series": "1.0"}), Pair("f", "z", columns={"series": "4"})]
    assert find_groups(pictures, "series", [*pairs, *third]).numbers.tolist() == [0, 0, 1, 1, 1, 0, 2]


def test_comparisons_know_no_column_that_they_lack() -> None:
    pictures, pairs = [Labelled("a.jpg", {}), Labelled("b.jpg", {})], [Pair("a.jpg", "b.jpg")]
    with pytest.raises(UsageError, match="the labels have no column 'series' to group by") as raised:
        find_groups(pictures, "series", pairs)
    assert raised.value.hint == "--group-by folder|time"
    with pytest.raises(UsageError) as raised:
        find_groups(pictures, "series", [Pair("a.jpg", "b.jpg", columns={"serie": "x"})])
    assert raised.value.hint == "did you mean 'serie'?"


@pytest.mark.parametrize("nothing", ["", " ", "NA"])
def test_a_column_that_is_empty_all_the_way_down_groups_nothing(nothing: str) -> None:
    pictures = [Labelled(f"{at}.jpg", {"overall": 1.0}, columns={"series": nothing, "": "x"}) for at in range(3)]
    with pytest.raises(UsageError, match="no row says its series"):
        find_groups(pictures, "series")
    with pytest.raises(UsageError) as raised:
        find_groups(pictures, "photographer")
    assert raised.value.hint == "--group-by folder|time|series"
