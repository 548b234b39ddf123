"""Data sets of the Hub, from a server on the loopback, through `aes train` and `aes data check`."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as arrow
import pytest
from pyarrow import parquet

from tests.conftest import encoded, photograph
from tests.hub import Hub, Repository, serve

FIRST = "1" * 40
SET = "someone/rated"

Aes = Callable[..., subprocess.CompletedProcess[str]]


def table(start: int, count: int, **more: list[object]) -> bytes:
    pictures = [
        {"bytes": encoded(photograph(at, (64, 48)), "PNG"), "path": f"{at}.png"} for at in range(start, start + count)
    ]
    file = io.BytesIO()
    scores = [float(at % 5) for at in range(count)]
    parquet.write_table(arrow.table({"image": pictures, "score": scores, **more}), file)
    return file.getvalue()


@pytest.fixture
def hub() -> Iterator[Hub]:
    files = {
        "README.md": b"words",
        "load.py": b"raise SystemExit('code of the set ran')",
        "data/train-00000-of-00002.parquet": table(0, 12),
        "data/train-00001-of-00002.parquet": table(12, 12),
        "data/test-00000-of-00001.parquet": table(24, 5),
    }
    with serve(Hub({SET: Repository({FIRST: files}, main=FIRST)})) as hub:
        yield hub


@pytest.fixture
def aes(hub: Hub, tmp_path: Path) -> Aes:
    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "AES_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1", **variables,
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-m", "aescli", *words], capture_output=True, text=True, env=environment, check=False
        )

    return run


def check(aes: Aes, word: str = f"hf:{SET}", **variables: str) -> dict[str, object]:
    done = aes("data", "check", word, "--json", **variables)
    assert done.returncode in (0, 3), done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_training_split_is_unpacked_once_and_then_found_offline(aes: Aes, hub: Hub, tmp_path: Path) -> None:
    first = check(aes)
    assert sum(first["counts"].values()) >= 24  # type: ignore[attr-defined]
    (folder,) = (tmp_path / "home" / "data" / "hub" / "someone--rated").iterdir()
    assert folder.name == FIRST
    rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    assert [row["score"] for row in rows] == [float(at % 12 % 5) for at in range(24)]
    assert (folder / rows[13]["image"]).read_bytes() == encoded(photograph(13, (64, 48)), "PNG")
    assert not any(request.endswith("load.py") for request in hub.requests)
    seen = len(hub.requests)
    assert check(aes, HF_HUB_OFFLINE="1") == first
    assert len(hub.requests) == seen


def test_a_head_is_trained_on_it_and_its_report_names_the_commit(aes: Aes, tmp_path: Path) -> None:
    out = tmp_path / "taste"
    done = aes("train", "--data", f"hf:{SET}@{FIRST}", "--out", str(out), "--folds", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"] == f"hf:{SET}@{FIRST[:12]}"


def test_what_is_not_there_is_said(aes: Aes) -> None:
    for word, code, text in (
        ("hf:someone/else", 1, "cannot be had"),
        ("hf:nothing", 2, "no data set of the Hub"),
        (f"hf:{SET}@2222222222222222222222222222222222222222", 1, "cannot be had"),
    ):
        done = aes("data", "check", word)
        assert done.returncode == code, done.stderr
        assert text in done.stderr
        assert "Traceback" not in done.stderr
    assert aes("data", "check", f"hf:{SET}", HF_HUB_OFFLINE="1").returncode == 4


def test_tables_of_different_columns_are_refused(aes: Aes, hub: Hub) -> None:
    hub.repositories[SET].commits[FIRST]["data/more.parquet"] = table(0, 2, other=[1, 2])
    done = aes("data", "check", f"hf:{SET}")
    assert done.returncode == 2
    assert "different columns" in done.stderr


def test_a_picture_without_bytes_is_a_named_problem(aes: Aes, hub: Hub) -> None:
    file = io.BytesIO()
    pictures = [{"bytes": None, "path": "a.png"}, {"bytes": encoded(photograph(0, (64, 48)), "PNG"), "path": None}]
    parquet.write_table(arrow.table({"image": pictures, "score": [1.0, 2.0]}), file)
    hub.repositories[SET].commits[FIRST] = {"all.parquet": file.getvalue()}
    found = check(aes)
    assert any("00000000.png" in problem for problem in found["problems"])  # type: ignore[attr-defined]


def test_comparisons_with_pictures_inside_are_understood(aes: Aes, hub: Hub, tmp_path: Path) -> None:
    seen = [{"bytes": encoded(photograph(at, (64, 48)), "PNG"), "path": f"{at}.png"} for at in range(24)]
    winners = [seen[at % 24] for at in range(96)]
    losers = [seen[(at + 1 + at // 24 * 5) % 24] for at in range(96)]
    file = io.BytesIO()
    parquet.write_table(arrow.table({"winner": winners, "loser": losers, "series": list("abcd" * 24)}), file)
    hub.repositories[SET].commits[FIRST] = {"all.parquet": file.getvalue()}
    assert check(aes)["counts"] == {"comparisons": 96, "pictures": 24}
    (folder,) = (tmp_path / "home" / "data" / "hub" / "someone--rated").iterdir()
    row = json.loads((folder / "labels.jsonl").read_text().splitlines()[3])
    assert row["series"] == "d"
    assert (folder / row["winner"]).read_bytes() == winners[3]["bytes"]
    assert (folder / row["loser"]).read_bytes() == losers[3]["bytes"]
    done = aes("train", "--data", f"hf:{SET}", "--out", str(tmp_path / "taste"), "--folds", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"] == 24


def test_a_set_of_files_is_read_where_it_lies(aes: Aes, hub: Hub) -> None:
    hub.repositories[SET].commits[FIRST] = {
        "metadata.csv": b"file_name,score\na.png,1\nb.png,2\n",
        "a.png": encoded(photograph(0, (64, 48)), "PNG"),
        "b.png": encoded(photograph(1, (64, 48)), "PNG"),
    }
    assert sum(check(aes)["counts"].values()) >= 2  # type: ignore[attr-defined]


def test_pictures_of_a_set_are_scored_where_they_lie_and_scores_are_written_there(aes: Aes) -> None:
    photo = encoded(photograph(0), "JPEG")
    files = {"train/a b/0.jpg": photo, "train/1.jpg": photo, "train/note.txt": b"x", "other/2.jpg": photo}
    repository = Repository({FIRST: files}, main=FIRST)
    with serve(Hub({SET: repository})) as hub:
        first = aes("score", f"hf://datasets/{SET}/train", "-o", f"hf://datasets/{SET}/out/s.csv", HF_ENDPOINT=hub.url)
        assert first.returncode == 0, first.stderr
        written = repository.commits[repository.main]["out/s.csv"].decode().splitlines()
        assert [row.partition(",")[0] for row in written[1:]] == [
            f"hf://datasets/{SET}/train/1.jpg", f"hf://datasets/{SET}/train/a b/0.jpg"
        ]  # fmt: skip
        downloads = [request for request in hub.requests if "/resolve/" in request]
        again = aes("score", f"hf://datasets/{SET}/train", HF_ENDPOINT=hub.url)
        assert "2 of them kept from before" in again.stderr
        assert [request for request in hub.requests if "/resolve/" in request] == downloads
        none = aes("score", f"hf://datasets/{SET}/none", HF_ENDPOINT=hub.url)
        assert none.returncode == 2
        assert "there is no such file" in none.stderr
