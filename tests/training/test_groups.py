from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aescli.errors import UsageError
from aescli.images.boxes import find_items, list_boxes
from aescli.images.taken import read_capture
from aescli.labels.values import Labelled
from aescli.training.groups import Groups, assign_folds, find_groups, join_copies
from tests.conftest import photograph


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


def taken(
    folder: Path, name: str, moment: str | None, suffix: str = ".jpg", fraction: str = "", offset: str = ""
) -> Labelled:
    exif = Image.Exif()
    exif[271] = "a camera"
    if moment:
        exif.get_ifd(0x8769)[36867] = moment
        exif.get_ifd(0x8769)[37521] = fraction
        exif.get_ifd(0x8769)[36881] = offset
    file = folder / f"{name}{suffix}"
    if suffix == ".tif":  # whose own directory holds the others
        photograph(1, (40, 30)).save(file, tiffinfo={34665: dict(exif.get_ifd(0x8769))})
    else:
        photograph(1, (40, 30)).save(file, exif=exif)
    return Labelled(str(file), {"overall": 1.0})


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


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png", ".webp", ".avif", ".heic"])
def test_when_a_picture_was_taken(tmp_path: Path, suffix: str) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif", reason="only the encoder package can write HEIC").register_heif_opener()
    picture = taken(tmp_path, "a", "1970:01:01 00:01:00", suffix, "25")
    assert read_capture(picture.path).taken == 60.25


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def raw_files(folder: Path, moment: str) -> dict[str, bytes]:
    """Return files as cameras build them, as far as the moment is concerned."""
    exif, inner = Image.Exif(), Image.Exif()
    exif.get_ifd(0x8769)[36867] = inner[36867] = moment
    outer = {}
    for exif.endian in ("<", ">"):
        outer[exif.endian] = exif.tobytes().removeprefix(b"Exif\0\0")[4:]
    canon = (
        bytes.fromhex("85c0b687820f11e08111f4ce462b6a48") + box(b"CNCV", b"1") + box(b"CMT1", b"II*\0\x08\0\0\0\0\0")
    )
    canon += box(b"CMT2", inner.tobytes().removeprefix(b"Exif\0\0"))
    jpeg = Path(taken(folder, "in raw", moment).path).read_bytes()
    return {
        "cr3": box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", box(b"uuid", canon)) + box(b"mdat", bytes(99)),
        "raf": b"FUJIFILMCCD-RAW ".ljust(84, b"\0") + (92).to_bytes(4, "big") + len(jpeg).to_bytes(4, "big") + jpeg,
        "rw2": b"IIU\0" + outer["<"],
        "old.orf": b"MMOR" + outer[">"],
        "orf": b"IIRO" + outer["<"],
    }


@pytest.mark.parametrize("kind", ["cr3", "raf", "rw2", "old.orf", "orf"])
def test_cameras_own_formats_say_when_they_were_taken(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"a.{kind}"
    whole = raw_files(tmp_path, "1970:01:01 00:01:00")[kind]
    file.write_bytes(whole)
    assert read_capture(str(file)).taken == 60.0
    for cut in range(0, len(whole), max(1, len(whole) // 60)):
        file.write_bytes(whole[:cut])
        read_capture(str(file))  # whatever it says


@pytest.mark.parametrize("moment", ["0000:00:00 00:00:00", "yesterday", "    :  :     :  :  ", None])
def test_a_moment_that_is_none(tmp_path: Path, moment: str | None) -> None:
    assert read_capture(taken(tmp_path, "a", moment).path).taken is None
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff\xe1\xff\xffExif")
    assert read_capture(str(tmp_path / "b.jpg")).taken is None
    assert read_capture(str(tmp_path / "gone.jpg")).taken is None


@given(cut=st.integers(0, 2000), at=st.integers(0, 700), byte=st.integers(0, 255))
def test_boxes_that_lie_say_nothing(tmp_path_factory: pytest.TempPathFactory, cut: int, at: int, byte: int) -> None:
    whole = taken(tmp_path_factory.mktemp("boxes"), "a", "1970:01:01 00:01:00", ".avif")
    data = bytearray(Path(whole.path).read_bytes())
    data[at] = byte
    Path(whole.path).write_bytes(data[: cut if cut else None])
    read_capture(whole.path)  # whatever it says


def test_a_table_of_places_that_take_no_room(tmp_path: Path) -> None:
    """Items with 65,535 parts of no size each: four hundred of them would take half a minute."""
    entry = box(b"infe", b"\2\0\0\0" + b"\0\1\0\0Exif\0")
    places = b"\0\0\0\0" + b"\0\0" + (60_000).to_bytes(2, "big") + (b"\0\1\0\0\xff\xff") * 60_000
    meta = box(b"meta", bytes(4) + box(b"iinf", bytes(4) + b"\0\1" + entry) + box(b"iloc", places))
    file = tmp_path / "a.heic"
    file.write_bytes(box(b"ftyp", b"heic\0\0\0\0mif1heic") + meta)
    with file.open("rb") as opened, pytest.raises(EOFError):
        list(find_items(opened, [*list_boxes(opened, 0, file.stat().st_size)][1], lambda kind, _: kind == b"Exif"))
    assert read_capture(str(file)).taken is None


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
