"""`aes cull` as a photographer meets it: bursts, copies, brackets, pairs of raw and JPEG."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.conftest import Aes, Done, needs_posix, photograph

START = "2024:05:01 10:00:"


def save(file: Path, seed: int, second: float | None, *, mode: int = 0, moved: int = 0, soft: float = 0) -> Path:
    """Save a picture of a scene as one frame of a burst: a little later, moved and less sharp."""
    picture = photograph(seed, (160, 120))
    if moved:
        picture = Image.fromarray(np.roll(np.asarray(picture), moved, axis=1))
    picture = picture.filter(ImageFilter.GaussianBlur(soft)) if soft else picture
    exif = Image.Exif()
    if second is not None:
        inner = exif.get_ifd(0x8769)
        inner[36867] = f"{START}{int(second):02d}"
        inner[37521] = f"{round(second % 1 * 100):02d}"
        inner[41986] = mode
    picture.save(file, quality=92, exif=exif)
    return file


@pytest.fixture
def shoot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A burst of three, a copy without a time, a bracket of two, and three frames by themselves."""
    folder = tmp_path / "shoot"
    folder.mkdir()
    for at, second in enumerate((1.0, 1.4, 2.9)):
        save(folder / f"burst{at}.jpg", 1, second, moved=6 * at)
    photograph(1, (80, 60)).save(folder / "copy.jpg", quality=70)
    save(folder / "dark.jpg", 2, 20.0, mode=2)
    save(folder / "light.jpg", 3, 20.5, mode=2)
    save(folder / "far1.jpg", 4, 40.0)
    save(folder / "far2.jpg", 5, 41.0)  # soon after, but of something else
    save(folder / "late.jpg", 4, 55.0, moved=30)
    monkeypatch.chdir(tmp_path)
    scores = {
        "burst0": 5.0, "burst1": 7.0, "burst2": 6.5, "copy": 1.0, "dark": 0.5, "light": 4.0, "far1": 8.0, "far2": 0.7,
        "late": 3.0,
    }  # fmt: skip
    lines = [f"shoot/{name}.jpg,ok,{score},1,mini,,," for name, score in scores.items()]
    Path("s.csv").write_text("\n".join(["path,status,overall,raw,model,flags,error_code,error", *lines]) + "\n")
    return folder


def cull(aes: Aes, *words: object) -> tuple[Done, dict[str, dict[str, Any]]]:
    done = aes("cull", "--scores", "s.csv", "--format", "jsonl", *words)
    lines = [json.loads(line) for line in done.out.splitlines()]
    return done, {Path(line["path"]).stem: line for line in lines}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_groups_ranks_and_verdicts(aes: Aes, shoot: Path, home: Path) -> None:
    before = tree(shoot)
    done, found = cull(aes, "--reject", "34")
    assert done.code == 0
    assert {name: each["group"] for name, each in found.items()} == {
        "burst0": 1, "burst1": 1, "burst2": 1, "copy": 1, "dark": 2, "light": 2, "far1": None, "far2": None,
        "late": None,
    }  # fmt: skip
    assert {name: each["verdict"] for name, each in found.items()} == {
        "burst0": "review", "burst1": "keep", "burst2": "review", "copy": "reject", "dark": "keep", "light": "keep",
        "far1": "keep", "far2": "reject", "late": "keep",
    }  # fmt: skip
    assert [found[f"burst{at}"]["place"] for at in range(3)] == [3, 1, 2]
    assert found["burst0"]["reason"] == "3 of 4 alike, 2.00 below the best"
    assert "bracketed" in found["dark"]["reason"]
    assert "lowest 34%" in found["far2"]["reason"]
    assert "5 keep, 2 reject, 2 review; 2 groups" in done.err
    assert "nothing was moved" in done.err
    assert tree(shoot) == before
    assert not (home / "journal.db").exists()


def test_the_best_of_a_group_is_never_rejected_and_nothing_is_for_its_group_alone(aes: Aes, shoot: Path) -> None:
    _, found = cull(aes, "--reject", "100")
    assert found["burst1"]["verdict"] == "keep"
    assert {found[name]["verdict"] for name in ("far1", "far2", "late", "copy")} == {"reject"}
    _, found = cull(aes, "--reject", "0", "--keep", "2")
    assert "reject" not in {each["verdict"] for each in found.values()}
    assert found["burst2"]["verdict"] == "keep"


