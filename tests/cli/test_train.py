import csv
import hashlib
import html
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aescli.errors import Stopped
from aescli.models.seen import write_seen
from aescli.registry import BUILT_IN
from aescli.training import head, validating
from tests.browser import look
from tests.conftest import Aes, needs_posix, photograph
from tests.devtools import needs_browser
from tests.training.library import keep_columns, write_library, write_pairs

QUICK = ("--device", "cpu", "--folds", "2")  # where the numbers do not matter


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_library(tmp_path_factory.mktemp("train") / "sunny")


def keep_some(library: Path, count: int) -> Path:
    """Keep the first rows of the labels."""
    labels = library / "labels.csv"
    labels.write_text("".join(labels.read_text().splitlines(keepends=True)[: count + 1]))
    return library


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def card(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "card.json").read_text()))


def test_from_a_table_to_a_model_that_scores(aes: Aes, library: Path, tmp_path: Path) -> None:
    out = tmp_path / "my-taste"
    done = aes("train", "--data", library, "--out", out, "--group-by", "theme", "--dims", "all")
    assert done.code == 0, done.err
    assert "better than mini alone" in done.out
    assert sorted(each.name for each in out.iterdir()) == [
        "card.json", "model.onnx", "model.safetensors", "report.html", "report.json", "seen.txt"
    ]  # fmt: skip
    report = json.loads((out / "report.json").read_text())
    assert report["target"] == "votes"
    assert report["pictures"] == 48
    assert report["groups"] == 16
    assert report["judgement"]["agreement"]["low"] > report["judgement"]["chance"]["high"]
    assert report["weights_sha256"] == weights(out)
    fields = card(out)
    assert fields["native_range"] == [1, 5]
    assert "sunny" in fields["leaks"]
    assert fields["training"]["judgement"] == report["judgement"]
    scored = aes("score", library / "images", "--model", out, "--dims", "all", "--format", "jsonl", "--device", "cpu")
    assert scored.code == 0, scored.err
    rows = {Path(row["path"]).name: row for row in map(json.loads, scored.out.splitlines())}
    light = {name: np.asarray(Image.open(library / "images" / name).convert("RGB")).mean((0, 1)) for name in rows}
    bright = max(light, key=lambda name: light[name][1])
    dark = min(light, key=lambda name: light[name][1])
    red = max(light, key=lambda name: light[name][0])
    assert rows[bright]["overall"] > rows[dark]["overall"] + 4
    assert rows[red]["dims"]["redness"] > 7
    assert list(rows[red]["dims"]) == ["redness", "sharpness", "exposure", "contrast", "colorfulness", "noise"]
    assert aes("models", "show", out).code == 0
    assert aes("models", "verify", out).code == 0


def test_shuffled_labels_are_never_called_better(aes: Aes, tmp_path: Path) -> None:
    library = write_library(tmp_path / "noise", 150, shuffled=True)
    out = tmp_path / "model"
    done = aes("train", "--data", library, "--out", out)
    assert done.code == 0
    assert "better" not in done.out
    assert "not shown to do more than mini alone" in done.out
    assert "covers zero" in done.out
    assert not json.loads((out / "report.json").read_text())["judgement"]["better"]
    for file in ("card.json", "report.json", "report.html"):
        assert not re.search(r"better than", (out / file).read_text())


def test_the_same_seed_gives_the_same_weights(
    aes: Aes, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", "--data", library, "--group-by", "theme", *QUICK)
    for name in ("first", "again"):
        assert aes(*words, "--out", tmp_path / name).code == 0
    monkeypatch.setenv("AES_HOME", str(tmp_path / "another-home"))  # features anew
    assert aes(*words, "--out", tmp_path / "anew").code == 0
    assert aes(*words, "--out", tmp_path / "other", "--seed", 7).code == 0
    assert weights(tmp_path / "first") == weights(tmp_path / "again") == weights(tmp_path / "anew")
    graphs = [(tmp_path / name / "model.onnx").read_bytes() for name in ("first", "anew")]
    assert graphs[0] == graphs[1]
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("first", "other")]
    assert reports[0]["by_kind"] != reports[1]["by_kind"]


@needs_posix
def test_a_killed_training_leaves_nothing_and_the_next_ends_in_the_same_weights(
    aes: Aes, library: Path, tmp_path: Path, home: Path
) -> None:
    words = ["train", "--data", str(library), "--out", str(tmp_path / "model"), *QUICK]
    environment = {**os.environ, "AES_HOME": str(home)}
    running = subprocess.Popen([sys.executable, "-m", "aescli", *words], env=environment, stderr=subprocess.DEVNULL)
    while not (home / "features.db").exists() and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    assert aes(*words).code == 0
    assert aes("train", "--data", library, "--out", tmp_path / "calm", *QUICK).code == 0
    assert weights(tmp_path / "model") == weights(tmp_path / "calm")


def test_a_changed_picture_is_read_again(aes: Aes, tmp_path: Path) -> None:
    library = write_library(tmp_path / "sunny", 24)
    words = ("train", "--data", library, *QUICK, "--json")
    before = json.loads(aes(*words, "--out", tmp_path / "a").out)
    Image.new("RGB", (64, 48), (9, 200, 9)).save(library / "images" / "3.png")
    after = json.loads(aes(*words, "--out", tmp_path / "b").out)
    assert before["pictures_sha256"] != after["pictures_sha256"]
    assert before["weights_sha256"] != after["weights_sha256"]


