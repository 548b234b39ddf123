"""`aes filter` as a curator meets it."""

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from aescli.errors import ErrorCode
from aescli.results import Failure, Row, Score
from aescli.score_files import find_files, read_scores
from aescli.writers.opening import open_writer
from tests.conftest import Aes, needs_posix, photograph

FORMATS = ("csv", "jsonl", "parquet")


def scored(path: str, overall: float, *flags: str, model: str = "mini", **dims: float) -> Score:
    return Score(path, overall, overall, model, "r1", "onnx-cpu", "regression", dims, flags)


def failed(path: str) -> Failure:
    return Failure(path, ErrorCode.TRUNCATED, "the file ends too early", "mini", "r1", "onnx-cpu", "regression")


def write(file: Path, rows: Sequence[Row]) -> Path:
    first = next(row for row in rows if isinstance(row, Score))
    with file.open("wb") as stream:
        writer = open_writer(file.suffix[1:], stream, tuple(first.dims))
        for row in rows:
            writer.write(row)
        writer.finish()
    return file


ROWS: list[Row] = [
    scored("a/1.jpg", 7.0, sharpness=3.0),
    failed("a/bad.jpg"),
    scored("a/2.jpg", 5.0, "truncated", sharpness=8.0),
    scored("b/3.jpg", 9.0, sharpness=5.0),
    scored("b/4.jpg", 9.0, sharpness=1.0),
    scored("b/5.jpg", 1.0, sharpness=9.0),
]


