from pathlib import Path

import pytest

from aescli.errors import ErrorCode
from aescli.results import Failure
from aescli.writers.parts import open_parts
from tests.conftest import Aes

parquet = pytest.importorskip("pyarrow.parquet")


def write(folder: Path, count: int) -> None:
    with open_parts(f"{folder}/", (), 10) as writer:
        for at in range(count):
            writer.write(Failure(f"{at}.jpg", ErrorCode.EMPTY, "", "mini"))
        writer.finish()


@pytest.mark.parametrize("count", [0, 1, 10, 11, 35])
def test_every_row_is_in_one_part(tmp_path: Path, count: int) -> None:
    write(tmp_path / "out", 50)
    write(tmp_path / "out", count)
    parts = sorted((tmp_path / "out").iterdir())
    assert [part.name for part in parts] == [f"part-{at:05}.parquet" for at in range(max(1, -(-count // 10)))]
    paths = [path for part in parts for path in parquet.read_table(part)["path"].to_pylist()]
    assert paths == [f"{at}.jpg" for at in range(count)]


def test_a_run_that_ends_badly_leaves_whole_parts_only(tmp_path: Path) -> None:
    with pytest.raises(KeyError), open_parts(f"{tmp_path}/out/", (), 10) as writer:
        for at in range(15):
            writer.write(Failure(f"{at}.jpg", ErrorCode.EMPTY, "", "mini"))
        raise KeyError
    (part,) = (tmp_path / "out").iterdir()
    assert parquet.read_table(part).num_rows == 10


def test_a_folder_is_merged_and_takes_nothing_but_parquet(aes: Aes, photos: Path, tmp_path: Path) -> None:
    assert aes("score", photos, "-o", f"{tmp_path}/out/").code == 0
    assert aes("merge", tmp_path / "out", "-o", tmp_path / "all.parquet").code == 0
    assert parquet.read_table(tmp_path / "all.parquet").num_rows == 6
    for words in (("--format", "csv"), ("-q",), ("--tree",)):
        assert aes("score", photos, "-o", f"{tmp_path}/out/", *words).code == 2
