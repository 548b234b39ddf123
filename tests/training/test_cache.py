import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aescli.errors import StoreFailed
from aescli.images.source import Identity
from aescli.models.base import Features
from aescli.training.cache import FeatureCache

HERE = Identity(b"/a.jpg", 10, 20)
VALUES = Features(np.array([0.1, -2.5, 1e-8], np.float32), 3.5)


def test_features_come_back_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "new" / "features.db"
    with FeatureCache(file, {"model": "m"}) as cache:
        assert cache.find(HERE) is None
        cache.keep(HERE, VALUES, "abc")
        cache.keep(replace(HERE, path=b"/b\xff.jpg"), Features(VALUES.values, None), "def")
    with FeatureCache(file, {"model": "m"}) as cache:
        found = cache.find(HERE)
        other = cache.find(replace(HERE, path=b"/b\xff.jpg"))
    assert found
    assert other
    assert np.array_equal(found[0].values, VALUES.values)
    assert (found[0].rating, found[1]) == (3.5, "abc")
    assert other[0].rating is None


@pytest.mark.parametrize("change", [{"path": b"/c.jpg"}, {"size": 11}, {"mtime_ns": 21}])
def test_another_state_of_a_file_is_not_found(tmp_path: Path, change: dict[str, int | bytes]) -> None:
    with FeatureCache(tmp_path / "f.db", {"model": "m"}) as cache:
        cache.keep(HERE, VALUES, "abc")
    with FeatureCache(tmp_path / "f.db", {"model": "m"}) as cache:
        assert cache.find(replace(HERE, **change)) is None  # type: ignore[arg-type]
    with FeatureCache(tmp_path / "f.db", {"model": "n"}) as cache:
        assert cache.find(HERE) is None


@pytest.mark.parametrize(
    "change",
    [
        "vector = X'CDCCCC3D000020C077CC2B33'",  # its last byte was 32
        "vector = X'CDCC'",
        "vector = 'text'",
        "rating = 3.25",
        "rating = 'much'",
        "sha256 = 'abd'",
        "sha256 = CAST(X'61E263' AS TEXT)",
        "digest = X'00'",
    ],
)
def test_a_row_that_a_disk_has_changed_is_not_found(tmp_path: Path, change: str) -> None:
    with FeatureCache(tmp_path / "f.db", {"model": "m"}) as cache:
        cache.keep(HERE, VALUES, "abc")
    with sqlite3.connect(tmp_path / "f.db") as database:
        database.execute(f"UPDATE vectors SET {change}")
    database.close()
    with FeatureCache(tmp_path / "f.db", {"model": "m"}) as cache:
        assert cache.find(HERE) is None
        cache.keep(HERE, VALUES, "abc")  # computed again
    with FeatureCache(tmp_path / "f.db", {"model": "m"}) as cache:
        assert cache.find(HERE) is not None


def test_what_is_no_cache_is_said(tmp_path: Path) -> None:
    (tmp_path / "f.db").write_bytes(b"no database at all, but rather long" * 100)
    with pytest.raises(StoreFailed, match="cannot be used") as caught:
        FeatureCache(tmp_path / "f.db", {})
    assert "move it away" in str(caught.value.hint)
    with sqlite3.connect(tmp_path / "g.db") as database:
        database.execute("CREATE TABLE vectors (x)")
    database.close()
    with pytest.raises(StoreFailed), FeatureCache(tmp_path / "g.db", {}) as cache:
        cache.find(HERE)


def test_the_first_of_two_failures_is_told(tmp_path: Path) -> None:
    file = tmp_path / "f.db"
    with pytest.raises(StoreFailed, match="no such table"), FeatureCache(file, {"model": "m"}) as cache:
        with sqlite3.connect(file) as database:
            database.execute("DROP TABLE vectors")
        for at in range(10_000):  # some are written before the end
            cache.keep(replace(HERE, size=at), VALUES, "abc")