def test_what_is_alike_can_be_said(aes: Aes, shoot: Path) -> None:
    _, found = cull(aes, "--gap", "0.5", "--alike", "0")
    assert found["burst2"]["group"] != found["burst0"]["group"]
    assert found["burst1"]["group"] == found["burst0"]["group"]


@pytest.mark.parametrize("by", ["move", "link"])
def test_apply_moves_or_links_with_sidecars_and_undo_puts_back(aes: Aes, shoot: Path, tmp_path: Path, by: str) -> None:
    (shoot / "copy.jpg.xmp").write_text("its own")
    (shoot / "far2.xmp").write_text("its own, too")
    before = tree(shoot)
    done, _ = cull(aes, "--reject", "34", "--apply", "--into", "culled", "--by", by)
    assert done.code == 0
    names = {"reject": {"copy.jpg", "copy.jpg.xmp", "far2.jpg", "far2.xmp"}, "review": {"burst0.jpg", "burst2.jpg"}}
    for verdict, files in names.items():
        assert {file.name for file in (tmp_path / "culled" / verdict).iterdir()} == files
        assert all((shoot / file).exists() == (by == "link") for file in files)
    assert (tmp_path / "culled" / "keep").exists() == (by == "link")
    assert (shoot / "burst1.jpg").exists()
    done = aes("cull", "--undo")
    assert done.code == 0
    assert tree(shoot) == before
    assert not (tmp_path / "culled").exists()
    assert aes("cull", "--undo").code == 4


def add_scores(**scores: float) -> None:
    with Path("s.csv").open("a") as file:
        file.writelines(
            f"shoot/{name}.{suffix},ok,{score},1,mini,,,\n"
            for (name, suffix), score in ((name.rsplit("_", 1), score) for name, score in scores.items())
        )


@pytest.mark.parametrize("by", ["move", "link"])
def test_a_sidecar_of_two_pictures_stays_with_the_better(aes: Aes, shoot: Path, tmp_path: Path, by: str) -> None:
    photograph(30, (160, 120)).save(shoot / "twin.png")
    photograph(31, (160, 120)).save(shoot / "twin.jpg")
    (shoot / "twin.xmp").write_text("a person's stars")
    add_scores(twin_png=9.0, twin_jpg=0.1)
    done, _ = cull(aes, "--reject", "34", "--apply", "--into", "culled", "--by", by)
    assert done.code == 0
    assert (tmp_path / "culled" / "reject" / "twin.jpg").exists()
    assert not (tmp_path / "culled" / "reject" / "twin.xmp").exists()
    assert (shoot / "twin.xmp").exists()
    assert (tmp_path / "culled" / "keep" / "twin.xmp").exists() == (by == "link")


def test_frames_of_a_bracket_are_kept_beside_another_that_is_alike(aes: Aes, shoot: Path) -> None:
    save(shoot / "plain.jpg", 2, 20.2)
    add_scores(plain_jpg=3.0)
    _, found = cull(aes)
    assert found["plain"]["group"] == found["dark"]["group"] == found["light"]["group"]
    assert found["dark"]["verdict"] == found["light"]["verdict"] == "keep"
    assert found["dark"]["reason"] == "one of 2 bracketed exposures"
    assert found["plain"]["verdict"] == "review"


def test_frames_of_another_camera_do_not_part_a_burst(aes: Aes, shoot: Path) -> None:
    for at, second in enumerate((1.2, 2.0)):
        save(shoot / f"other{at}.jpg", 40, second)
    add_scores(other0_jpg=5.5, other1_jpg=5.6)
    _, found = cull(aes, "--alike", "0")
    assert found["burst0"]["group"] == found["burst1"]["group"] == found["burst2"]["group"]
    assert found["other0"]["group"] == found["other1"]["group"] != found["burst0"]["group"]


def test_pillows_own_limit_is_none_of_ours(aes: Aes, shoot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)  # as a process begins, but for the number
    _, found = cull(aes)
    assert found["burst0"]["group"] == found["burst1"]["group"]


