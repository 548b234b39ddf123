"""`aes score` as a user meets it: words in, rows and an exit code out."""

import csv
import io
import json
import os
import socket
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Aes, encoded, needs_posix, photograph

HEADER = "path,status,overall,raw,model,flags,error_code,error"


def test_a_folder_becomes_rows_in_the_order_of_the_walk(aes: Aes, photos: Path) -> None:
    done = aes("score", photos)
    assert done.code == 0
    assert done.out.splitlines()[0] == HEADER
    assert [row[0] for row in done.rows()] == [
        str(photos / name) for name in ("0.jpg", "1.jpg", "2.jpg", "3.jpg", "inner/4.png", "inner/5.webp")
    ]
    for row in done.rows():
        assert row[1] == "ok"
        assert row[4] == "mini"
        assert float(row[2]) == pytest.approx((float(row[3]) - 1) / 6 * 10, abs=1e-5)
        assert len(row[2].partition(".")[2]) >= 4
    assert "6 scored" in done.err
    assert "home/scores.db" in done.err


def test_dims_all_adds_every_dimension_and_leaves_overall_as_it_is(aes: Aes, photos: Path) -> None:
    plain = {row[0]: row[2] for row in aes("score", photos).rows()}
    done = aes("score", photos, "--dims", "all")
    assert done.out.splitlines()[0] == (
        "path,status,overall,sharpness,exposure,contrast,colorfulness,noise,technical,raw,model,flags,error_code,error"
    )
    assert {row[0]: row[2] for row in done.rows()} == plain
    one = aes("score", photos, "--dims", "noise,sharpness")
    assert one.out.splitlines()[0].startswith("path,status,overall,sharpness,noise,raw")


def test_a_bad_file_is_a_row_and_exit_3(aes: Aes, photos: Path) -> None:
    before = {row[0]: row for row in aes("score", photos, "--no-store").rows()}
    (photos / "bad.jpg").write_bytes(b"<html>404</html>")
    (photos / "cut.jpg").write_bytes((photos / "0.jpg").read_bytes()[:3000])
    (photos / "empty.png").touch()
    done = aes("score", photos)
    assert done.code == 3
    rows = {Path(row[0]).name: row for row in done.rows()}
    assert [rows[name][6] for name in ("bad.jpg", "cut.jpg", "empty.png")] == ["not_an_image", "truncated", "empty"]
    assert all(rows[Path(path).name] == row for path, row in before.items())
    assert "3 failed (1 not_an_image, 1 truncated, 1 empty)" in done.err


def test_failures_may_count_for_nothing_or_end_the_run(aes: Aes, photos: Path) -> None:
    for name in ("x.jpg", "y.jpg"):
        (photos / name).write_bytes(b"no picture")
    assert aes("score", photos, "--fail-on", "none").code == 0
    assert aes("score", photos, "--max-errors", "2").code == 3
    stopped = aes("score", photos, "--max-errors", "1", "-o", photos / "scores.csv")
    assert stopped.code == 1
    assert "--max-errors allows 1" in stopped.err
    assert not (photos / "scores.csv").exists()


def test_skipped_files_are_rows_when_asked_and_no_failures(aes: Aes, photos: Path, tmp_path: Path) -> None:
    (photos / "note.txt").write_text("words")
    done = aes("score", photos, "--report-skipped")
    assert done.code == 0
    assert [row[-2:] for row in done.rows() if row[0].endswith("note.txt")] == [["skipped", "not selected"]]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "note.txt").write_text("words")
    assert aes("score", tmp_path / "empty", "--report-skipped").code == 4


def test_running_again_computes_nothing_that_is_done_and_retries_what_failed(aes: Aes, photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"no picture yet")
    first = aes("score", photos)
    again = aes("score", photos)
    assert again.out == first.out
    assert "6 of them kept from before" in again.err
    (photos / "bad.jpg").write_bytes(encoded(photograph(9), "JPEG"))
    (photos / "0.jpg").write_bytes(encoded(photograph(8), "JPEG"))
    third = aes("score", photos)
    assert third.code == 0
    assert "5 of them kept from before" in third.err
    assert "kept from before" not in aes("score", photos, "--fresh").err
    assert "kept from before" not in aes("score", photos, "--dims", "noise").err
    assert "kept from before" not in aes("score", photos, "--exact-decode").err
    assert "7 of them kept from before" in aes("score", photos).err


