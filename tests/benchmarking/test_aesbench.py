"""VLMEvalKit's table of AesBench, whose pictures stand in it."""

import base64
import csv
from pathlib import Path

import pytest

from aescli.benchmarking.aesbench import ABILITIES, read_items
from aescli.benchmarking.items import Item
from aescli.errors import AesError
from tests.conftest import encoded, photograph

FIELDS = ("index", "image", "question", "A", "B", "C", "answer", "category")


def picture(seed: int) -> bytes:
    return encoded(photograph(seed, (16, 12)), "JPEG")


def row(index: str, image: bytes | str, **more: str) -> dict[str, str]:
    packed = image if isinstance(image, str) else base64.b64encode(image).decode()
    usual = {"question": "How?", "A": "High", "B": "Medium", "C": "Low", "answer": "A", "category": "AesA"}
    return {"index": index, "image": packed, **usual, **more}


def read(folder: Path, *rows: dict[str, str]) -> list[Item]:
    file = folder / "AesBench_VAL.tsv"
    with file.open("w", newline="") as stream:
        table = csv.DictWriter(stream, FIELDS, delimiter="\t")
        table.writeheader()
        table.writerows(rows)
    return read_items(file, ABILITIES)


def test_pictures_are_unpacked_and_may_be_shared(tmp_path: Path, home: Path) -> None:
    rows = [row("8", "7", category="AesE", answer=""), row("7", picture(1)), row("9", picture(2), answer="Low")]
    items = read(tmp_path, *rows)
    assert [item.name for item in items] == ["AesE/8", "AesA1/7", "AesA1/9"]
    assert [item.path.read_bytes() for item in items] == [picture(1), picture(1), picture(2)]
    assert [item.answer for item in items] == [None, "A", "C"]
    assert all(home in item.path.parents for item in items)


def test_another_table_of_the_same_name_has_its_own_pictures(tmp_path: Path, home: Path) -> None:
    read(tmp_path, row("7", picture(1)))
    (item,) = read(tmp_path, row("7", picture(2)))
    assert item.path.read_bytes() == picture(2)
    item.path.write_bytes(b"cut")  # by a run that was killed
    (item,) = read(tmp_path, row("7", picture(2)))
    assert item.path.read_bytes() == picture(2)


def test_an_index_is_no_path(tmp_path: Path, home: Path) -> None:
    (item,) = read(tmp_path / "", row("../../escaped", picture(1)))
    assert home in item.path.resolve().parents
    assert not list(tmp_path.parent.glob("escaped*"))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row("7", picture(1)), row("7", picture(2))], "row 2: the index 7 is there twice"),
        ([row("7", "A")], "row 1: there is no picture 'A'"),
        ([row("7", "")], "row 1: there is no picture ''"),
        ([row("7", "8"), row("8", "7")], "row 1: there is no picture '8'"),
        ([row("7", "!" * 99)], "no table of VLMEvalKit"),
        ([row("7", picture(1), answer="D")], "none of its options"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, home: Path, rows: list[dict[str, str]], said: str) -> None:
    with pytest.raises(AesError, match=said):
        read(tmp_path, *rows)