def test_pairs(aes: Aes, library: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    done = aes("train", "--data", write_pairs(library), "--out", out, "--device", "cpu")
    assert done.code == 0, done.err
    assert "pairs ordered on held-out pictures" in done.out
    report = json.loads((out / "report.json").read_text())
    assert report["target"] == "pairs"
    assert report["judgement"]["agreement"]["value"] > 0.8
    rows = aes("score", library / "images", "--model", out, "--format", "jsonl").out.splitlines()
    assert {0 <= json.loads(row)["overall"] <= 10 for row in rows} == {True}


def test_pairs_that_belong_together(aes: Aes, library: Path, tmp_path: Path) -> None:
    table = write_pairs(library, within="theme")
    done = aes("train", "--data", table, "--out", tmp_path / "m", "--group-by", "theme", *QUICK)
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "m" / "report.json").read_text())
    with table.open(newline="") as file:
        assert report["groups"] == len({row["theme"] for row in csv.DictReader(file)})


def test_scores_alone_and_a_range(aes: Aes, library: Path, tmp_path: Path) -> None:
    table = keep_columns(library, "image", "score")
    assert aes("train", "--data", table, "--out", tmp_path / "m", "--range", "0:10", *QUICK).code == 0
    assert card(tmp_path / "m")["native_range"] == [0, 10]
    assert json.loads((tmp_path / "m" / "report.json").read_text())["target"] == "scores"
    done = aes("train", "--data", table, "--out", tmp_path / "n", "--range", "3:5")
    assert done.code == 2
    assert re.search(r"outside of --range 3:5: some.csv:\d+: overall [12]", done.err)


def test_stars_of_a_photo_library(aes: Aes, library: Path, tmp_path: Path) -> None:
    from tests.labels.test_xmp import packet

    photos = tmp_path / "photos"
    photos.mkdir()
    for line in (library / "labels.csv").read_text().splitlines()[1:]:
        name, score = line.split(",")[:2]
        (photos / name).write_bytes((library / "images" / name).read_bytes())
        (photos / f"{name}.xmp").write_text(packet(round(float(score))))
    done = aes("train", "--data", photos, "--labels", "xmp", "--out", tmp_path / "stars", *QUICK)
    assert done.code == 0, done.err
    assert "better than mini alone" in done.out


def test_what_is_left_out_is_listed(aes: Aes, tmp_path: Path) -> None:
    library = write_library(tmp_path / "sunny", 30)
    (library / "images" / "4.png").write_bytes(b"no picture")
    (library / "images" / "5.png").unlink()
    labels = (library / "labels.csv").read_text().replace("6.png,", "6.png,x", 1)
    (library / "labels.csv").write_text(labels)
    done = aes("train", "--data", library, "--out", tmp_path / "m", *QUICK)
    assert done.code == 3
    assert "labels.csv:8: score is no number" in done.err
    assert re.search(r"labels.csv:7: .*5.png", done.err)
    assert re.search(r"labels.csv:6: .*4.png: not_an_image", done.err)
    report = json.loads((tmp_path / "m" / "report.json").read_text())
    assert report["pictures"] == 27
    assert [each["source"] for each in report["problems"]] == ["labels.csv:8", "labels.csv:6"]
    assert [Path(each).name for each in report["missing"]] == ["5.png"]