def test_what_cannot_be_compared_says_so(aes: Aes, shoot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = cull(aes, "--max-pixels", "1000")
    assert found["burst0"]["group"] is None
    assert found["burst0"]["reason"].startswith("compared with none: 160 x 120 pixels are more than 1,000")
    done = aes("cull", "shoot", "--max-pixels", "1000", "--format", "jsonl")
    assert done.code == 4
    monkeypatch.setenv("AES_MAX_PIXELS", "1000")
    _, found = cull(aes)
    assert found["burst0"]["group"] is None


def test_nothing_is_overwritten(aes: Aes, shoot: Path, tmp_path: Path) -> None:
    (tmp_path / "culled" / "reject").mkdir(parents=True)
    (tmp_path / "culled" / "reject" / "copy.jpg").write_text("another")
    done, _ = cull(aes, "--reject", "34", "--apply", "--into", "culled")
    assert done.code == 3
    assert "culled/reject/copy.jpg exists" in done.err
    assert (tmp_path / "culled" / "reject" / "copy.jpg").read_text() == "another"
    assert (shoot / "copy.jpg").exists()
    (shoot / "far2.jpg").write_text("a new one of the same name")
    done = aes("cull", "--undo")
    assert done.code == 3
    assert "is another file now" in done.err
    assert (shoot / "far2.jpg").read_text() == "a new one of the same name"
    assert (tmp_path / "culled" / "reject" / "far2.jpg").exists()
    (shoot / "far2.jpg").unlink()
    aes("cull", "--undo")
    assert (shoot / "far2.jpg").exists()


def test_a_picture_that_is_named_twice_is_no_copy_of_itself(aes: Aes, shoot: Path) -> None:
    before = tree(shoot)
    rows = Path("s.csv").read_text().splitlines()
    twice = [row.replace("shoot/", each) for row in rows[1:] for each in ("shoot/", "./shoot/../shoot/")]
    Path("s.csv").write_text("\n".join([rows[0], *twice]) + "\n")
    done, found = cull(aes, "--apply", "--into", "culled", "--reject", "0")
    assert "9 pictures are named twice" in done.err
    assert {name for name, each in found.items() if each["verdict"] == "keep"} >= {"burst1", "far1", "far2", "late"}
    assert len(done.out.splitlines()) == len(before)
    assert (shoot / "burst1.jpg").exists()
    assert not (Path("culled") / "review" / "late.jpg").exists()


def test_what_was_moved_is_no_shoot(aes: Aes, shoot: Path) -> None:
    words = ("cull", "shoot", "--reject", "50", "--apply", "--into", "shoot/culled")
    assert aes(*words).code == 0
    before = tree(shoot)
    done = aes(*words)
    assert done.code == 2
    assert "shoot/culled holds pictures of the shoot" in done.err
    assert tree(shoot) == before


def test_a_run_that_was_killed_can_be_taken_back(aes: Aes, shoot: Path, tmp_path: Path) -> None:
    before = tree(shoot)
    cull(aes, "--reject", "34", "--apply", "--into", "culled")
    shutil.move(tmp_path / "culled" / "reject" / "copy.jpg", shoot / "copy.jpg")  # had not been moved yet
    os.link(tmp_path / "culled" / "reject" / "far2.jpg", shoot / "far2.jpg")  # had its second name already
    assert aes("cull", "--undo").code == 0
    assert tree(shoot) == before


def test_raw_and_jpeg_are_one_frame(aes: Aes, shoot: Path, tmp_path: Path) -> None:
    for name in ("far1", "far2", "late"):
        (shoot / f"{name}.nef").write_bytes(b"raw")
        with Path("s.csv").open("a") as file:
            file.write(f"shoot/{name}.nef,error,,,mini,,unsupported_format,no rawpy\n")
    done = aes("cull", "--scores", "s.csv", "--reject", "34", "--format", "csv", "--apply", "--into", "culled")
    rows = {Path(row[0]).name: row for row in done.rows()}
    assert rows["far1.nef"][8] == rows["far1.jpg"][8] == "keep"
    assert {file.name for file in (tmp_path / "culled" / "reject").iterdir()} == {"copy.jpg", "far2.jpg", "far2.nef"}


def test_what_has_no_score_is_for_review(aes: Aes, shoot: Path) -> None:
    with Path("s.csv").open("a") as file:
        file.write("shoot/gone.jpg,error,,,mini,,vanished,there is no such file\n")
    done, found = cull(aes)
    assert done.code == 3
    assert (found["gone"]["verdict"], found["gone"]["reason"]) == ("review", "it has no score")


def test_what_it_writes_is_filtered_like_scores(aes: Aes, shoot: Path) -> None:
    for name in ("c.csv", "c.jsonl", "c.parquet"):
        aes("cull", "--scores", "s.csv", "--reject", "34", "-o", name)
        done = aes("filter", name, "--where", "verdict = 'reject'", "-q")
        assert done.out.splitlines() == ["shoot/copy.jpg", "shoot/far2.jpg"]
        done = aes("filter", name, "--where", "group = 1 and place <= 2", "-q")
        assert done.out.splitlines() == ["shoot/burst1.jpg", "shoot/burst2.jpg"]


def test_pictures_are_scored_where_no_scores_are_given(aes: Aes, shoot: Path) -> None:
    done = aes("cull", "shoot", "--dims", "sharpness", "--format", "jsonl")
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert len(rows) == 9
    assert all(0 <= row["sharpness"] <= 10 for row in rows)
    again = aes("score", "shoot")
    assert {row["path"]: row["overall"] for row in rows} == pytest.approx(
        {row[0]: float(row[2]) for row in again.rows()}, abs=1e-6
    )


@needs_posix
def test_odd_names_are_moved_as_they_are(aes: Aes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shoot").mkdir()
    names = [b"caf\xe9.jpg", b"\x1b[31m.jpg", b"two\nlines.jpg", b"-rf.jpg"]
    for seed, name in enumerate(names):
        photograph(seed, (80, 60)).save(f"shoot/{os.fsdecode(name)}")
    done = aes("cull", "shoot", "--reject", "100", "--apply", "--into", "culled")
    assert done.code == 0
    assert b"\x1b" not in done.raw + done.err.encode()
    assert sorted(os.fsencode(file.name) for file in Path("culled/reject").iterdir()) == sorted(names)
    assert aes("cull", "--undo").code == 0
    assert sorted(os.fsencode(file.name) for file in Path("shoot").iterdir()) == sorted(names)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--apply"], "--into"),
        (["--by", "copy"], "move|link"),
        (["--verdicts", "burn"], "no verdict"),
        (["--apply", "--into", "shoot"], "holds pictures of the shoot"),
        (["--undo"], "whole last run"),
    ],
)
def test_what_cannot_be_meant_is_refused(aes: Aes, shoot: Path, words: list[str], message: str) -> None:
    done, _ = cull(aes, *words)
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize("words", [(), ("shoot", "--scores", "s.csv")], ids=["nothing", "both"])
def test_pictures_or_their_scores_are_named(aes: Aes, shoot: Path, words: tuple[str, ...]) -> None:
    done = aes("cull", *words)
    assert done.code == 2
    assert "--scores FILE" in done.err