def test_no_store_leaves_no_trace(aes: Aes, photos: Path, home: Path) -> None:
    assert aes("score", photos, "--no-store").code == 0
    assert not home.exists()


def test_a_store_of_ones_own_is_used(aes: Aes, photos: Path, tmp_path: Path, home: Path) -> None:
    aes("score", photos, "--store", tmp_path / "own.db")
    rows = sqlite3.connect(tmp_path / "own.db")
    assert rows.execute("SELECT count(*) FROM rows").fetchone() == (6,)
    rows.close()
    assert not home.exists()


def test_check_content_knows_a_moved_file(aes: Aes, photos: Path) -> None:
    aes("score", photos, "--check", "content")
    (photos / "0.jpg").rename(photos / "renamed.jpg")
    done = aes("score", photos, "--check", "content")
    assert "6 of them kept from before" in done.err
    assert any(row[0].endswith("renamed.jpg") for row in done.rows())


def test_a_home_that_cannot_be_written_costs_a_note_and_not_the_run(
    aes: Aes, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AES_HOME", "/proc/nothing")
    done = aes("score", photos)
    assert done.code == 0
    assert "rows are not kept" in done.err
    assert aes("score", photos, "--store", "/proc/nothing/s.db").code == 1


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "txt"])
def test_an_output_file_takes_its_format_from_the_suffix(aes: Aes, photos: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out.{suffix}"
    done = aes("score", photos, "-o", target)
    assert (done.code, done.out) == (0, "")
    assert str(target) in done.err
    content = target.read_bytes()
    if suffix == "csv":
        assert content == aes("score", photos).raw
    elif suffix == "jsonl":
        assert [json.loads(line)["status"] for line in content.splitlines()] == ["ok"] * 6
    elif suffix == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        assert parquet.read_table(target).num_rows == 6


def test_a_dash_is_standard_output(aes: Aes, photos: Path) -> None:
    assert aes("score", photos, "-o", "-").out == aes("score", photos).out


def test_json_and_csv_hold_the_same_numbers(aes: Aes, photos: Path) -> None:
    records = [json.loads(line) for line in aes("score", photos, "--format", "jsonl", "--dims", "all").out.splitlines()]
    rows = list(csv.DictReader(io.StringIO(aes("score", photos, "--dims", "all").out)))
    for record, row in zip(records, rows, strict=True):
        assert record["overall"] == pytest.approx(float(row["overall"]), abs=1e-6)
        assert record["dims"]["noise"] == pytest.approx(float(row["noise"]), abs=1e-6)
        assert record["backend"] == "onnx-cpu"
        assert len(record["revision"]) == 64


def test_choices(aes: Aes, photos: Path) -> None:
    everything = sorted((float(row[2]), row[0]) for row in aes("score", photos).rows())
    best = [path for _, path in everything[::-1]]
    assert [row[0] for row in aes("score", photos, "--sort", "score").rows()] == best
    assert [row[0] for row in aes("score", photos, "--top", "2").rows()] == best[:2]
    middle = everything[3][0]
    kept = {row[0] for row in aes("score", photos, "--min-score", middle - 1e-4).rows()}
    assert kept == {path for overall, path in everything if overall >= middle}
    assert aes("score", photos, "-q", "--top", "2").out.splitlines() == best[:2]
    assert aes("score", photos, "-0", "--top", "2").raw == b"".join(path.encode() + b"\0" for path in best[:2])


def test_lists_and_standard_input(aes: Aes, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [str(photos / "1.jpg"), str(photos / "missing.jpg"), str(photos / "0.jpg")]
    (tmp_path / "list").write_text("\n".join(names))
    done = aes("score", "--files-from", tmp_path / "list")
    assert done.code == 3
    assert [(row[0], row[6]) for row in done.rows()] == [(names[0], ""), (names[1], "vanished"), (names[2], "")]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\0".join(names[::2]).encode())))
    assert [row[0] for row in aes("score", "-").rows()] == names[::2]


def test_cheap_checks_come_first_and_name_the_nearest(aes: Aes, photos: Path, tmp_path: Path) -> None:
    for words, code, said in (
        ([tmp_path / "phots"], 2, "photos"),
        ([photos, "--model", "mimi"], 2, "mini"),
        ([photos, "--dims", "sharpnes"], 2, "sharpness"),
        ([photos, "--format", "xml"], 2, "jsonl"),
        ([photos, "-o", tmp_path / "x.doc"], 2, "--format"),
        ([photos, "--device", "gpu"], 2, "cuda"),
        ([photos, "--device", "mps"], 1, "--device cpu"),
        ([photos, "--sort", "size"], 2, "path|score"),
        ([photos, "--check", "hash"], 2, "stat|content"),
        ([photos, "--topp", "3"], 2, "--top"),
        ([photos, "--top", "0"], 2, "top"),
        ([photos, "--dims", "all,bogus"], 2, "bogus"),
        ([photos, "--min-score", "nan"], 2, "--min-score"),
        ([photos, "-q", "--format", "bogus"], 2, "bogus"),
        ([photos, "-o", ""], 2, "-o FILE"),
        ([], 2, "aes score ."),
        ([photos, "--model", "laion-v2"], 5, "aes models pull laion-v2"),
        ([photos, "--model", "./nothing"], 5, "no model folder"),
    ):
        done = aes("score", *words)
        assert (done.code, done.out) == (code, ""), words
        assert said in done.err, words
        assert "Traceback" not in done.err


def test_an_unknown_command_names_the_nearest(aes: Aes) -> None:
    done = aes("scor", ".")
    assert done.code == 2
    assert "score" in done.err


def test_a_folder_without_pictures_exits_4(aes: Aes, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("words")
    done = aes("score", folder)
    assert (done.code, done.out) == (4, "")
    assert "1 not selected" in done.err


def test_two_runs_on_one_output_are_one_too_many(aes: Aes, photos: Path, tmp_path: Path) -> None:
    from aescli.output import replace_file

    with replace_file(tmp_path / "out.csv"):
        done = aes("score", photos, "-o", tmp_path / "out.csv")
    assert done.code == 11


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_exit_1_and_named(aes: Aes, photos: Path) -> None:
    done = aes("score", photos, "-o", "/dev/full")
    assert done.code == 1
    assert "/dev/full" in done.err
    assert "Traceback" not in done.err


@needs_posix
def test_hostile_names_stay_data(aes: Aes, photos: Path) -> None:
    names = [b"=1+1.jpg", b"\x1b[31m.jpg", b"\xff.jpg", b"a\nb.jpg", b"[b].jpg", "\u202egpj.jpg".encode(), b"-n.jpg"]
    for name in names:
        Path(os.fsdecode(os.fsencode(photos) + b"/" + name)).write_bytes((photos / "0.jpg").read_bytes())
    for format in ("csv", "table", "jsonl"):
        done = aes("score", photos, "--format", format)
        assert done.code == 0
        assert "\x1b" not in done.out + done.err
        assert len(done.out.splitlines()) == 6 + len(names) + (format != "jsonl")
    flagged = [row for row in aes("score", photos).rows() if "escaped_path" in row[5]]
    assert len(flagged) == 4
    assert aes("score", photos, "-0").raw.count(b"\xff.jpg\0") == 1


def test_the_same_picture_in_another_depth_or_orientation_has_the_same_score(aes: Aes, tmp_path: Path) -> None:
    picture = photograph(3, (331, 240))
    grey = picture.convert("L")
    grey.save(tmp_path / "8.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(tmp_path / "16.png")
    turns = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    for orientation, undo in turns.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        (picture if undo is None else picture.transpose(undo)).save(tmp_path / f"turn{orientation}.png", exif=exif)
    scores = {Path(row[0]).stem: float(row[2]) for row in aes("score", tmp_path, "--no-store").rows()}
    assert scores["16"] == pytest.approx(scores["8"], abs=0.05)
    for orientation in turns:
        assert scores[f"turn{orientation}"] == pytest.approx(scores["turn1"], abs=1e-3)


def test_batches_threads_and_order_change_nothing(aes: Aes, photos: Path) -> None:
    base = {row[0]: float(row[2]) for row in aes("score", photos, "--no-store").rows()}
    for words in (["--batch-size", "7"], ["--batch-size", "64"], ["--workers", "1"], ["--workers", "4"]):
        found = {row[0]: float(row[2]) for row in aes("score", photos, "--no-store", *words).rows()}
        assert found == pytest.approx(base, abs=1e-4)
    names = sorted(base, reverse=True)
    assert {row[0]: float(row[2]) for row in aes("score", *names, "--no-store").rows()} == pytest.approx(base, abs=1e-4)
    assert aes("score", photos, "--no-store").out == aes("score", photos, "--no-store").out


def test_reduced_decoding_ranks_as_exact_decoding(aes: Aes, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    for seed in range(12):
        photograph(seed, (500, 400)).resize((2003, 1499), Image.Resampling.LANCZOS).save(
            folder / f"{seed}.jpg", quality=90
        )
    reduced = [float(row[2]) for row in aes("score", folder, "--no-store").rows()]
    exact = [float(row[2]) for row in aes("score", folder, "--no-store", "--exact-decode").rows()]
    assert np.abs(np.subtract(reduced, exact)).max() < 0.15
    assert np.corrcoef(reduced, exact)[0, 1] > 0.995


def test_settings_come_from_files_and_variables_and_options_win(
    aes: Aes, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config" / "aes").mkdir(parents=True)
    (tmp_path / "config" / "aes" / "aes.toml").write_text('[score]\ndims = "all"\n')
    assert "noise" in aes("score", photos).out.splitlines()[0]
    (tmp_path / "aes.toml").write_text('dims = "sharpness"\n')
    assert "noise" not in aes("score", photos).out.splitlines()[0]
    assert "sharpness" in aes("score", photos).out.splitlines()[0]
    monkeypatch.setenv("AES_DIMS", "contrast")
    assert ",contrast," in aes("score", photos).out.splitlines()[0]
    assert ",exposure," in aes("score", photos, "--dims", "exposure").out.splitlines()[0]
    (tmp_path / "aes.toml").write_text('modle = "mini"\n')
    done = aes("score", photos)
    assert done.code == 2
    assert "'model'" in done.err
    (tmp_path / "aes.toml").write_text("= broken")
    assert aes("score", photos).code == 2
    (tmp_path / "aes.toml").write_text('[score]\nall-files = true\ninclude = ["*.png", "*.nef"]\n')
    assert [Path(row[0]).name for row in aes("score", photos).rows()] == ["4.png"]


def test_settings_are_for_every_command_that_has_a_variable(
    aes: Aes, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "aes.toml"
    file.write_text('model = "laion-v2"\n')
    assert "laion-v2" in aes("cull", photos).err
    assert "laion-v2" in aes("score", photos).err
    assert "laion-v2" not in aes("critique", photos).err  # its variable is AES_CRITIC
    file.write_text('[cull]\nmodel = "mini"\nformat = "jsonl"\n[critique]\nmodel = "endpoint:m"\n')
    assert aes("cull", photos).out.startswith("{")
    assert "OPENAI_API_KEY" in aes("critique", photos).err
    file.write_text("[bench]\nbatch-size = 0\n[bench.scores]\nbatch_size = 4\n")
    assert "batch" not in aes("bench", "scores", tmp_path / "none.csv", "-m", "mini").err
    assert "batch" in aes("bench", "robust", photos, "-m", "mini").err
    file.write_text('[score]\nmodel = "endpoint:m"\nbase-url = "https://other.example/v1"\n')
    done = aes("score", photos)
    assert (done.code, "your key would follow it" in done.err) == (2, True)
    (tmp_path / "config" / "aes").mkdir(parents=True)
    file.rename(tmp_path / "config" / "aes" / "aes.toml")
    assert "there is no key for other.example" in aes("score", photos).err
    for wrong in ('[bench.score]\nruns = "x"', "gpus = 2", '[doctor]\nmodel = "mini"', "[cull]\nmodle = 1", "[[cull]]"):
        file.write_text(wrong)
        done = aes("cull", photos)
        assert (done.code, "aes.toml: there is no setting" in done.err) == (2, True), wrong


@pytest.mark.parametrize("behind", ["", "zeros", "zeros and the end"])
def test_a_truncated_file_is_scored_only_when_it_is_allowed(aes: Aes, photos: Path, behind: str) -> None:
    whole = (photos / "0.jpg").read_bytes()
    three = len(whole) * 3 // 4
    rest = {
        "": b"",
        "zeros": bytes(len(whole) - three),
        "zeros and the end": bytes(len(whole) - three - 9) + whole[-9:],
    }
    (photos / "cut.jpg").write_bytes(whole[:three] + rest[behind])
    assert aes("score", photos / "cut.jpg").rows()[0][6] == "truncated"
    done = aes("score", photos / "cut.jpg", "--allow-truncated")
    (row,) = done.rows()
    assert (done.code, row[1], row[5]) == (0, "ok", "truncated")
    assert aes("score", photos / "cut.jpg").rows()[0][6] == "truncated"  # the kept row is of another fingerprint


def test_isolation_changes_no_score(aes: Aes, photos: Path) -> None:
    (photos / "6.avif").write_bytes(encoded(photograph(6), "AVIF"))
    plain = aes("score", photos, "--no-store", "--isolate", "off")
    assert aes("score", photos, "--no-store", "--isolate", "on").out == plain.out
    assert aes("score", photos, "--no-store").out == plain.out
    assert aes("score", photos, "--isolate", "maybe").code == 2


def test_no_store_in_a_file_yields_to_a_store_on_the_command_line(
    aes: Aes, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aes.toml").write_text("no_store = true\n")
    aes("score", photos)
    assert not (tmp_path / "home").exists()
    aes("score", photos, "--store", tmp_path / "own.db")
    assert (tmp_path / "own.db").exists()
    monkeypatch.setenv("AES_STORE", str(tmp_path / "other.db"))
    aes("score", photos, "--no-store")
    assert not (tmp_path / "other.db").exists()


def test_by_content_flags_are_those_of_the_file_at_hand(aes: Aes, tmp_path: Path) -> None:
    folder = tmp_path / "twins"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        (folder / name).write_bytes(encoded(photograph()))
    for _ in range(2):
        flags = [row[5] for row in aes("score", folder, "--check", "content").rows()]
        assert flags == ["", "ext_mismatch"]


def test_two_stars_walk_and_take_each_picture_once(aes: Aes, photos: Path) -> None:
    (photos / "notes.txt").write_text("words")
    (photos / "loop").symlink_to(".")
    done = aes("score", f"{photos}/**")
    assert done.code == 0
    assert len(done.rows()) == 6


def test_a_list_that_can_be_read_only_once_is_read_once(photos: Path) -> None:
    import subprocess
    import sys

    line = f"{sys.executable} -m aescli score --no-store --files-from <(find {photos} -name '*.jpg' -print0)"
    shown = subprocess.run(
        ["script", "-qec", f'bash -c "{line}"', "/dev/null"], capture_output=True, text=True, check=False
    )
    assert "4 scored" in shown.stdout


@pytest.mark.parametrize("spoiled", ["graph", "dimension", "data"])
def test_a_model_folder_that_does_not_fit_is_refused(aes: Aes, photos: Path, tmp_path: Path, spoiled: str) -> None:
    import hashlib
    import shutil

    from aescli.registry import BUILT_IN

    folder = tmp_path / "taste"
    shutil.copytree(BUILT_IN, folder)
    card = json.loads((folder / "card.json").read_text())
    if spoiled == "graph":
        (folder / "model.onnx").write_bytes(b"no graph")
        card["revision"] = hashlib.sha256(b"no graph").hexdigest()
    elif spoiled == "dimension":
        card["dimensions"].append({"name": "beauty\x1b[31m", "meaning": "none"})
    else:
        card["trained_on"] = "AVA"
    (folder / "card.json").write_text(json.dumps(card))
    done = aes("score", photos, "--model", folder, "--dims", "all")
    assert (done.code, done.out) == (5, "")
    assert "Traceback" not in done.err
    assert "\x1b" not in aes("models", "show", folder).out


@pytest.mark.parametrize("command", ["score", "critique", "cull", "filter", "tag", "merge"])
def test_an_output_never_replaces_a_picture(aes: Aes, photos: Path, command: str) -> None:
    picture = next(photos.glob("*.jpg"))
    before = picture.read_bytes()
    done = aes(command, photos, "--format", "csv", "-o", picture)
    assert done.code == 2
    assert "is a picture, which would be replaced" in done.err
    assert picture.read_bytes() == before


@needs_posix
def test_a_socket_and_a_folder_are_no_pictures(aes: Aes, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "a.jpg"))
        (tmp_path / "b.jpg").mkdir()
        (tmp_path / "list").write_text(f"{tmp_path}/a.jpg\n{tmp_path}/b.jpg\n")
        done = aes("score", "--files-from", tmp_path / "list", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["error_code"] for row in rows] == ["not_an_image"] * 2
    assert "a folder" in rows[1]["error"]


def test_what_may_not_be_looked_at_is_a_row_and_not_missing(
    aes: Aes, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = str(photos / "closed" / "a.jpg")
    real = os.lstat

    def refuse(path: Any, **words: Any) -> os.stat_result:
        if os.fspath(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return real(path, **words)

    monkeypatch.setattr(os, "lstat", refuse)
    done = aes("score", closed, next(photos.glob("*.jpg")), "--format", "csv")
    assert done.code == 3
    assert [row["status"] for row in csv.DictReader(io.StringIO(done.out))] == ["error", "ok"]