def test_the_page_needs_nothing_else_and_obeys_no_name(aes: Aes, tmp_path: Path) -> None:
    library = write_library(tmp_path / "sunny", 24)
    name = "<script>alert(1)<\u2044script>\u202e.png"
    (library / "images" / "1.png").rename(library / "images" / name)
    (library / "labels.csv").write_text((library / "labels.csv").read_text().replace("\n1.png", f"\n{name}"))
    out = tmp_path / "<b>model"
    assert aes("train", "--data", library, "--out", out, *QUICK).code == 0
    page = (out / "report.html").read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "\u202e" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count('src="data:image/jpeg;base64,') == 12
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert policy
    assert style
    import base64

    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert html.unescape(policy[1]).startswith(f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'")
    assert page.count("<circle") == 48
    assert "/<wbr>images/<wbr>" in page  # a line may break between folders
    assert "style=" not in page


@needs_browser
def test_a_browser_shows_the_page_whole(aes: Aes, tmp_path: Path) -> None:
    out = tmp_path / "m"
    assert aes("train", "--data", write_library(tmp_path / "sunny", 24), "--out", out, *QUICK).code == 0
    for width in (1100, 420):
        text, pixels = look(out / "report.html", (width, 2600), tmp_path)
        assert text.count("<img ") == 12
        assert np.any(np.all(np.abs(pixels - (0x22, 0x77, 0xCC)) < 90, axis=2))  # points, half transparent
        ink = np.any(pixels < 200, axis=2)
        assert np.mean(np.any(ink, axis=1)) > 0.2
        assert not np.any(ink[:, -4:])  # nothing runs over the edge


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--data", "gone.csv"], 2, "there is no gone.csv"),
        (["--data", "a.csv", "--data", "b.csv"], 2, "--data is given more than once"),
        (["--recipe", "magic"], 2, "is no recipe"),
        (["--group-by", "tehme"], 2, "did you mean 'theme'?"),
        (["--group-by", "time"], 2, "no picture says when"),
        (["--group-by", "folder"], 2, "1 groups are too few for 5 folds"),
        (["--dims", "rednes"], 2, "did you mean 'redness'?"),
        (["--range", "5"], 2, "is no range"),
        (["--range", "5:1"], 2, "is no range"),
        (["--labels", "exif"], 2, "is no value of --labels"),
        (["--labels", "xmp:Red"], 2, "what colours are worth"),
        (["--labels", "xmp:Red=nan"], 2, "Red is not finite"),
        (["--labels", "xmp:Red=inf"], 2, "Red is not finite"),
        (["--labels", "xmp:=5"], 2, "names no colour"),
        (["--labels", "xmp:Red=1,red=2"], 2, "says twice what red is worth"),
        (["--labels", "auto:Red=1"], 2, "is no value of --labels"),
        (["--labels", "xmp"], 4, "no labelled picture"),
        (["--model", "minni"], 2, "did you mean 'mini'?"),
        (["--model", "endpoint:x"], 2, "gives no features"),
        (["--folds", "1"], 2, "--folds"),
        (["--recipe", "multihead", "--folds", "7"], 2, "--folds is for the recipe head"),
        (["--rate", "0"], 2, "--rate is not for the recipe head"),
        (["--device", "cuda:9"], 1, "cannot be had"),
    ],
)
def test_what_is_refused(aes: Aes, library: Path, tmp_path: Path, words: list[str], code: int, said: str) -> None:
    data = [] if "--data" in words else ["--data", str(library if "xmp" not in words else library / "images")]
    done = aes("train", *data, *words, "--out", tmp_path / "m")
    assert done.code == code
    assert said in done.err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("rows", "code", "said"),
    [
        ([f"{at}.png,{at % 4}" for at in range(19)], 2, "19 labelled pictures are too few"),
        ([f"{at}.png,3" for at in range(40)], 1, "nothing to learn"),
        ([f"x{at}.png,{at}" for at in range(40)], 4, "no labelled picture is there"),
        ([f"{at}.png,nan" for at in range(40)], 4, "no row can be used"),
        ([f"s3://bucket/{at}.png,{at}" for at in range(40)], 4, "s3://bucket/0.png is no file of this machine"),
        ([], 4, "no labelled picture is there"),
    ],
)
def test_labels_that_teach_nothing(
    aes: Aes, library: Path, tmp_path: Path, rows: list[str], code: int, said: str
) -> None:
    table = library / "these.csv"
    table.write_text("\n".join(["image,score", *rows, ""]))
    done = aes("train", "--data", table, "--out", tmp_path / "m")
    assert done.code == code
    assert said in done.err
    assert not list(tmp_path.glob("*m*"))


def test_dimensions_that_few_pictures_have_are_named(aes: Aes, library: Path, tmp_path: Path) -> None:
    rows = [f"{at}.png,{at % 4},{at if at < 10 else ''}" for at in range(40)]
    table = write_table(library, "image,score,light", rows)
    done = aes("train", "--data", table, "--out", tmp_path / "m", "--dims", "all")
    assert done.code == 2
    assert "10 labelled pictures are too few" in done.err
    assert "30 more lack something, such as these.csv:12: has no light" in done.err


CHAIN = [f"{at}.png,{at + 1}.png" for at in range(40)]


def write_table(library: Path, header: str, rows: list[str]) -> Path:
    table = library / "these.csv"
    table.write_text("\n".join([header, *rows, ""]))
    return table


@pytest.mark.parametrize(
    ("header", "rows", "words", "code", "said"),
    [
        ("winner,loser", CHAIN, ["--range", "1:5"], 2, "--range is for scores"),
        ("winner,loser", CHAIN, ["--dims", "all"], 2, "--dims is for scores"),
        ("winner,loser", [f"{at}.png,x{at}.png" for at in range(40)], [], 4, "no comparison has both of its pictures"),
        ("winner,loser", [f"{at}.png,images/{at}.png" for at in range(40)], [], 4, "no comparison"),
        ("winner,loser", [f"0.png,{at}.png" for at in range(1, 40)], [], 1, "hang on too few pictures"),
        ("winner,loser", [f"{at % 2}.png,{at}.png" for at in range(2, 40)], [], 1, "hang on too few pictures"),
        ("image,score,day", [f"{at}.png,{at},{at % 2}" for at in range(40)], ["--group-by", "day", "--folds", "2"], 2,
         "2 groups are too few"),
        ("image,score,day", [f"{at}.png,{at},{at % 3}" for at in range(40)], ["--group-by", "day", "--folds", "2"], 2,
         "--folds 3"),
        ("image,score", [f"{each}{at}.png,{at}" for at in range(19) for each in ("", "./", "images/")], [], 2,
         "19 labelled pictures are too few"),
        ("image,score", [f"{at}.png,{at}e-45" for at in range(40)], [], 2, "too small to be learnt"),
        ("image,score", [f"{'./' * (at % 2)}images/{at}.png,{at}" for at in range(40)], ["--group-by", "folder"], 2,
         "1 groups are too few"),
        ("image,score,iso", [f"{at}.png,{at},{at}" for at in range(40)], ["--group-by", "iso", "--dims", "iso"], 2,
         "no dimension 'iso'"),
    ],
)  # fmt: skip
def test_what_is_refused_of_tables(
    aes: Aes, library: Path, tmp_path: Path, *, header: str, rows: list[str], words: list[str], code: int, said: str
) -> None:
    done = aes("train", "--data", write_table(library, header, rows), *words, "--out", tmp_path / "m")
    assert done.code == code, done.err
    assert said in done.err
    assert not (tmp_path / "m").exists()