@pytest.fixture(params=FORMATS)
def scores(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(tmp_path / f"scores.{request.param}", ROWS)


def paths(out: str) -> list[str]:
    return out.splitlines()


def test_a_condition_over_every_format(aes: Aes, scores: Path) -> None:
    done = aes("filter", scores, "--where", "overall > 6 and sharpness >= 3", "-q")
    assert (done.code, paths(done.out)) == (0, ["a/1.jpg", "b/3.jpg"])
    assert "2 of 6 kept, 1 are errors and cannot pass" in done.err
    assert paths(aes("filter", scores, "--where", "not 'truncated' in flags and overall < 8", "-q").out) == [
        "a/1.jpg", "b/5.jpg"
    ]  # fmt: skip


def test_an_error_never_passes_whatever_is_asked(aes: Aes, scores: Path) -> None:
    done = aes("filter", scores, "--where", "status = 'error' or overall < 100 or error_code = 'truncated'", "-q")
    assert "a/bad.jpg" not in paths(done.out)
    assert "1 are errors" in done.err
    none = aes("filter", scores, "--where", "status = 'error'", "-q")
    assert (none.code, none.out) == (4, "")
    assert "1 are errors" in none.err


def test_percentile_top_and_the_best_of_each_part(aes: Aes, scores: Path) -> None:
    assert paths(aes("filter", scores, "--percentile", "75", "-q").out) == ["b/3.jpg", "b/4.jpg"]
    assert paths(aes("filter", scores, "--top", "1", "-q").out) == ["b/3.jpg"]  # of equals the first
    assert paths(aes("filter", scores, "--top", "1", "--by", "sharpness", "-q").out) == ["b/5.jpg"]
    assert paths(aes("filter", scores, "--top", "1", "--per", "folder", "-q").out) == ["a/1.jpg", "b/3.jpg"]
    assert paths(aes("filter", scores, "--percentile", "50", "--per", "folder", "-q").out) == [
        "a/1.jpg", "b/3.jpg", "b/4.jpg"
    ]  # fmt: skip
    done = aes("filter", scores, "--where", "sharpness > 2", "--top", "2", "--per", "folder", "-q")
    assert paths(done.out) == ["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/5.jpg"]
    assert "ranked in 2 parts" in done.err


@pytest.mark.parametrize("target", FORMATS)
def test_rows_come_out_as_they_went_in(aes: Aes, scores: Path, tmp_path: Path, target: str) -> None:
    out = tmp_path / f"kept.{target}"
    assert aes("filter", scores, "--where", "overall >= 5", "-o", out).code == 0
    rows = [row for row in ROWS if isinstance(row, Score) and row.overall >= 5]
    if "csv" in (target, scores.suffix[1:]):  # CSV does not say where a score comes from
        rows = [replace(row, revision="", backend="", read_out="") for row in rows]
    assert list(read_scores([out], lambda problem: pytest.fail(str(problem)))) == rows


def test_the_format_that_is_read_keeps_columns_that_scores_do_not_have(aes: Aes, tmp_path: Path) -> None:
    file = write(tmp_path / "s.csv", ROWS)
    header, *lines = file.read_text().splitlines()
    kinds = ["cat", "", "dog", "cat", "cat", "dog"]
    file.write_text("\n".join([f"{header},kind", *(f"{line},{kind}" for line, kind in zip(lines, kinds, strict=True))]))
    done = aes("filter", file, "--top", "1", "--per", "kind", "--format", "csv")
    assert [line.rpartition(",")[2] for line in done.out.splitlines()] == ["kind", "dog", "cat"]
    done = aes("filter", file, "--where", "kind = 'dog'", "--format", "jsonl")
    assert [json.loads(line)["path"] for line in done.out.splitlines()] == ["a/2.jpg", "b/5.jpg"]
    assert "has no column kind" in done.err


def test_the_long_layout_has_a_row_for_each_number(aes: Aes, scores: Path, tmp_path: Path) -> None:
    done = aes("filter", scores, "--top", "1", "--layout", "long", "--format", "csv")
    assert done.out.splitlines() == [
        "path,model,metric,value",
        "b/3.jpg,mini,overall,9.000000",
        "b/3.jpg,mini,sharpness,5.000000",
        "b/3.jpg,mini,raw,9.000000",
    ]
    for suffix in ("jsonl", "parquet"):
        assert aes("filter", scores, "--layout", "long", "-o", tmp_path / f"long.{suffix}").code == 0
    from pyarrow import parquet

    lines = [json.loads(line) for line in (tmp_path / "long.jsonl").read_text().splitlines()]
    assert lines == [
        {name: value for name, value in row.items() if name != "path_b64"}
        for row in parquet.read_table(tmp_path / "long.parquet").to_pylist()
    ]


def test_models_are_not_ranked_together(aes: Aes, tmp_path: Path) -> None:
    one, other = write(tmp_path / "1.jsonl", ROWS), [scored("x.jpg", 8.0, model="laion", sharpness=1.0)]
    two = write(tmp_path / "2.jsonl", other)
    done = aes("filter", one, two, "--top", "3")
    assert done.code == 2
    assert "laion, mini" in done.err
    done = aes("filter", one, two, "--top", "3", "--where", "model = 'laion'", "-q")
    assert (done.code, done.out) == (0, "x.jpg\n")
    assert len(paths(aes("filter", one, two, "--where", "overall > 0", "-q").out)) == 6


def test_parts_of_a_folder_and_several_files_are_one_table(aes: Aes, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    write(folder / "b.parquet", ROWS[3:])
    write(folder / "a.parquet", ROWS[:3])
    done = aes("filter", folder, "--where", "overall > 1", "-q")
    assert paths(done.out) == ["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"]
    assert aes("filter", folder, "--top", "2", "-o", tmp_path / "two.parquet").code == 0
    rows = list(read_scores([tmp_path / "two.parquet"], lambda _: None))
    assert [row.path for row in rows] == ["b/3.jpg", "b/4.jpg"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--where", "overal > 3"], "did you mean 'overall'?"),
        (["--top", "3", "--by", "sharp"], "did you mean 'sharpness'?"),
        (["--top", "3", "--per", "class"], "no column 'class'"),
        (["--per", "folder"], "--per folder --top"),
        (["--layout", "tall"], "wide|long"),
        (["--top", "1", "--by", "path"], "holds no numbers"),
        (["-o", "x.doc"], "names no format"),
        (["no.csv"], "there is no no.csv"),
        (["photo.jpg"], "no file of scores"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    aes: Aes, scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(b"x")
    done = aes("filter", scores, *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_other_tables_and_broken_lines_are_told(aes: Aes, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("image,score\na.jpg,3\n")
    assert "no column path, status, overall" in aes("filter", labels).err
    file = write(tmp_path / "s.csv", ROWS)
    file.write_text(file.read_text() + "b/6.jpg,ok,7\n")
    done = aes("filter", file, "--where", "overall > 6", "-q")
    assert done.code == 3
    assert "1 lines could not be read" in done.err
    assert "s.csv:8" in done.err
    (tmp_path / "s.parquet").write_bytes(b"PAR1 no")
    assert aes("filter", tmp_path / "s.parquet").code == 1


def test_an_output_stays_as_it_was_where_nothing_passes(aes: Aes, scores: Path, tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("before\n")
    assert aes("filter", scores, "--where", "overall > 99", "-o", tmp_path / "keep.txt").code == 4
    assert (tmp_path / "keep.txt").read_text() == "before\n"


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures of which two are the same with other bytes, and even ones whose hashes are equal."""
    monkeypatch.chdir(tmp_path)
    folder = Path("pics")
    folder.mkdir()
    for seed in range(3):
        photograph(seed).save(folder / f"{seed}.jpg", quality=92)
    photograph(0).resize((200, 150)).save(folder / "small.jpg", quality=60)
    for name, level in (("black", 0), ("white", 255)):
        Image.new("RGB", (60, 40), (level,) * 3).save(folder / f"{name}.png")
    return write(
        tmp_path / "s.csv",
        [scored(f"pics/{name}", value) for name, value in
         (("0.jpg", 5.0), ("1.jpg", 4.0), ("2.jpg", 3.0), ("small.jpg", 6.0), ("black.png", 1.0), ("white.png", 2.0))],
    )  # fmt: skip


def test_of_near_duplicates_the_best_stays(aes: Aes, copies: Path) -> None:
    done = aes("filter", copies, "--dedupe", "-q")
    assert paths(done.out) == ["pics/1.jpg", "pics/2.jpg", "pics/small.jpg", "pics/black.png", "pics/white.png"]
    assert "1 look like a better one" in done.err
    assert paths(aes("filter", copies, "--dedupe", "--top", "2", "-q").out) == ["pics/1.jpg", "pics/small.jpg"]


def test_a_picture_that_cannot_be_looked_at_does_not_pass(aes: Aes, copies: Path) -> None:
    Path("pics/1.jpg").unlink()
    done = aes("filter", copies, "--dedupe", "-q")
    assert done.code == 3
    assert "pics/1.jpg" not in paths(done.out)
    assert "pics/1.jpg: vanished" in done.err
    assert "1 could not be opened and cannot pass" in done.err


@needs_posix
def test_a_list_is_read_back_whatever_the_names(aes: Aes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [b"caf\xe9.png", b"=1+1.png", b"\x1b[31m.png", "\u202egnp.png".encode(), b" x'\".png"]
    for seed, name in enumerate(names):
        photograph(seed, (40, 30)).save(os.fsdecode(name))
    for suffix in FORMATS:
        assert aes("score", ".", "-o", f"s.{suffix}").code == 0
        assert aes("filter", f"s.{suffix}", "-o", "keep.txt").code == 0
        listed = sorted(Path("keep.txt").read_bytes().splitlines())
        assert listed == sorted(b"./" + name for name in names)
        again = aes("score", "--files-from", "keep.txt", "-0")
        assert sorted(again.raw.split(b"\0")[:-1]) == listed
        assert b"\x1b" not in aes("filter", f"s.{suffix}", "-q").raw
    photograph(9, (40, 30)).save("two\nlines.png")
    aes("score", ".", "-o", "s.csv")
    done = aes("filter", "s.csv", "-o", "keep.txt")
    assert done.code == 1
    assert "-0" in done.err
    assert aes("filter", "s.csv", "-0", "-o", "keep.lst").code == 0
    assert b"./two\nlines.png\0" in Path("keep.lst").read_bytes()


def test_where_a_picture_is_must_be_clear(aes: Aes, copies: Path, tmp_path: Path) -> None:
    away = tmp_path / "away"
    (away / "pics").mkdir(parents=True)
    moved = Path(copies).rename(away / "s.csv")
    assert aes("filter", moved, "--dedupe", "-q").code == 0  # from here, as when they were scored
    photograph(7).save(away / "pics" / "0.jpg")
    done = aes("filter", moved, "--dedupe", "-q")
    assert done.code == 1
    assert "is two pictures" in done.err


VALUES = st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abc")), min_size=1, max_size=30)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=VALUES, top=st.integers(1, 5), share=st.integers(0, 100))
def test_ranking_is_what_a_sort_says(
    aes: Aes, tmp_path: Path, rows: list[tuple[int, str]], top: int, share: int
) -> None:
    file = write(tmp_path / "p.csv", [scored(f"{part}/{at}.jpg", value / 2) for at, (value, part) in enumerate(rows)])

    def places(*words: object) -> list[int]:
        return [int(Path(row[0]).stem) for row in csv.reader(io.StringIO(aes("filter", file, *words, "-q").out))]

    best = sorted(range(len(rows)), key=lambda at: (-rows[at][0], at))
    assert places("--top", top) == sorted(best[:top])
    each = [at for part in "abc" for at in [at for at in best if rows[at][1] == part][:top]]
    assert places("--top", top, "--per", "folder") == sorted(each)
    least = np.percentile([value / 2 for value, _ in rows], share)
    assert places("--percentile", share) == [at for at, (value, _) in enumerate(rows) if value / 2 >= least]


def test_a_folder_without_parts_is_refused(aes: Aes, tmp_path: Path) -> None:
    assert aes("filter", tmp_path).code == 2
    assert find_files([write(tmp_path / "s.parquet", ROWS)]) == [tmp_path / "s.parquet"]


def test_tables_of_others(aes: Aes, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from decimal import Decimal

    from pyarrow import parquet

    file = tmp_path / "s.parquet"
    scores = [Decimal("5.20"), Decimal("7.10"), Decimal("9.90"), None]
    columns = [["a", "b", "c", "d"], scores, ["ok", "OK", "failed", "Error"]]
    parquet.write_table(arrow.table(columns, names=["path", "overall", "status"]), file)
    assert aes("filter", file, "--where", "overall > 5", "-q").out.splitlines() == ["a", "b"]
    columns = [["a"], [1.0], [2.0], ["ok"]]
    parquet.write_table(arrow.table(columns, names=["path", "overall", "overall", "status"]), file)
    done = aes("filter", file, "--top", "1")
    assert done.code == 2
    assert "has the column overall twice" in done.err


@pytest.mark.parametrize(("column", "other"), [("revision", "r2"), ("read_out", "levels")])
def test_scores_of_two_kinds_are_not_ranked_together(aes: Aes, tmp_path: Path, column: str, other: str) -> None:
    changed: dict[str, Any] = {column: other}
    rows = [scored("a", 5.0), replace(scored("b", 6.0), **changed)]
    file = write(tmp_path / "s.jsonl", rows)
    done = aes("filter", file, "--percentile", "50")
    assert done.code == 2
    assert f"{column} = '" in done.err
    assert aes("filter", file, "--percentile", "50", "--where", f"{column} = '{other}'", "-q").out.splitlines() == ["b"]
    for command in ("tag", "cull"):
        done = aes(command, "--scores", file)
        assert done.code == 2
        assert f"{column} = '" in done.err
