"""`aes merge`: shards become what one run would have written, and what is missing is said."""

import json
from pathlib import Path

import pytest

from tests.conftest import Aes, encoded, photograph

COUNT = 3


@pytest.fixture
def shards(aes: Aes, photos: Path, tmp_path: Path) -> Path:
    """Score six pictures, one of them bad, in three shards and in every format."""
    (photos / "1.jpg").write_bytes(b"no picture")
    for suffix in ("csv", "jsonl", "parquet"):
        if suffix == "parquet":
            pytest.importorskip("pyarrow")
        for index in range(COUNT):
            target = tmp_path / suffix / f"s-{{shard}}.{suffix}"
            target.parent.mkdir(exist_ok=True)
            done = aes("score", photos, "--shard", f"{index}/{COUNT}", "--dims", "noise", "-o", target)
            assert done.code == (3 if index == 1 else 0)
    return tmp_path


def rows_of(file: Path) -> list[str]:
    if file.suffix == ".parquet":
        from pyarrow import parquet

        return sorted(map(str, parquet.read_table(file).to_pylist()))
    return sorted(file.read_text().splitlines())


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_shards_become_the_rows_of_one_run(aes: Aes, photos: Path, shards: Path, suffix: str) -> None:
    files = sorted((shards / suffix).iterdir())
    done = aes("merge", *files, "-o", shards / f"all.{suffix}", "--inputs", photos)
    assert (done.code, done.out) == (0, "")
    assert "6 rows of 3 files, 1 of them failed" in done.err
    aes("score", photos, "--dims", "noise", "-o", shards / f"one.{suffix}")
    assert rows_of(shards / f"all.{suffix}") == rows_of(shards / f"one.{suffix}")
    assert aes("merge", shards / suffix, "-o", shards / f"folder.{suffix}").code == 0
    assert (shards / f"folder.{suffix}").read_bytes() == (shards / f"all.{suffix}").read_bytes()


def test_a_missing_shard_and_its_pictures_are_named_and_can_be_scored(aes: Aes, photos: Path, shards: Path) -> None:
    first, _, last = sorted((shards / "csv").iterdir())
    rest = shards / "rest.txt"
    done = aes("merge", first, last, "-o", shards / "most.csv", "--inputs", photos, "--missing", rest)
    assert done.code == 3
    assert "missing: shards 1/3" in done.err
    assert f"missing: {photos}/1.jpg" in done.err
    assert rest.read_bytes().split(b"\0")[:-1] == [str(photos / name).encode() for name in ("1.jpg", "inner/4.png")]
    (photos / "1.jpg").write_bytes(encoded(photograph(1), "JPEG"))
    assert aes("score", "--files-from", rest, "--dims", "noise", "-o", shards / "rest.csv").code == 0
    whole = aes("merge", shards / "most.csv", shards / "rest.csv", "-o", shards / "all.csv", "--inputs", photos)
    assert whole.code == 0
    assert "6 rows of 2 files; written" in whole.err


def test_a_score_takes_the_place_of_a_failure(aes: Aes, photos: Path, shards: Path) -> None:
    files = sorted((shards / "csv").iterdir())
    (photos / "1.jpg").write_bytes(encoded(photograph(1), "JPEG"))
    aes("score", photos / "1.jpg", "--dims", "noise", "-o", shards / "again.csv")
    for order in ([*files, shards / "again.csv"], [shards / "again.csv", *files]):
        done = aes("merge", *order)
        assert done.code == 0
        assert [row[1] for row in done.rows()] == ["ok"] * 6
        assert "1 left out" in done.err


def test_what_is_no_whole_is_refused(aes: Aes, photos: Path, shards: Path) -> None:
    files = sorted((shards / "csv").iterdir())
    other = shards / "other.csv"
    other.write_text(files[0].read_text().replace(",mini,", ",laion-v2,"))
    assert "one model only" in aes("merge", *files, other).err
    line = files[0].read_text().splitlines()[1]
    other.write_text(files[0].read_text().replace(line, line.replace(line.split(",")[2], "9.999999")))
    assert "different scores" in aes("merge", *files, other).err
    aes("score", photos, "-o", other)
    assert "other columns" in aes("merge", *files, other).err
    other.write_text(files[0].read_text()[:-5])
    assert "its last line has no end" in aes("merge", *files, other).err
    other.write_text("a,b\n1,2\n")
    assert "no output of aes score" in aes("merge", other).err
    renamed = files[0].rename(files[0].with_name("s-00000-of-00004.csv"))
    assert "several wholes" in aes("merge", renamed, files[1]).err
    assert aes("merge", photos / "0.jpg").code == 2
    assert aes("merge", shards / "nothing.csv").code == 2


def test_a_broken_part_of_another_format_is_refused(aes: Aes, shards: Path) -> None:
    pytest.importorskip("pyarrow")
    (shards / "a.parquet").write_bytes((shards / "parquet" / "s-00000-of-00003.parquet").read_bytes()[:-9])
    assert aes("merge", shards / "a.parquet", "-o", shards / "out.parquet").code == 1
    (shards / "a.jsonl").write_text(json.dumps({"image": "x.jpg"}) + "\n")
    assert "a.jsonl:1 is no row" in aes("merge", shards / "a.jsonl").err
    assert not (shards / "out.parquet").exists()


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_outputs_of_another_format_than_what_is_written_are_refused(aes: Aes, shards: Path, suffix: str) -> None:
    done = aes("merge", shards / "csv", "-o", shards / f"all.{suffix}")
    assert done.code == 2
    assert f"is csv, and {suffix} is to be written" in done.err
    assert not (shards / f"all.{suffix}").exists()


def test_pictures_named_twice_in_one_run_stay_two_rows(aes: Aes, photos: Path, tmp_path: Path) -> None:
    aes("score", photos / "0.jpg", photos / "0.jpg", "-o", tmp_path / "twice.csv")
    assert len(aes("merge", tmp_path / "twice.csv").rows()) == 2
    assert len(aes("merge", tmp_path / "twice.csv", tmp_path / "twice.csv").rows()) == 2
