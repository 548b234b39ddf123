"""`score_images` as a program meets it."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aescli import Failure, Score, score_images
from aescli.errors import NothingMatched, UsageError
from tests.conftest import Aes, needs_posix, photograph


def test_rows_are_those_of_the_command(aes: Aes, photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"no picture")
    rows = list(score_images(photos, dims="all"))
    told = aes("score", photos, "--dims", "all").rows()
    assert [row.path for row in rows] == [row[0] for row in told]
    for row, cells in zip(rows, told, strict=True):
        if isinstance(row, Failure):
            assert (row.code, cells[1]) == ("not_an_image", "error")
        else:
            assert [row.overall, *row.dims.values()] == pytest.approx([*map(float, cells[2:9])], abs=1e-6)


def test_names_of_any_number_and_kind(photos: Path) -> None:
    one, other = photos / "3.jpg", str(photos / "0.jpg")
    assert [row.path for row in score_images(one)] == [str(one)]
    found = list(score_images([one, other], dims=["noise", "sharpness"], workers=1, batch_size=1))
    assert [row.path for row in found] == [str(one), other]
    assert all(isinstance(row, Score) and list(row.dims) == ["sharpness", "noise"] for row in found)


def test_archives_are_pictures_too(photos: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "s"), "tar", photos)
    inside = {
        row.path.removeprefix(f"{archive}/"): row.overall for row in score_images(archive) if isinstance(row, Score)
    }
    outside = {
        row.path.removeprefix(f"{photos}/"): row.overall for row in score_images(photos) if isinstance(row, Score)
    }
    assert len(inside) == 6
    assert inside == outside


def test_a_store_keeps_rows_and_nothing_else_does(photos: Path, tmp_path: Path, home: Path) -> None:
    store = tmp_path / "rows.db"
    first = list(score_images(photos, store=store))
    assert list(score_images(photos, store=store)) == first
    assert store.exists()
    assert not home.exists()


def test_what_is_wrong_with_the_words_is_said_by_the_call(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        score_images(photos / "no.jpg")
    with pytest.raises(UsageError):
        score_images(photos, model="minni")
    with pytest.raises(UsageError):
        score_images(photos, dims="sharp")
    with pytest.raises(UsageError, match="standard input"):
        score_images("-")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingMatched):
        next(score_images(tmp_path / "empty"))


def test_rows_may_be_left_before_the_last(photos: Path) -> None:
    rows = score_images([photos] * 50, batch_size=1)
    assert next(rows).path == str(photos / "0.jpg")
    rows.close()


@needs_posix
def test_importing_is_light_and_pillow_is_left_as_it_is(tmp_path: Path) -> None:
    photograph(0, (60, 40)).save(tmp_path / "a.png")
    program = (
        "import sys; from aescli import score_images\n"
        "print({'numpy', 'PIL', 'torch', 'typer', 'rich'} & {*sys.modules})\n"
        f"from PIL import Image; print(Image.MAX_IMAGE_PIXELS); rows = [*score_images({str(tmp_path)!r})]\n"
        "print(Image.MAX_IMAGE_PIXELS, len(rows), 'rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["set()", "89478485", "89478485 1 False"]
    assert not done.stderr


@pytest.mark.parametrize("counts", [{"workers": -1}, {"workers": 1.5}, {"batch_size": 0}, {"max_pixels": -1}])
def test_counts_are_whole_numbers_from_1_on(photos: Path, counts: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no whole number from 1 on"):
        score_images(photos, **counts)


def test_a_store_may_be_a_text(photos: Path, tmp_path: Path) -> None:
    first = list(score_images(photos, store=str(tmp_path / "s.db")))
    assert (tmp_path / "s.db").exists()
    assert list(score_images(photos, store=str(tmp_path / "s.db"))) == first