def test_notes_on_what_labels_lack(aes: Aes, library: Path, tmp_path: Path) -> None:
    rows = [f"{at}.png,{at},{at % 7},{'' if at < 3 else at // 4}" for at in range(40)]
    table = write_table(library, "image,score,light,day", rows)
    done = aes("train", "--data", table, "--group-by", "day", "--out", tmp_path / "m", *QUICK)
    assert done.code == 0, done.err
    assert "the labels have light too; --dims says" in done.err  # and not day
    assert "3 of 40 pictures have no day: each is a group of its own" in done.err
    assert json.loads((tmp_path / "m" / "report.json").read_text())["notes"]
    assert "3 of 40 pictures have no day" in (tmp_path / "m" / "report.html").read_text()
    done = aes("train", "--data", table, "--dims", "all", "--group-by", "day", "--out", tmp_path / "n", *QUICK)
    assert done.code == 0, done.err
    assert "--dims says" not in done.err
    assert [each["name"] for each in card(tmp_path / "n")["dimensions"]][:2] == ["light", "sharpness"]


def test_an_out_that_cannot_be_made_is_refused_at_once(aes: Aes, library: Path, tmp_path: Path, home: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    for out, said in (
        ("file/m", "file is a file"), ("file/below/m", "file is a file"), ("dangling", "a link to what is not there"),
        ("dangling/m", "a link to what is not there"),
    ):  # fmt: skip
        done = aes("train", "--data", library, "--out", tmp_path / out, *QUICK)
        assert done.code == 2, done.err
        assert said in done.err
    assert not (home / "features.db").exists()
    assert not (tmp_path / "nowhere").exists()


def test_an_out_that_is_a_link_stays_one(aes: Aes, library: Path, tmp_path: Path) -> None:
    (tmp_path / "disk" / "empty").mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk/empty")
    words = ("train", "--data", library, "--out", tmp_path / "link", *QUICK)
    assert aes(*words).code == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "empty" / "card.json").is_file()
    assert aes(*words, "--fresh", "--seed", 3).code == 0
    assert (tmp_path / "link").is_symlink()
    assert [each.name for each in (tmp_path / "disk").iterdir()] == ["empty"]


def edit_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    fields = card(folder)
    change(fields)
    (folder / "card.json").write_text(json.dumps(fields))


def swap(fields: dict[str, Any]) -> None:
    fields["dimensions"][0]["name"], fields["dimensions"][1]["name"] = "light", "redness"


def swap_everywhere(fields: dict[str, Any]) -> None:
    swap(fields)
    fields["head"]["dimensions"][1:] = ["light", "redness"]


def swap_and_say_nothing_of_the_head(fields: dict[str, Any]) -> None:
    swap(fields)
    del fields["head"]


def test_a_folder_that_was_damaged_is_noticed(aes: Aes, library: Path, tmp_path: Path) -> None:
    rows = [f"{at}.png,{at % 5},{at % 7},{at % 11}" for at in range(40)]
    table = write_table(library, "image,score,redness,light", rows)
    out = tmp_path / "m"
    assert aes("train", "--data", table, "--dims", "all", "--out", out, *QUICK).code == 0
    picture = library / "images" / "1.png"
    changes: list[Callable[[dict[str, Any]], object]] = [
        swap, swap_everywhere,
        lambda fields: fields.update(native_range=[0, 5]),
        lambda fields: fields["dimensions"][0].update(native_range=[0, 10]),
        swap_and_say_nothing_of_the_head,
        lambda fields: fields.update(fit="crop"),
        lambda fields: fields.update(exact=not fields["exact"]),
    ]  # fmt: skip
    for at, change in enumerate(changes):
        edited = tmp_path / f"edited{at}"
        shutil.copytree(out, edited)
        edit_card(edited, change)
        for words in (("models", "verify", edited), ("score", picture, "--model", edited, "--dims", "all")):
            done = aes(*words)
            assert done.code == 5, done.err
            assert "card" in done.err
    weights_file = out / "model.safetensors"
    weights = weights_file.read_bytes()
    weights_file.write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    done = aes("models", "verify", out)
    assert done.code == 5
    assert "model.safetensors has SHA-256" in done.err
    assert "models pull" not in done.err
    assert "copy the whole folder" in done.err
    weights_file.unlink()
    assert "cannot be read" in aes("models", "verify", out).err


def test_a_folder_from_before_weights_said_what_they_give(aes: Aes, library: Path, tmp_path: Path) -> None:
    import onnx
    from safetensors.numpy import load_file, save_file

    from aescli.models.files import hash_files

    out = tmp_path / "m"
    assert aes("train", "--data", library, "--dims", "all", "--out", out, *QUICK).code == 0
    model = onnx.load(out / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, out / "model.onnx")
    save_file(load_file(out / "model.safetensors"), out / "model.safetensors")
    edit_card(out, lambda fields: fields.update(revision=hash_files([out / "model.onnx"])))
    edit_card(out, lambda fields: fields["training"].update(weights_sha256=weights(out)))
    assert aes("models", "verify", out).code == 0
    picture = library / "images" / "1.png"
    assert aes("score", picture, "--model", out, "--dims", "all").code == 0
    edit_card(out, lambda fields: fields["dimensions"][0].update(name="greenness"))
    done = aes("score", picture, "--model", out, "--dims", "all")
    assert done.code == 5
    assert "its card lists greenness, its head gives redness" in done.err