def test_a_file_that_is_gone_all_the_same_is_not_lost(
    aes: Aes, shoot: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network drive may say that a file is not there after it has removed it."""
    before, real = len(tree(shoot)), os.unlink

    def remove(path: str) -> None:
        real(path)
        if "culled" not in str(path):
            raise FileNotFoundError(2, "No such file or directory", path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", remove)
        done, _ = cull(aes, "--reject", "34", "--apply", "--into", "culled")
    assert done.code == 0
    assert len(tree(shoot)) + len(tree(Path("culled"))) == before


def test_a_folder_of_the_users_stays_where_nothing_could_be_moved(
    aes: Aes, shoot: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("culled").mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refuse)
        done, _ = cull(aes, "--reject", "34", "--apply", "--into", "culled")
    assert done.code == 3
    assert "is on another disk" in done.err
    assert list(Path("culled").iterdir()) == []


def test_a_file_that_may_not_leave_its_folder_has_one_name(
    aes: Aes, shoot: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = tree(shoot), os.unlink

    def refuse(path: str) -> None:
        if "culled" not in str(path):
            raise PermissionError(13, "Permission denied", path)
        real(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        done, _ = cull(aes, "--reject", "34", "--apply", "--into", "culled")
    assert done.code == 3
    assert "0 files moved" in done.err
    assert tree(shoot) == before
    assert not Path("culled").exists()
    again, _ = cull(aes, "--reject", "34", "--apply", "--into", "culled")
    assert again.code == 0
