import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aescli.errors import WeightsUnavailable
from aescli.models.seen import SEEN_FILE, count_seen, read_seen, write_seen
from aescli.registry import BUILT_IN
from tests.data import DATA, needs_data


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@given(seen=st.lists(st.binary(max_size=3)), others=st.lists(st.binary(min_size=4, max_size=6)))
def test_pictures_are_told_by_their_bytes(
    tmp_path_factory: pytest.TempPathFactory, seen: list[bytes], others: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("model")
    write_seen(folder, map(sha256, seen))
    found = read_seen(folder)
    assert count_seen(found, map(sha256, [*others, *seen])) == len(seen)


def test_a_folder_that_says_nothing_and_one_that_cannot_be_read(tmp_path: Path) -> None:
    assert not read_seen(tmp_path)
    assert not read_seen(None)
    (tmp_path / SEEN_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(WeightsUnavailable, match="cannot be read"):
        read_seen(tmp_path)


@pytest.mark.parametrize("change", [None, b"", b"0123456789abcdef\n"])
def test_a_list_that_was_lost_is_not_an_empty_one(tmp_path: Path, change: bytes | None) -> None:
    write_seen(tmp_path, [sha256(b"a"), sha256(b"b")])
    training = {"seen_sha256": sha256((tmp_path / SEEN_FILE).read_bytes())}
    (tmp_path / "card.json").write_text(json.dumps({"training": training}))
    assert len(read_seen(tmp_path)) == 2
    if change is None:
        (tmp_path / SEEN_FILE).unlink()
    else:
        (tmp_path / SEEN_FILE).write_bytes(change)
    with pytest.raises(WeightsUnavailable, match=r"seen\.txt"):
        read_seen(tmp_path)


@needs_data
def test_the_built_in_model_knows_the_pictures_that_it_learnt_from() -> None:
    images = sorted((DATA / "oasis" / "images").iterdir())
    assert count_seen(read_seen(BUILT_IN), (sha256(each.read_bytes()) for each in images)) == len(images) == 669