def test_a_head_sees_pictures_as_its_base_does(aes: Aes, library: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(BUILT_IN, base)
    edit_card(base, lambda fields: fields.update(fit="crop"))
    assert aes("train", "--data", library, "--model", base, "--out", tmp_path / "m", *QUICK).code == 0
    assert card(tmp_path / "m")["fit"] == "crop"


def test_a_folder_that_is_there_is_never_lost(aes: Aes, library: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    out.mkdir()
    words = ("train", "--data", library, "--out", out, *QUICK)
    assert aes(*words).code == 0
    first = (out / "report.json").read_bytes()
    done = aes(*words)
    assert done.code == 2
    assert "--fresh" in done.err
    assert (out / "report.json").read_bytes() == first
    assert aes(*words, "--fresh", "--seed", 3).code == 0
    assert (out / "report.json").read_bytes() != first
    (out / "diary.txt").write_text("mine")
    done = aes(*words, "--fresh")
    assert done.code == 2
    assert "diary.txt" in done.err
    assert (out / "diary.txt").read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_a_list_of_pictures_that_was_lost_is_missed(aes: Aes, library: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    assert aes("train", "--data", library, "--out", out, *QUICK).code == 0
    assert aes("models", "verify", out).code == 0
    (out / "seen.txt").unlink()
    for words in (("models", "verify", out), ("bench", "scores", "--data", library, "--model", out)):
        done = aes(*words)
        assert done.code == 5
        assert "seen.txt cannot be read" in done.err


def test_a_model_that_stands_aside_comes_back(aes: Aes, library: Path, tmp_path: Path) -> None:
    """Between two renames of --fresh the old model has no name; a run that is killed there leaves it so."""
    out = tmp_path / "m"
    words = ("train", "--data", library, "--out", out, *QUICK)
    assert aes(*words).code == 0
    (tmp_path / ".aes-killed").mkdir()
    out.rename(tmp_path / ".aes-killed" / "m")
    (tmp_path / ".aes-other" / "m").mkdir(parents=True)  # no model of ours
    assert aes("models", "verify", out).code != 0
    os.utime(tmp_path / ".aes-killed", (1, 1))
    done = aes(*words)
    assert done.code == 2
    assert "--fresh" in done.err
    assert aes("models", "verify", out).code == 0
    assert sorted(each.name for each in tmp_path.iterdir() if each.name.startswith(".aes-")) == [".aes-other"]


@pytest.mark.parametrize("what", ["a stop", "a name that was taken"])
def test_the_old_model_outlives_what_comes_between_two_renames(
    aes: Aes, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    out = tmp_path / "m"
    words = ("train", "--data", library, "--out", out, *QUICK)
    assert aes(*words).code == 0
    before = weights(out)
    rename = Path.rename

    def disturbed(self: Path, target: Path) -> Path:
        if target == out and self.name.startswith(".aes-"):
            if what == "a stop":
                raise Stopped(signal.SIGINT, "stopped")
            out.mkdir()
            (out / "precious.txt").write_text("mine")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", disturbed)
    done = aes(*words, "--fresh", "--seed", "1")
    monkeypatch.undo()
    aside = [each for each in tmp_path.iterdir() if each.name.startswith(".aes-")]
    if what == "a stop":
        assert (done.code, aside) == (130, [])
    else:
        assert done.code != 0
        assert [each.name for each in out.iterdir()] == ["precious.txt"]
        shutil.rmtree(out)
        os.utime(aside[0], (1, 1))
        assert aes(*words).code == 2  # it is there again, and needs --fresh
    assert weights(out) == before


def test_a_long_name_is_a_name(aes: Aes, library: Path, tmp_path: Path) -> None:
    out = tmp_path / ("m" * 250)
    for more in ((), ("--fresh",)):
        done = aes("train", "--data", library, "--out", out, *QUICK, *more)
        assert done.code == 0, done.err
    assert (out / "card.json").is_file()


@pytest.mark.parametrize("name", ["..", "new/.."])
def test_a_folder_without_a_name_is_refused_at_once(aes: Aes, library: Path, tmp_path: Path, name: str) -> None:
    done = aes("train", "--data", library, "--out", f"{tmp_path}/m/{name}", *QUICK)
    assert done.code == 2
    assert not (tmp_path / "m").exists()


def test_a_trained_head_is_no_base(aes: Aes, library: Path, tmp_path: Path) -> None:
    assert aes("train", "--data", library, "--out", tmp_path / "m", *QUICK).code == 0
    done = aes("train", "--data", library, "--out", tmp_path / "n", "--model", tmp_path / "m")
    assert done.code == 2
    assert "--model mini" in done.err


def test_training_on_mini_needs_no_torch(library: Path, tmp_path: Path, home: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from aescli.cli.app import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["train", "--data", str(library), "--out", str(tmp_path / "m"), *QUICK]
    environment = {**os.environ, "AES_HOME": str(home)}
    for arguments in (
        words,
        ["score", str(library / "images" / "1.png"), "--model", str(tmp_path / "m"), "--no-store"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], check=False, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_what_pillow_warns_of_is_not_printed(tmp_path: Path, home: Path) -> None:
    library = keep_some(write_library(tmp_path / "odd"), 30)
    entries = b"".join(struct.pack("<HHII", tag, 7, 1 << 20, 8) for tag in range(1, 300))
    directory = b"II*\0\x08\0\0\0" + struct.pack("<H", 299) + entries + bytes(4)
    photograph(1, (40, 30)).save(library / "images" / "1.png", exif=directory)
    words = ["train", "--data", str(library), "--out", str(tmp_path / "m"), "--group-by", "time", *QUICK]
    done = subprocess.run(
        [sys.executable, "-m", "aescli", *words], check=False, env={**os.environ, "AES_HOME": str(home)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert "no picture says when it was taken" in done.stderr
    assert "Warning" not in done.stderr


def test_without_onnx_the_extra_is_named(
    aes: Aes, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = aes("train", "--data", library, "--out", tmp_path / "m")
    assert done.code == 1
    assert "aescli[export]" in done.err


def test_a_photograph_that_was_saved_twice_flatters_nothing(aes: Aes, tmp_path: Path) -> None:
    library = write_library(tmp_path / "noise", 45, shuffled=True)
    header, *rows = (library / "labels.csv").read_text().splitlines()
    for at, row in enumerate(list(rows)):
        name = row.split(",")[0]
        Image.open(library / "images" / name).convert("RGB").save(library / "images" / f"{at}-again.tiff")
        rows.insert(2 * at + 1, f"{at}-again.tiff,{row.partition(',')[2]}")
    (library / "labels.csv").write_text("\n".join([header, *rows]))
    done = aes("train", "--data", library, "--out", tmp_path / "m")
    assert done.code == 0, done.err
    assert "pairs of pictures look alike, and are kept together, such as" in done.err
    report = json.loads((tmp_path / "m" / "report.json").read_text())
    assert report["groups"] == 45
    assert "better than" not in report["verdict"]


def test_copies_of_a_picture_flatter_nothing(aes: Aes, tmp_path: Path) -> None:
    library = write_library(tmp_path / "noise", 45, shuffled=True)
    header, *rows = (library / "labels.csv").read_text().splitlines()
    for at, row in enumerate(list(rows)):
        name = row.split(",")[0]
        shutil.copy(library / "images" / name, library / "images" / f"again-{name}")
        rows.insert(2 * at + 1, f"again-{row}")
    (library / "labels.csv").write_text("\n".join([header, *rows]))
    done = aes("train", "--data", library, "--out", tmp_path / "m")
    assert done.code == 0, done.err
    assert "45 pictures are the same as another, byte for byte" in done.err
    assert "better" not in done.out
    assert "90 pictures, 45 groups" in done.out


def precious(folder: Path) -> None:
    (folder / "report.json").mkdir(parents=True)
    (folder / "report.json" / "thesis.txt").write_text("mine")


def a_card_of_others(folder: Path) -> None:
    folder.mkdir()
    (folder / "card.json").write_text('{"mine": true}')
    (folder / "model.onnx").write_bytes(b"mine")


@pytest.mark.parametrize("write", [precious, a_card_of_others])
def test_fresh_replaces_only_what_training_wrote(
    aes: Aes, library: Path, tmp_path: Path, write: Callable[[Path], None]
) -> None:
    write(tmp_path / "m")
    before = sorted(tmp_path.rglob("*"))
    done = aes("train", "--data", library, "--out", tmp_path / "m", "--fresh", *QUICK)
    assert done.code == 2
    assert "no training wrote" in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_is_not_replaced_by_what_stands_on_it(aes: Aes, library: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(BUILT_IN, tmp_path / "base"))
    edit_card(base, lambda fields: fields.update(training={"data": "x"}))
    (tmp_path / "link").symlink_to("base")
    for out in ("base", "link"):
        done = aes("train", "--data", library, "--model", base, "--out", tmp_path / out, "--fresh", *QUICK)
        assert done.code == 2
        assert "stands on" in done.err
    assert (base / "model.onnx").read_bytes() == (BUILT_IN / "model.onnx").read_bytes()


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
def test_what_comes_while_training_is_kept(
    aes: Aes, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: tuple[str, ...]
) -> None:
    from aescli.models.trained_head import write_head

    out = tmp_path / "m"

    def slowly(*words: Any) -> None:
        write_head(*words)
        out.mkdir()
        (out / "precious.txt").write_text("mine")

    monkeypatch.setattr("aescli.training.folder.write_head", slowly)
    done = aes("train", "--data", library, "--out", out, *fresh, *QUICK)
    assert done.code == 2, done.err
    assert (out / "precious.txt").read_text() == "mine"
    assert sorted(each.name for each in out.iterdir()) == ["precious.txt"]
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_lost_comparisons_are_named_and_those_that_count_are_counted(aes: Aes, tmp_path: Path) -> None:
    library = write_library(tmp_path / "sunny", 30)
    table = write_pairs(library, 100)
    (library / "images" / "4.png").write_bytes(b"no picture")
    (library / "images" / "5.png").unlink()
    shutil.copyfile(library / "images" / "6.png", library / "images" / "copy.png")
    table.write_text(table.read_text() + "copy.png,6.png\n")
    lost = [
        f"compared.csv:{line}"
        for line, row in enumerate(table.read_text().splitlines(), 1)
        if {"4.png", "5.png", "copy.png"} & set(row.split(","))
    ]
    done = aes("train", "--data", table, "--out", tmp_path / "m", *QUICK)
    assert done.code == 3, done.err
    report = json.loads((tmp_path / "m" / "report.json").read_text())
    assert report["comparisons"] == 101 - len(lost)
    assert {each["source"] for each in report["problems"]} == set(lost)
    assert f"28 pictures in {101 - len(lost)} comparisons" in done.out
    assert any("6.png are the same picture, byte for byte" in each["message"] for each in report["problems"])


def test_where_no_report_is_written_every_row_is_named(aes: Aes, library: Path, tmp_path: Path) -> None:
    rows = [f"{at}.png,{'x' if at > 19 else at}" for at in range(40)] + ["gone.png,3"] * 2
    done = aes("train", "--data", write_table(library, "image,score", rows[:-1]), "--out", tmp_path / "m", *QUICK)
    assert done.code == 3
    assert "10 more" in done.err
    assert f"all that was left out is in {tmp_path}/m/report.json" in done.err
    done = aes("train", "--data", write_table(library, "image,score", rows[1:]), "--out", tmp_path / "n", *QUICK)
    assert done.code == 2
    for line in range(21, 41):
        assert f".csv:{line}: score is no number" in done.err


@needs_posix
def test_nohup_is_heeded(library: Path, tmp_path: Path, home: Path) -> None:
    words = [sys.executable, "-m", "aescli", "train", "--data", str(library), "--out", str(tmp_path / "m"), *QUICK]
    environment = {**os.environ, "AES_HOME": str(home)}
    running = subprocess.Popen(["nohup", *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (home / "features.db").exists() and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGHUP)
    assert running.wait() == 0
    assert (tmp_path / "m" / "card.json").exists()


@pytest.mark.parametrize("suffix", ["avif", "heic"])
def test_pictures_that_are_decoded_by_a_process_of_their_own(aes: Aes, tmp_path: Path, suffix: str) -> None:
    if suffix == "heic":
        pytest.importorskip("pillow_heif", reason="only the encoder package can write HEIC").register_heif_opener()
    library = write_library(tmp_path / "phone", 24)
    for file in (library / "images").iterdir():
        Image.open(file).save(file.with_suffix(f".{suffix}"))
        file.unlink()
    labels = library / "labels.csv"
    labels.write_text(labels.read_text().replace(".png", f".{suffix}"))
    done = aes("train", "--data", library, "--out", tmp_path / "model", *QUICK)
    assert done.code == 0, done.err
    assert (tmp_path / "model" / "report.html").read_text().count("data:image/jpeg") == 12


def test_pictures_that_go_while_training_are_not_needed_again(
    aes: Aes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = write_library(tmp_path / "sunny", 24)
    whole = validating.fit_final

    def fit(*words: Any) -> Any:
        for at in gone:
            (library / "images" / f"{at}.png").unlink()
        return whole(*words)

    monkeypatch.setattr(head, "fit_final", fit)
    gone = range(5)
    done = aes("train", "--data", library, "--out", tmp_path / "model", *QUICK)
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "model" / "report.json").read_text())["pictures"] == 24
    library = write_library(tmp_path / "gone", 24)
    gone = range(24)
    done = aes("train", "--data", library, "--out", tmp_path / "none", *QUICK)
    assert done.code == 1
    assert "no picture could be read again" in done.err
    assert not (tmp_path / "none").exists()


def test_pictures_whose_only_comparison_was_lost_do_not_count(aes: Aes, tmp_path: Path) -> None:
    library = write_library(tmp_path / "sunny", 30)
    pairs = write_pairs(keep_some(library, 24), 120)
    with pairs.open("a") as file:
        for at in range(24, 29):
            file.write(f"{at}.png,29.png\n")
    (library / "images" / "29.png").write_bytes(b"no picture")
    done = aes("train", "--data", pairs, "--out", tmp_path / "model", *QUICK)
    assert done.code == 3, done.err
    assert "on 24 pictures in 120 comparisons, " in done.out
    assert done.err.count("could not be read") == 5


def test_a_base_that_was_trained_on_these_pictures_is_no_measure(aes: Aes, library: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(BUILT_IN, base)
    hashes = [hashlib.sha256(each.read_bytes()).hexdigest() for each in (library / "images").iterdir()]
    write_seen(base, [(hashes[0], None)])
    few = aes("train", "--data", library, "--model", base, "--out", tmp_path / "few", *QUICK)
    assert "no comparison" in few.out  # one of forty-eight is more than one in a hundred
    assert "note: 1 of 48 pictures are among those that" in few.err
    write_seen(base, [])
    none = aes("train", "--data", library, "--model", base, "--out", tmp_path / "none", *QUICK)
    assert "no comparison" not in none.out
    assert "are among those" not in none.err
    assert len((tmp_path / "none" / "seen.txt").read_text().splitlines()) == 48


def test_a_base_that_was_trained_on_pictures_which_were_saved_again_is_no_measure(aes: Aes, tmp_path: Path) -> None:
    for folder, size in (("first", (320, 240)), ("again", (160, 120))):
        (tmp_path / folder).mkdir()
        rows = [f"{at}.jpg,{at % 7}" for at in range(24)]
        (tmp_path / folder / "labels.csv").write_text("\n".join(["image,score", *rows]) + "\n")
        for at in range(24):
            photograph(at, (320, 240)).resize(size).save(tmp_path / folder / f"{at}.jpg", quality=85)
    base = tmp_path / "base"
    shutil.copytree(BUILT_IN, base)
    assert aes("train", "--data", tmp_path / "first", "--out", tmp_path / "m", *QUICK).code == 0
    shutil.copyfile(tmp_path / "m" / "seen.txt", base / "seen.txt")
    done = aes("train", "--data", tmp_path / "again", "--model", base, "--out", tmp_path / "n", *QUICK)
    assert "no comparison" in done.out
    assert "24 of 24 pictures are among those that" in done.err


def test_a_crop_of_a_photograph_flatters_nothing(aes: Aes, tmp_path: Path) -> None:
    chance, rows = np.random.default_rng(0), []
    for at in range(60):
        picture = photograph(at, (400, 300))
        picture.save(tmp_path / f"{at}.png")
        picture.crop((20, 15, 380, 285)).save(tmp_path / f"{at}-cut.png")
        score = chance.normal()
        rows += [f"{at}.png,{score}", f"{at}-cut.png,{score}"]
    (tmp_path / "labels.csv").write_text("\n".join(["image,score", *rows]))
    done = aes("train", "--data", tmp_path / "labels.csv", "--out", tmp_path / "m")
    assert done.code == 0, done.err
    assert "nearly the same to the model, and are kept together" in done.err
    report = json.loads((tmp_path / "m" / "report.json").read_text())
    assert report["groups"] <= 60
    assert "better than" not in report["verdict"]


def test_pictures_that_all_look_alike_are_too_few(aes: Aes, tmp_path: Path) -> None:
    folder = tmp_path / "same"
    folder.mkdir()
    for at in range(30):
        photograph(1, (90, 60)).save(folder / f"{at}.jpg", quality=60 + at)
    (folder / "labels.csv").write_text("image,score\n" + "".join(f"{at}.jpg,{at}\n" for at in range(30)))
    done = aes("train", "--data", folder, "--out", tmp_path / "m")
    assert done.code == 2
    assert "1 groups are too few for 5 folds" in done.err
    assert "pairs of pictures look alike, and are kept together" in done.err
    assert "--group-by another" not in done.err


@pytest.mark.parametrize("readable", [15, 0])
def test_where_too_few_can_be_read_all_others_are_named(aes: Aes, tmp_path: Path, readable: int) -> None:
    library = write_library(tmp_path / "broken", 35)
    for at in range(readable, 35):
        (library / "images" / f"{at}.png").write_bytes(b"no picture")
    done = aes("train", "--data", library, "--out", tmp_path / "m")
    assert done.code == 1
    assert "could be read" in done.err
    for at in range(readable, 35):
        assert f"labels.csv:{at + 2}: {library}/images/{at}.png: not_an_image" in done.err


def test_data_by_name_are_for_fine_tuning(aes: Aes, tmp_path: Path) -> None:
    done = aes("train", "--data", f"humanbeauty={tmp_path}", "--out", tmp_path / "m")
    assert (done.code, "for the recipes that fine-tune" in done.err) == (2, True)


def test_every_dimension_has_an_interval(aes: Aes, library: Path, tmp_path: Path) -> None:
    done = aes("train", "--data", library, "--dims", "all", "--out", tmp_path / "m")
    assert done.code == 0, done.err
    for each in json.loads((tmp_path / "m" / "report.json").read_text())["dimensions"]:
        assert each["interval"]["low"] < each["srcc"] < each["interval"]["high"]
        if each["name"] != "overall":
            assert re.search(rf"{each['name']} +SRCC -?\d\.\d+ \(-?\d\.\d+ to \d\.\d+\)", done.out)


def test_a_picture_that_is_too_large_is_none_whatever_was_computed_before(aes: Aes, tmp_path: Path) -> None:
    library = write_library(tmp_path / "sunny", 24)
    photograph(99, (640, 480)).save(library / "images" / "0.png")
    assert aes("train", "--data", library, "--out", tmp_path / "all", *QUICK).code == 0
    done = aes("train", "--data", library, "--out", tmp_path / "small", "--max-pixels", "100000", *QUICK)
    assert done.code == 3
    assert "640 x 480 pixels are more than 100,000" in done.err
    assert "on 23 pictures" in done.out


def test_a_word_for_data_that_is_empty_is_no_folder(aes: Aes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_library(tmp_path / "sunny", 24))
    done = aes("train", "--data", "", "--out", tmp_path / "taste", *QUICK)
    assert done.code == 2
    assert "--data is empty" in done.err


def test_what_a_killed_training_left_is_removed_a_day_later(aes: Aes, tmp_path: Path) -> None:
    old, new, foreign = (tmp_path / f".aes-{name * 8}" for name in "onf")
    for folder, file in ((old, "model.safetensors"), (new, "model.safetensors"), (foreign, "letter.txt")):
        folder.mkdir()
        (folder / file).write_bytes(b"x")
    for folder in (old, foreign):
        os.utime(folder, (1, 1))
    library = write_library(tmp_path / "sunny", 24)
    assert aes("train", "--data", library, "--out", tmp_path / "taste", *QUICK).code == 0
    assert sorted(each.name for each in tmp_path.glob(".aes-*")) == [foreign.name, new.name]
