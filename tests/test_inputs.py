"""What the words of a command stand for, and how inputs are shared out."""

import io
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aescli.errors import NothingMatched, UsageError
from aescli.images.find import Selection
from aescli.inputs import Inputs, Shard
from tests.conftest import Aes


def paths(
    *words: object, files_from: tuple[object, ...] = (), shard: str | None = None, column: str | None = None
) -> list[str]:
    inputs = Inputs(
        tuple(map(str, words)),
        Selection(column=column),
        tuple(map(str, files_from)),
        Shard.parse(shard) if shard else None,
    )
    inputs.check()
    return [found.path for found in inputs.find()]


@given(st.integers(1, 40), st.data())
def test_shards_share_everything_out_evenly(count: int, data: st.DataObject) -> None:
    places = range(data.draw(st.integers(0, 200)))
    shares = [[place for place in places if Shard(index, count).takes(place)] for index in range(count)]
    assert sorted(place for share in shares for place in share) == list(places)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["", "1", "8/8", "9/8", "-1/8", "0/0", "a/b", "1/2/3", "1.0/2", "²/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Shard.parse(text)


def test_shards_of_a_folder_are_its_inputs_in_turn(photos: Path) -> None:
    whole = paths(photos)
    assert [paths(photos, shard=f"{index}/4") for index in range(4)] == [whole[index::4] for index in range(4)]


def test_an_archive_is_one_input_of_a_shard(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar", "c.tar"):
        with tarfile.open(tmp_path / name, "w") as tar:
            for at in range(3):
                tar.addfile(tarfile.TarInfo(f"{at}.jpg"), io.BytesIO())
    words = [tmp_path / name for name in ("a.tar", "b.tar", "c.tar")]
    assert paths(*words, shard="1/2") == [f"{tmp_path}/b.tar/{at}.jpg" for at in range(3)]
    assert len(paths(*words, shard="0/2")) == 6
    assert len(paths(f"{tmp_path}/*.tar")) == 9


def test_a_launcher_says_which_shard_a_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for rank, size, expected in (("3", "8", Shard(3, 8)), ("0", "1", None), ("", "8", None), ("3", "", None)):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", size)
        assert Shard.of_process() == expected
    monkeypatch.setenv("RANK", "8")
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(UsageError):
        Shard.of_process()


def test_columns_of_tables_name_pictures_beside_the_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("label,image\n1,in/a.jpg\n2,/b.jpg\n3,s3://bucket/c.jpg\n4,\n5\n")
    (tmp_path / "t.jsonl").write_text('{"image": "a.jpg"}\n{"image": {"path": "b.jpg"}}\nno JSON\n')
    expected = [f"{tmp_path}/in/a.jpg", "/b.jpg", "s3://bucket/c.jpg", "t.csv:5", "t.csv:6"]
    assert paths(files_from=(tmp_path / "t.csv",), column="image") == expected
    found = paths(files_from=(tmp_path / "t.jsonl",), column="image")
    assert found == [f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg", "t.jsonl:3"]
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.table({"file": ["a.jpg"]}), tmp_path / "t.parquet")
    assert paths(files_from=(tmp_path / "t.parquet",), column="file") == [f"{tmp_path}/a.jpg"]


def test_a_table_wants_its_column_named_and_names_its_own(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("label,image\n1,a.jpg\n")
    with pytest.raises(UsageError, match="is a table"):
        paths(files_from=(tmp_path / "t.csv",))
    with pytest.raises(UsageError, match="no column 'imgae'") as caught:
        paths(files_from=(tmp_path / "t.csv",), column="imgae")
    assert "label, image" in caught.value.hint


def test_a_list_may_hold_archives_and_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("x.jpg"), io.BytesIO())
    listed = f"{tmp_path}/a.tar\nhttps://user:pass@host/x.jpg?sig=planted\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    assert paths("-") == [f"{tmp_path}/a.tar/x.jpg", "https://host/x.jpg?sig=***"]


def test_a_shard_without_inputs_is_no_mistake_but_a_folder_without_is(aes: Aes, photos: Path, tmp_path: Path) -> None:
    done = aes("score", photos, "--shard", "7/8", "-o", tmp_path / "s-{shard}.csv")
    assert done.code == 0
    assert (tmp_path / "s-00007-of-00008.csv").read_text().count("\n") == 1
    (tmp_path / "empty").mkdir()
    assert aes("score", tmp_path / "empty", "--shard", "0/8").code == 4
    with pytest.raises(NothingMatched):
        Inputs((str(tmp_path / "empty"),), Selection()).first_and_rest()


def test_processes_of_a_launcher_may_not_write_one_output(
    aes: Aes, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused = aes("score", photos, "-o", tmp_path / "s.csv")
    assert refused.code == 2
    assert "{shard}" in refused.err
    assert aes("score", photos, "-o", tmp_path / "s-{shard}.csv").code == 0
    assert (tmp_path / "s-00001-of-00002.csv").exists()
    monkeypatch.delenv("RANK")
    assert aes("score", photos, "-o", tmp_path / "s-{shard}.csv").code == 2
