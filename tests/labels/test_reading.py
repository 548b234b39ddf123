import datetime
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from aescli.errors import AesError, NothingMatched, UsageError
from aescli.labels.reading import read_labels
from aescli.labels.values import LabelledSet
from tests.conftest import Aes
from tests.data import DATA, needs_data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three files that have the names of pictures."""
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"x")
    (folder / "images" / "c.jpg").write_bytes(b"x")
    return folder


def read(file: Path, content: str | bytes) -> LabelledSet:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_labels(file)


def scores(labels: LabelledSet) -> dict[str, float]:
    return {Path(each.path).name: each.scores["overall"] for each in labels.pictures}


@pytest.mark.parametrize("header", ["image,score", "path,overall", "file_name,rating", "Image,Score", "filename,mos"])
def test_a_table_of_scores(folder: Path, header: str) -> None:
    labels = read(folder / "ratings.csv", f"{header}\na.jpg,3\nb.jpg,4.5\nc.jpg,1e0\n")
    assert scores(labels) == {"a.jpg": 3, "b.jpg": 4.5, "c.jpg": 1}
    assert labels.scale == (1.0, 4.5)
    assert labels.dimensions == ("overall",)
    assert labels.pictures[1].source == "ratings.csv:3"
    assert labels.pictures[2].path == str(folder / "images" / "c.jpg")
    assert not labels.problems
    assert not labels.missing


def test_every_format_says_the_same(folder: Path) -> None:
    rows = [("a.jpg", 3.0, 7.0, "x"), ("b.jpg", 4.5, 8.0, "y")]
    names = ("image", "score", "light", "theme")
    lines = [dict(zip(names, row, strict=True)) for row in rows]
    texts = {
        "r.csv": "\n".join(",".join(map(str, row)) for row in (names, *rows)),
        "r.tsv": "\n".join("\t".join(map(str, row)) for row in (names, *rows)),
        "r2.csv": "image;score;light;theme\na.jpg;3,0;7,0;x\nb.jpg;4,5;8,0;y\n",
        "r.jsonl": "\n".join(map(json.dumps, lines)),
    }
    read_all = [read(folder / name, text) for name, text in texts.items()]
    read_all += [read(folder / "bom.csv", "\ufeff" + texts["r.csv"])]
    read_all += [read(folder / "utf16.csv", texts["r.csv"].encode("utf-16"))]
    parquet.write_table(pyarrow.Table.from_pylist(lines), folder / "r.parquet")
    read_all.append(read_labels(folder / "r.parquet"))
    for labels in read_all:
        assert [each.scores for each in labels.pictures] == [
            {"overall": 3.0, "light": 7.0}, {"overall": 4.5, "light": 8.0}
        ]  # fmt: skip
        assert [each.columns["theme"] for each in labels.pictures] == ["x", "y"]
        assert labels.dimensions == ("overall", "light")


def test_votes_are_a_histogram(folder: Path) -> None:
    labels = read(folder / "r.csv", "image,h1,h2,h3\na.jpg,1,0,3\nb.jpg,0,2,0\n")
    assert list(labels.pictures[0].counts) == [1, 0, 3]
    assert scores(labels) == {"a.jpg": 2.5, "b.jpg": 2}
    assert labels.scale == (1.0, 3.0)


def test_ava(folder: Path) -> None:
    (folder / "images" / "953619.jpg").write_bytes(b"x")
    line = "1 953619 0 1 5 17 38 36 15 6 5 1 1 22 1396\n2 953958 10 7 15 26 26 21 10 8 1 2 15 21 1396\n3 x 1\n"
    labels = read(folder / "AVA.txt", line)
    assert labels.name == folder.name
    assert list(labels.pictures[0].counts) == [0, 1, 5, 17, 38, 36, 15, 6, 5, 1]
    assert labels.pictures[0].scores["overall"] == pytest.approx(5.637, abs=1e-3)
    assert labels.pictures[0].columns["challenge"] == "1396"
    assert labels.scale == (1.0, 10.0)
    assert [Path(each.path).name for each in labels.missing] == ["953958.jpg"]
    assert [each.source for each in labels.problems] == ["AVA.txt:3"]
    assert labels.dimensions == ("overall",)  # a challenge is no quality, however many numbers it has


def test_a_line_of_ava_has_ten_counts(folder: Path) -> None:
    nine = "2 953620 0 1 5 17 38 36 15 6 5 1 22 1396"  # its first tag is no tenth count
    labels = read(folder / "AVA.txt", f"1 953619 0 1 5 17 38 36 15 6 5 1\n{nine}\n3 953621 {'1 ' * 14}\n")
    assert [Path(each.path).name for each in (*labels.pictures, *labels.missing)] == ["953619.jpg"]
    assert [each.source for each in labels.problems] == ["AVA.txt:2", "AVA.txt:3"]
    assert "14 words, not 12 or 15" in labels.problems[0].message


def test_hugging_face_and_humanbeauty(folder: Path) -> None:
    assert scores(read(folder / "metadata.jsonl", '{"file_name": "a.jpg", "score": 2}')) == {"a.jpg": 2}
    twelve = [round(0.05 * at, 2) for at in range(12)]
    labels = read(folder / "label.jsonl", json.dumps({"image_name": "c.jpg", "source": "AVA", "score": twelve}))
    assert labels.pictures[0].scores["outfit"] == twelve[6]
    assert labels.pictures[0].scores["overall"] == labels.pictures[0].scores["comprehensive"] == twelve[11]
    swift = {"messages": [], "images": ["a.jpg"], "label": 0.5}
    assert scores(read(folder / "swift.jsonl", json.dumps(swift))) == {"a.jpg": 0.5}


def test_pairs(folder: Path) -> None:
    labels = read(folder / "pairs.csv", "winner,loser\na.jpg,b.jpg\nb.jpg,b.jpg\nc.jpg,gone.jpg\n,a.jpg\n")
    assert [(Path(each.winner).name, Path(each.loser).name) for each in labels.pairs] == [("a.jpg", "b.jpg")]
    assert [each.source for each in labels.problems] == ["pairs.csv:3", "pairs.csv:4", "pairs.csv:5"]
    assert [Path(each.path).name for each in labels.missing] == ["gone.jpg"]
    assert labels.scale is None


def test_every_bad_row_is_named_and_the_others_are_read(folder: Path) -> None:
    bad = [
        "b.jpg,", "b.jpg,good", "b.jpg,nan", "b.jpg,-inf", ",3", "b.jpg,3,4", "a.jpg,5", f"b.jpg,{'9' * 400}",
        "b\0.jpg,3", "gone.jpg,3",
    ]  # fmt: skip
    labels = read(folder / "r.csv", "\n".join(["image,score", "a.jpg,1", *bad, "c.jpg,2", ""]))
    assert scores(labels) == {"a.jpg": 1, "c.jpg": 2}
    assert [each.source for each in labels.problems] == [f"r.csv:{line}" for line in range(3, 12)]
    assert [each.source for each in labels.missing] == ["r.csv:12"]
    assert "labelled before, at r.csv:2" in str(labels.problems[6])


def test_bad_lines_of_json_are_named(folder: Path) -> None:
    lines = ['{"image": "a.jpg", "score": 1}', "[" * 100_000, "[1]", '{"image": 5, "score": 1}', '{"image": "b.jpg"',
             '{"image": "b.jpg", "score": NaN}', '{"image": "b.jpg", "score": true}',
             '{"image": "b.jpg", "score": ' + "9" * 5000 + "}"]  # fmt: skip
    labels = read(folder / "r.jsonl", "\n".join(lines))
    assert scores(labels) == {"a.jpg": 1}
    assert [each.source for each in labels.problems] == [f"r.jsonl:{line}" for line in range(2, 9)]


def test_a_quote_that_never_ends_is_a_problem(folder: Path) -> None:
    labels = read(folder / "r.csv", 'image,score\na.jpg,1\n"b.jpg,2\nc.jpg,3\n')
    assert scores(labels) == {"a.jpg": 1}
    assert [each.source for each in labels.problems] == ["r.csv:3"]
    assert "lines 3 to 4 are lost" in labels.problems[0].message
    labels = read(folder / "r.csv", 'image,score,note\na.jpg,1,x\n"b.jpg,2,x\nb.jpg",3\nc.jpg,2,x\n')
    assert scores(labels) == {"a.jpg": 1, "c.jpg": 2}
    assert "lines 3 to 4 are lost" in labels.problems[0].message


@pytest.mark.parametrize(
    "rows",
    [
        'a.jpg,3,"nice\nb.jpg,2,good"\n',
        'a.jpg,3,"nice\nb.jpg,2,good\nb.jpg,4,"\n',
        '"a.jpg,3,nice\nb.jpg",2,good\n',
    ],
)
def test_a_quote_that_swallows_rows_is_a_problem(folder: Path, rows: str) -> None:
    labels = read(folder / "r.csv", f"image,score,note\n{rows}c.jpg,2,x\n")
    assert scores(labels) == {"c.jpg": 2}
    assert [each.source for each in labels.problems] == ["r.csv:2"]
    assert f"lines 2 to {1 + rows.count(chr(10))} are lost" in labels.problems[0].message


def test_a_quote_that_swallows_a_pair_is_a_problem(folder: Path) -> None:
    labels = read(folder / "p.csv", 'winner,loser\na.jpg,"b.jpg\nc.jpg,b.jpg"\na.jpg,c.jpg\n')
    assert [each.source for each in labels.problems] == ["p.csv:2"]
    assert len(labels.pairs) == 1


def test_a_note_may_have_several_lines(folder: Path) -> None:
    labels = read(folder / "r.csv", 'image,score,note\na.jpg,1,"light, and\nsoft, warm, still\n2 of 3"\nb.jpg,2,x\n')
    assert scores(labels) == {"a.jpg": 1, "b.jpg": 2}
    assert not labels.problems


def test_one_picture_under_two_spellings_is_one(folder: Path) -> None:
    (folder / "images" / "link.jpg").symlink_to("c.jpg")
    spellings = [
        "./c.jpg",
        "images/c.jpg",
        "../set/images/../images/c.jpg",
        str(folder / "images" / "c.jpg"),
        "link.jpg",
    ]
    rows = "".join(f"{name},2\n" for name in (*spellings, "gone.jpg", "./gone.jpg"))
    labels = read(folder / "r.csv", f"image,score\n{rows}a.jpg,1\n")
    assert [each.path for each in labels.pictures] == [f"{folder}/images/./c.jpg", f"{folder}/a.jpg"]
    assert [each.source for each in labels.problems] == [f"r.csv:{line}" for line in (3, 4, 5, 6, 8)]
    assert labels.problems[0].message == "images/c.jpg is labelled before, at r.csv:2"
    assert len(labels.missing) == 1


def test_spellings_of_pairs(folder: Path) -> None:
    labels = read(folder / "p.csv", "winner,loser\nc.jpg,images/c.jpg\na.jpg,c.jpg\n./a.jpg,images/c.jpg\n")
    assert [str(each) for each in labels.problems] == ["p.csv:2: c.jpg is compared with itself"]
    assert len(labels.pictures) == 2
    assert len({(each.winner, each.loser) for each in labels.pairs}) == 1
    assert len(labels.pairs) == 2


def test_a_cell_that_is_no_score_loses_its_dimension_alone(folder: Path) -> None:
    rows = "".join(f"{at}.jpg,3,4\n" for at in range(20))
    labels = read(folder / "r.csv", f"image,score,light\na.jpg,1,high\nb.jpg,2,5\n{rows}")
    assert [each.scores for each in labels.pictures] == [{"overall": 1}, {"overall": 2, "light": 5}]
    assert labels.pictures[0].bad == {"light": "light is no number but 'high'"}
    assert not labels.problems


@pytest.mark.parametrize("cell", ["1_000", "1e308", "-2e9", "1e400"])
def test_numbers_that_are_no_ratings(folder: Path, cell: str) -> None:
    labels = read(folder / "r.csv", f"image,score\na.jpg,{cell}\nb.jpg,2\n")
    assert scores(labels) == {"b.jpg": 2}
    assert [each.source for each in labels.problems] == ["r.csv:2"]


def test_the_larger_family_of_columns_holds_the_votes(folder: Path) -> None:
    labels = read(folder / "r.csv", "image,h1,h2,h3,c1,c_2\na.jpg,1,0,3,3,9\nb.jpg,0,2,0,3,9\n")
    assert list(labels.pictures[0].counts) == [1, 0, 3]
    assert labels.scale == (1.0, 3.0)


def test_votes_on_another_scale_are_no_score(folder: Path) -> None:
    labels = read(folder / "r.csv", "image,score,h1,h2,h3\na.jpg,0.2,1,0,3\nb.jpg,,0,2,0\nc.jpg,0.9,0,0,3\n")
    assert scores(labels) == {"a.jpg": 0.2, "c.jpg": 0.9}
    assert labels.scale == (0.2, 0.9)
    assert [str(each) for each in labels.problems] == ["r.csv:3: it has no score, and its votes are on another scale"]
    labels = read(folder / "r.csv", "image,score,h1,h2,h3\na.jpg,2.5,1,0,3\nb.jpg,,0,2,0\n")
    assert scores(labels) == {"a.jpg": 2.5, "b.jpg": 2}


def test_a_blank_first_line_says_nothing_of_delimiters(folder: Path) -> None:
    assert scores(read(folder / "r.csv", "\n \nimage;score\na.jpg;1,5\n")) == {"a.jpg": 1.5}
    assert read(folder / "r.csv", "\n\n").pictures == ()


def test_decimals_of_parquet(folder: Path) -> None:
    table = pyarrow.table({"image": ["a.jpg", "b.jpg"], "score": pyarrow.array([Decimal("1.25"), Decimal(3)])})
    parquet.write_table(table, folder / "r.parquet")
    assert scores(read_labels(folder / "r.parquet")) == {"a.jpg": 1.25, "b.jpg": 3}


def test_nanoseconds_of_parquet(folder: Path) -> None:
    moments = {
        "taken": pyarrow.array([1_700_000_000_000_000_001], pyarrow.timestamp("ns", "UTC")),
        "clock": pyarrow.array([1_001], pyarrow.time64("ns")),
        "open": pyarrow.array([1_001], pyarrow.duration("ns")),
    }
    parquet.write_table(pyarrow.table({"image": ["a.jpg"], "score": [1.0], **moments}), folder / "n.parquet")
    (picture,) = read_labels(folder / "n.parquet").pictures
    assert picture.columns["taken"] == "2023-11-14 22:13:20+00:00"


def test_two_columns_for_the_score_are_one_only_if_they_agree(folder: Path) -> None:
    assert scores(read(folder / "r.csv", "image,score,overall\na.jpg,1,1.0\nb.jpg,2,\n")) == {"a.jpg": 1, "b.jpg": 2}
    with pytest.raises(UsageError, match=r"score and overall, and they differ, first at r\.csv:3"):
        read(folder / "r.csv", "image,score,overall\na.jpg,1,1\nb.jpg,2,3\n")
    assert scores(read(folder / "r.csv", "image,rating,score\na.jpg,good,1\nb.jpg,bad,3\n")) == {"a.jpg": 1, "b.jpg": 3}
    with pytest.raises(UsageError, match="Score and score"):
        read(folder / "r.csv", "image,Score,score\na.jpg,1,1\n")


def test_names_of_bytes_that_are_no_text(folder: Path) -> None:
    name = b"caf\xe9.jpg"
    (folder / name.decode(errors="surrogateescape")).write_bytes(b"x")
    labels = read(folder / "r.csv", b"image,score\n" + name + b",4\n")
    assert scores(labels) == {"caf\udce9.jpg": 4}


@pytest.mark.parametrize(
    ("content", "words"),
    [("picture_of,score\na.jpg,1\n", "no column for the picture"), ("image,beauty_of\na.jpg,x\n", "for the score"),
     ("image,score,score\na.jpg,1,1\n", "twice")],
)  # fmt: skip
def test_columns_that_nobody_understands(folder: Path, content: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(folder / "r.csv", content)


def test_files_that_are_none(folder: Path) -> None:
    with pytest.raises(UsageError, match="there is no"):
        read_labels(folder / "gone.csv")
    with pytest.raises(UsageError, match="no table"):
        read_labels(folder / "a.jpg")
    with pytest.raises(NothingMatched, match="has no labels"):
        read_labels(folder)
    with pytest.raises(AesError, match="cannot be read"):
        read(folder / "broken.parquet", b"PAR1 and no more")
    with pytest.raises(AesError, match="UTF-16"):
        read(folder / "half.csv", b"\xff\xfea")
    with pytest.raises(UsageError, match=r"no AVA\.txt"):
        read(folder / "words.txt", "these are words")
    os.mkfifo(folder / "pipe.csv")
    with pytest.raises(UsageError, match="is no regular file"):
        read_labels(folder / "pipe.csv")
    assert read(folder / "empty.csv", b"").pictures == ()
    assert read(folder / "head.csv", b"image,score\n").pictures == ()


def test_a_folder_with_two_files_of_labels_is_not_guessed_about(folder: Path) -> None:
    (folder / "labels.csv").write_text("image,score\na.jpg,1\n")
    assert read_labels(folder).name == folder.name
    (folder / "ratings.csv").write_text("image,score\na.jpg,1\n")
    with pytest.raises(UsageError, match="several"):
        read_labels(folder)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_what_score_writes_can_be_read(aes: Aes, photos: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    (photos / "7.jpg").write_bytes(b"no picture")
    (photos / "new\nline.jpg").write_bytes((photos / "0.jpg").read_bytes())
    assert aes("score", ".", "--dims", "all", "-o", f"scores.{suffix}").code == 3
    labels = read_labels(photos / f"scores.{suffix}")
    assert len(labels.pictures) == 7
    assert not labels.missing
    assert labels.dimensions == ("overall", "sharpness", "exposure", "contrast", "colorfulness", "noise", "technical")
    (problem,) = labels.problems
    assert problem.source.startswith(f"scores.{suffix}:")
    assert problem.message == "has no score: the content is no picture"


@given(cells=st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=6))
def test_no_text_makes_it_fail(tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]) -> None:
    file = tmp_path_factory.mktemp("any") / "r.csv"
    content = "image,score\n" + "".join(f"{name},{score}\n" for name, score in cells)
    labels = read(file, content.encode("utf-8", errors="surrogatepass"))
    assert not labels.pictures
    for problem in labels.problems:
        assert problem.source.startswith("r.csv:")


@needs_data
@pytest.mark.parametrize(("name", "count", "scale"), [("oasis", 669, (1, 7)), ("mebeauty", 1617, (0.13333, 0.88889))])
def test_the_real_sets(name: str, count: int, scale: tuple[float, float]) -> None:
    labels = read_labels(DATA / name)
    assert (labels.name, len(labels.pictures), labels.scale) == (name, count, scale)
    assert not labels.problems
    assert not labels.missing


def test_pictures_inside_of_parquet_are_those_that_are_labelled(folder: Path, home: Path) -> None:
    """Files of the same name may lie beside the table: they are not what its rows speak of."""
    packed = [{"bytes": b"first", "path": "a.jpg"}, {"bytes": b"second", "path": "../../b.PNG"}]
    beside = [{"bytes": None, "path": "c.jpg"}, {"bytes": None, "path": None}]
    table = pyarrow.table({"image": [*packed, *beside], "score": [1.0, 2.0, 3.0, 4.0]})
    parquet.write_table(table, folder / "r.parquet")
    labels = read_labels(folder / "r.parquet")
    assert [Path(each.path).read_bytes() for each in labels.pictures] == [b"first", b"second", b"x"]
    assert [Path(each.path).suffix for each in labels.pictures] == [".jpg", ".png", ".jpg"]
    assert labels.pictures[2].path == str(folder / "images" / "c.jpg")
    assert [str(each) for each in labels.problems] == ["r.parquet:4: image holds neither a picture nor its path"]
    assert all(home in Path(each.path).parents for each in labels.pictures[:2])
    assert [each.path for each in read_labels(folder / "r.parquet").pictures] == [each.path for each in labels.pictures]


def test_of_splits_only_the_one_for_training_is_read(folder: Path) -> None:
    for split in ("train", "validation", "test"):
        (folder / split).mkdir()
        (folder / split / f"{split}.jpg").write_bytes(b"x")
        (folder / split / "metadata.csv").write_text(f"file_name,score\n{split}.jpg,3\n")
    labels = read_labels(folder)
    assert scores(labels) == {"train.jpg": 3}
    assert labels.notes == ("train/ alone is read, not test, validation",)
    assert labels.name == "set"
    (folder / "train" / "metadata.csv").unlink()
    with pytest.raises(NothingMatched) as caught:
        read_labels(folder)
    assert "test/metadata.csv" in str(caught.value.hint)


def test_votes_that_leave_a_level_out_are_told_by_it(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(folder / "r.csv", "image,h1,h2,h4,h5\na.jpg,1,2,3,4\n")
    assert "no h3" in str(caught.value.hint)


def test_a_comparison_with_a_picture_that_is_not_there_is_named(folder: Path) -> None:
    labels = read(folder / "r.csv", "winner,loser\na.jpg,b.jpg\ngone.jpg,a.jpg\nb.jpg,gone.jpg\n")
    assert [str(each).replace(str(folder), "") for each in labels.problems] == [
        "r.csv:3: /gone.jpg is not there", "r.csv:4: /gone.jpg is not there"
    ]  # fmt: skip
    assert len(labels.pairs) == 1


def many(*names: str, rows: Callable[[int], tuple[object, ...]]) -> str:
    """Return a table of thirty rows, of which the first two are of pictures that are there."""
    lines = [(*("a.jpg", "b.jpg"), *(f"{at}.jpg" for at in range(28)))[at] for at in range(30)]
    return "\n".join([",".join(names), *(",".join(map(str, (name, *rows(at)))) for at, name in enumerate(lines))])


@pytest.mark.parametrize("prefix", ["rating", "rating_", "vote", "c", "level", "h"])
def test_ratings_by_several_people_are_no_votes(folder: Path, prefix: str) -> None:
    """Two people who both give 2 would be two votes for each of the levels: a mean of 1.5."""

    def alike(at: int) -> tuple[int, ...]:
        return 1 + at % 5, min(5, 2 + at % 5), 1 + at % 5 // 2

    names = [f"{prefix}{at}" for at in (1, 2, 3)]
    table = many("image", *names, rows=alike)
    with pytest.raises(UsageError, match="may be votes for each level, or ratings by 3 people") as caught:
        read(folder / "r.csv", table)
    assert "count1 to count3" in str(caught.value.hint)
    renamed = read(folder / "r.csv", table.replace(prefix, "count"))
    assert list(renamed.pictures[0].counts) == [1, 2, 1]
    scored = many("image", "score", *names, rows=lambda at: (at % 7, *alike(at)))
    labels = read(folder / "r.csv", scored)
    assert labels.pictures[0].counts == ()
    assert labels.dimensions == ("overall", *names)


@pytest.mark.parametrize(
    "counts",
    [
        lambda at: (3 + at % 4, 20 - at % 4, 17, 40),  # they add up: a panel that sees all
        lambda at: (0.1, 0.2 + at / 100, 0.3 - at / 100, 0.4),  # shares
        lambda at: (1, 50 - at, 40 + at % 9, 3 + at % 2),  # few at the ends
        lambda at: (at % 7, 6, 7, 8 - at % 7),  # the more for the lower half, the fewer for the upper
    ],
)
@pytest.mark.parametrize("prefix", ["vote_", "rating", "c", "h"])
def test_what_can_only_be_votes(folder: Path, counts: Callable[[int], tuple[float, ...]], prefix: str) -> None:
    labels = read(folder / "r.csv", many("image", *(f"{prefix}{at}" for at in (1, 2, 3, 4)), rows=counts))
    assert labels.pictures[1].counts == pytest.approx(counts(1))
    assert labels.scale == (1, 4)


def test_a_score_that_is_their_mean_makes_them_votes(folder: Path) -> None:
    def row(at: int) -> tuple[float, ...]:
        votes = (1 + at % 3, 1 + at % 5, 2 + at % 2)
        return (round(sum(level * each for level, each in zip((1, 2, 3), votes, strict=True)) / sum(votes), 3), *votes)

    labels = read(folder / "r.csv", many("image", "score", "rating1", "rating2", "rating3", rows=row))
    assert labels.pictures[0].counts == row(0)[1:]


@pytest.mark.parametrize("nothing", ["NA", "n/a", "NaN", "null", "", " - "])
def test_a_cell_without_a_value_is_no_mistake(folder: Path, nothing: str) -> None:
    labels = read(folder / "r.csv", many("image", "score", "light", rows=lambda at: (at, nothing if at % 2 else 7)))
    assert labels.dimensions == ("overall", "light")
    assert [dict(each.scores) for each in labels.pictures] == [{"overall": 0, "light": 7}, {"overall": 1}]
    assert not labels.pictures[1].bad
    assert not labels.notes
    table = pyarrow.table({"image": ["a.jpg", "b.jpg"], "score": [1, 2], "light": [math.nan, 3.0]})
    parquet.write_table(table, folder / "r.parquet")
    assert [dict(each.scores) for each in read_labels(folder / "r.parquet").pictures] == [
        {"overall": 1}, {"overall": 2, "light": 3}
    ]  # fmt: skip


def test_a_column_of_numbers_and_words_is_told(folder: Path) -> None:
    labels = read(folder / "r.csv", many("image", "score", "light", rows=lambda at: (at, "good" if at % 3 else 7)))
    assert labels.notes == ()
    labels = read(folder / "r.csv", many("image", "score", "light", rows=lambda at: (at, 7 if at % 3 else "good")))
    assert labels.dimensions == ("overall",)
    assert labels.notes == ("light is no dimension: only 67% of its cells are numbers",)


def test_a_column_may_begin_late(folder: Path) -> None:
    lines = [{"image": f"{at}.jpg", "score": at % 7} for at in range(1500)]
    lines += [{"image": "a.jpg", "score": 1, "light": 5}, {"image": "b.jpg", "h1": 0, "h2": 3}]
    labels = read(folder / "r.jsonl", "\n".join(map(json.dumps, lines)))
    assert labels.dimensions == ("overall", "light")
    assert [dict(each.scores) for each in labels.pictures] == [{"overall": 1, "light": 5}, {"overall": 2}]


def test_days_are_cells_too(folder: Path) -> None:
    day, moment = datetime.date(2024, 5, 1), datetime.datetime(2024, 5, 1, 10, 30)
    table = pyarrow.table({"image": ["a.jpg"], "score": [1], "day": [day], "moment": [moment]})
    parquet.write_table(table, folder / "r.parquet")
    (picture,) = read_labels(folder / "r.parquet").pictures
    assert (picture.columns["day"], picture.columns["moment"]) == ("2024-05-01", "2024-05-01 10:30:00")


def test_one_file_for_all_splits(folder: Path) -> None:
    def read_folder(*rows: str) -> LabelledSet:
        (folder / "metadata.csv").write_text("\n".join(["file_name,score", *rows]) + "\n")
        return read_labels(folder)

    for name in ("train/a.jpg", "Test/b.jpg", "more/c.jpg"):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(b"x")
    rows = ("train/a.jpg,1", "Test/b.jpg,2", "more/c.jpg,3", "a.jpg,4")
    labels = read_folder(*rows)
    assert scores(labels) == {"a.jpg": 1}
    assert labels.notes == ("train/ alone is read, not ., Test, more",)
    assert len(read_labels(folder / "metadata.csv").pictures) == 4  # whoever names the file wants what is in it
    assert read_folder("Test/b.jpg,2").notes == ()
    for held_out in ("Test/b.jpg,", "Test/b.jpg,?", f"{folder}/Test/b.jpg,2", "more/../Test/b.jpg,2"):
        labels = read_folder(f"{folder}/train/a.jpg,1", held_out)
        assert (scores(labels), labels.notes) == ({"a.jpg": 1}, ("train/ alone is read, not Test",))
        assert not labels.problems


@pytest.mark.parametrize(
    ("training", "held_out"), [("training", "evaluation"), ("Train", "test-b"), ("train", "eval2")]
)
def test_splits_by_other_names(folder: Path, training: str, held_out: str) -> None:
    for name in (training, held_out, "test tube"):
        (folder / name).mkdir()
        (folder / name / "a.jpg").write_bytes(name.encode())
    file = folder / "metadata.csv"
    file.write_text(f"file_name,score\n{training}/a.jpg,1\n{held_out}/a.jpg,2\n")
    labels = read_labels(folder)
    assert scores(labels) == {"a.jpg": 1}
    assert labels.notes == (f"{training}/ alone is read, not {held_out}",)
    file.write_text(f"file_name,score\n{training}/a.jpg,1\ntest tube/a.jpg,2\n")
    assert len(read_labels(folder).pictures) == 2  # a class of its own


def test_a_comma_that_may_part_thousands_is_refused(folder: Path) -> None:
    (folder / "b.jpg").write_bytes(b"y")
    file = folder / "t.csv"
    file.write_text("image;score\na.jpg;998\nb.jpg;1,005\n")
    with pytest.raises(UsageError, match="score has 998 and 1,005"):
        read_labels(file)
    file.write_text("image;score\na.jpg;998.5\nb.jpg;1,005\n")
    with pytest.raises(UsageError, match=r"score has 998\.5 and 1,005"):
        read_labels(file)
    file.write_text("image;score;views\na.jpg;3;998\nb.jpg;4;1,005\n")
    labels = read_labels(file)
    assert labels.dimensions == ("overall",)
    assert labels.notes == ("views is no dimension: its commas may part thousands",)
    for decimals in ("98,5\nb.jpg;1,005", "0,125\nb.jpg;1,005", "998\nb.jpg;98,25", "5\nb.jpg;4,125"):
        file.write_text(f"image;score\na.jpg;{decimals}\n")
        assert max(scores(read_labels(file)).values()) == float(
            max(decimals.replace(",", ".").split("\nb.jpg;"), key=float)
        )


def test_a_split_with_two_files_of_labels(folder: Path) -> None:
    (folder / "Train").mkdir()
    (folder / "test").mkdir()
    for name in ("Train/metadata.csv", "test/metadata.csv"):
        (folder / name).write_text("file_name,score\n../a.jpg,1\n")
    assert read_labels(folder).notes == ("Train/ alone is read, not test",)
    (folder / "Train" / "metadata.jsonl").write_text("{}")
    with pytest.raises(UsageError, match=r"several files of labels: Train/metadata\.csv, Train/metadata\.jsonl"):
        read_labels(folder)


def test_pictures_that_are_compared_with_missing_ones_alone_do_not_count(folder: Path) -> None:
    labels = read(folder / "p.csv", "winner,loser\na.jpg,b.jpg\nc.jpg,gone.jpg\n")
    assert [Path(each.path).name for each in labels.pictures] == ["a.jpg", "b.jpg"]


def test_two_runs_may_unpack_the_same_table(folder: Path, tmp_path: Path) -> None:
    packed = [{"bytes": os.urandom(1000), "path": f"{at}.jpg"} for at in range(3000)]
    parquet.write_table(pyarrow.table({"image": packed, "score": list(range(3000))}), folder / "r.parquet")
    read_it = "import sys; from pathlib import Path; from aescli.labels.reading import read_labels; "
    words = [sys.executable, "-c", f"{read_it} read_labels(Path(sys.argv[1]))", str(folder / "r.parquet")]
    environment = {**os.environ, "AES_HOME": str(tmp_path / "home")}
    running = [subprocess.Popen(words, env=environment) for _ in range(3)]
    assert [each.wait() for each in running] == [0, 0, 0]


@pytest.mark.parametrize("largest", [10, 100])
def test_ratings_on_any_scale_with_one_who_is_never_pleased(folder: Path, largest: int) -> None:
    chance = random.Random(3)

    def row(_: int) -> tuple[int, ...]:
        taste = chance.uniform(0, largest)
        return tuple(max(0, round(kind * taste + chance.gauss(0, largest / 8))) for kind in (0.2, 1, 1))

    for prefix in ("h", "rating"):
        with pytest.raises(UsageError, match="or ratings by 3 people"):
            read(folder / "r.csv", many("image", *(f"{prefix}{at}" for at in (1, 2, 3)), rows=row))


def test_votes_that_lack_cells_lose_no_score(folder: Path) -> None:
    """Of twelve people three have rated each picture: what is empty is no vote, and the score stands."""
    table = many("image", "score", "rating1", "rating2", rows=lambda at: (at, *((3, "") if at % 2 else ("", 4))))
    labels = read(folder / "r.csv", table)
    assert scores(labels) == {"a.jpg": 0, "b.jpg": 1}
    assert not labels.problems
    some = read(folder / "r.csv", "image,score,h1,h2,h3\na.jpg,2,1,,3\nb.jpg,2,0,2,0\nc.jpg,1.5,23%,77%,0%\n")
    assert scores(some) == {"a.jpg": 2, "b.jpg": 2, "c.jpg": 1.5}
    assert [len(each.counts) for each in some.pictures] == [0, 3, 0]
    alone = read(folder / "r.csv", "image,h1,h2,h3\na.jpg,1,,3\nb.jpg,0,2,0\n")
    assert [str(each) for each in alone.problems] == ["r.csv:2: h2 is no number but ''"]


def test_a_score_that_the_columns_deny(folder: Path) -> None:
    """Few at both ends, but no histogram: two who are never pleased, and one who is."""
    rows = many("image", "score", "rating1", "rating2", "rating3", rows=lambda at: (at % 5, 1 + at % 2, 9, at % 3))
    assert read(folder / "r.csv", rows).dimensions == ("overall", "rating1", "rating2", "rating3")
    labels = read(folder / "r.csv", "image,score,count1,count2\na.jpg,NA,1,3\nb.jpg,1.5,2,2\n")
    assert scores(labels) == {"a.jpg": 1.75, "b.jpg": 1.5}


def test_a_spreadsheet_says_its_delimiter(folder: Path) -> None:
    labels = read(folder / "l.csv", "sep=;\nimage;score\na.jpg;1,5\nb.jpg;x\n")
    assert scores(labels) == {"a.jpg": 1.5}
    assert [each.source for each in labels.problems] == ["l.csv:4"]


def test_addresses_of_files_are_files(folder: Path) -> None:
    (folder / "with space.jpg").write_bytes((folder / "a.jpg").read_bytes())
    here = folder.resolve().as_posix()
    rows = [f"file://{here}/with%20space.jpg,1", f"file://localhost{here}/b.jpg,2", f"file://elsewhere{here}/c.jpg,3"]
    labels = read(folder / "l.csv", "\n".join(["image,score", *rows]))
    assert scores(labels) == {"with space.jpg": 1, "b.jpg": 2}
    pairs = read(folder / "p.csv", f"winner,loser\nfile://{here}/a.jpg,b.jpg\n")
    assert len(pairs.pairs) == 1


def test_every_picture_inside_a_row_is_a_file_of_its_own(folder: Path, home: Path) -> None:
    cells = {word: [{"bytes": word.encode(), "path": "x.jpg"}] for word in ("image", "mask")}
    parquet.write_table(pyarrow.table({**cells, "score": [1.0]}), folder / "masks.parquet")
    labels = read_labels(folder / "masks.parquet")
    assert [Path(each.path).read_bytes() for each in labels.pictures] == [b"image"]
    compared = pyarrow.table({"winner": cells["image"], "loser": cells["mask"]})
    parquet.write_table(compared, folder / "pairs.parquet")
    (pair,) = read_labels(folder / "pairs.parquet").pairs
    assert [Path(path).read_bytes() for path in (pair.winner, pair.loser)] == [b"image", b"mask"]


def test_a_picture_inside_of_many_comparisons_is_one(folder: Path, home: Path) -> None:
    seen = [{"bytes": name, "path": "x.jpg"} for name in (b"one", b"two", b"three")]
    compared = {"winner": [seen[0], seen[0], seen[2]], "loser": [seen[1], seen[2], seen[1]]}
    parquet.write_table(pyarrow.table(compared), folder / "pairs.parquet")
    labels = read_labels(folder / "pairs.parquet")
    assert len(labels.pairs) == 3
    assert sorted(Path(each.path).read_bytes() for each in labels.pictures) == [b"one", b"three", b"two"]


def test_a_comparison_may_name_its_pictures_as_the_hub_does(folder: Path) -> None:
    rows = '{"winner": {"bytes": null, "path": "a.jpg"}, "loser": ["b.jpg"]}\n{"winner": {}, "loser": "b.jpg"}\n'
    labels = read(folder / "p.jsonl", rows)
    assert len(labels.pairs) == 1
    assert [str(each) for each in labels.problems] == ["p.jsonl:2: winner holds neither a picture nor its path"]


@pytest.mark.parametrize(
    ("spelled", "name"),
    [(r"sub\a.jpg", "sub/a.jpg"), ("caf\u00e9.jpg", "cafe\u0301.jpg"), ("cafe\u0301.jpg", "caf\u00e9.jpg"),
     ("with%20space.jpg", "with space.jpg")],
)  # fmt: skip
def test_a_path_as_other_programs_spell_it(folder: Path, spelled: str, name: str) -> None:
    (folder / "sub").mkdir()
    (folder / name).write_bytes(b"")
    (picture,) = read(folder / "l.csv", f"image,score\n{spelled},1\n").pictures
    assert picture.path == str(folder / name)
    (folder / spelled).write_bytes(b"")
    (picture,) = read(folder / "l.csv", f"image,score\n{spelled},1\n").pictures
    assert picture.path == str(folder / spelled)  # a file of the very name goes before


@pytest.mark.parametrize(
    ("row", "why"),
    [('"score": 1, "score": 2', "score stands twice"), ('"score": 1, "dims": {"overall": 2}', "overall is 1"),
     ('"score": 1, "scores": {"overall": 2}', "overall is 1")],
)  # fmt: skip
def test_a_row_that_says_two_things_says_nothing(folder: Path, row: str, why: str) -> None:
    labels = read(folder / "l.jsonl", f'{{"image": "a.jpg", {row}}}\n{{"image": "b.jpg", "score": 3}}\n')
    assert scores(labels) == {"b.jpg": 3}
    assert why in str(labels.problems[0])


def test_a_dimension_that_a_row_says_twice_is_lost_alone(folder: Path) -> None:
    rows = (
        '{"image": "a.jpg", "score": 1, "x": 2, "dims": {"x": 3}}\n{"image": "b.jpg", "score": 3, "dims": {"x": 3}}\n'
    )
    one, other = read(folder / "l.jsonl", rows).pictures
    assert one.scores == {"overall": 1}
    assert "x is 3, and elsewhere in the row 2" in one.bad["x"]
    assert other.scores == {"overall": 3, "x": 3}


def test_what_was_taken_for_scores_or_votes_is_told(folder: Path) -> None:
    assert "label is taken for the score" in read(folder / "l.csv", "image,label\na.jpg,1\nb.jpg,2\n").notes[0]
    votes = "image,rating1,rating2,rating3\na.jpg,2,6,2\nb.jpg,1,2,7\n"
    assert "rating1 to rating3 are taken for the votes" in read(folder / "v.csv", votes).notes[0]
    assert not read(folder / "c.csv", votes.replace("rating", "count")).notes


def test_texts_that_are_not_utf_8(folder: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be", "utf-32"):
        (folder / "l.csv").write_bytes("image,score\na.jpg,1\n".encode(encoding))
        with pytest.raises(AesError, match="no UTF-8"):
            read_labels(folder / "l.csv")
    assert scores(read(folder / "p.csv", "image|score\na.jpg|1\n")) == {"a.jpg": 1}
    (problem,) = read(folder / "l.jsonl", '[{"image": "a.jpg", "score": 1}]').problems
    assert str(problem) == "l.jsonl:1: a list: JSON lines have one object a line"


def test_blanks_about_a_path_are_part_of_a_name_only_if_a_file_has_it(folder: Path) -> None:
    assert scores(read(folder / "l.csv", "score, image\n1, a.jpg\n")) == {"a.jpg": 1}
    (folder / " a.jpg").write_bytes(b"")
    assert scores(read(folder / "l.csv", "score, image\n1, a.jpg\n")) == {" a.jpg": 1}
    (missing,) = read(folder / "l.csv", "score, image\n1, z.jpg\n").missing
    assert missing.path == str(folder / " z.jpg")


def test_a_tie_is_no_win_and_further_columns_of_pairs_are_told(folder: Path) -> None:
    labels = read(folder / "p.csv", "winner,loser,tie,theme\na.jpg,b.jpg,0,x\nb.jpg,c.jpg,1,x\n")
    assert len(labels.pairs) == 1
    assert [str(each) for each in labels.problems] == ["p.csv:3: a tie: neither won"]
    assert labels.notes == ("of comparisons theme counts for --group-by of aes train alone",)


@pytest.mark.parametrize(
    ("cell", "tied"),
    [
        ("1", True), ("1.0", True), ("TRUE", True), ("y", True), (" Tie ", True), ("0", False), ("0.0", False),
        ("no", False), ("", False), ("NA", False), ("ja", None), ("2", None), ("0.5", None),
    ],
)  # fmt: skip
def test_what_a_column_of_ties_says_is_understood_or_named(folder: Path, cell: str, tied: bool | None) -> None:
    labels = read(folder / "p.csv", f"winner,loser,tie\na.jpg,b.jpg,{cell}\n")
    assert len(labels.pairs) == (tied is False)
    wrong = [] if tied is False else ["a tie: neither won" if tied else f"tie is neither yes nor no but '{cell}'"]
    assert [each.message for each in labels.problems] == wrong


def test_comparisons_that_do_not_count_are_kept_for_what_they_hold_together(folder: Path) -> None:
    rows = ["winner,loser,tie,series", "./a.jpg,b.jpg,1,s", "a.jpg,gone.jpg,,s", "a.jpg,b.jpg,,t"]
    labels = read(folder / "p.csv", "\n".join(rows))
    assert len(labels.pairs) == 1
    found = [(Path(each.winner).name, Path(each.loser).name, each.columns["series"]) for each in labels.left_out]
    assert found == [("a.jpg", "b.jpg", "s"), ("a.jpg", "gone.jpg", "s")]
    assert {each.winner for each in labels.left_out} == {labels.pairs[0].winner}  # however it is spelled
