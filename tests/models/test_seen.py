import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aescli.errors import WeightsUnavailable
from aescli.images.fingerprints import fingerprint
from aescli.images.picture import Decoding, open_picture
from aescli.models.seen import SEEN_FILE, read_seen, write_seen
from aescli.registry import BUILT_IN
from tests.conftest import encoded, photograph
from tests.data import DATA, needs_data


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@given(seen=st.lists(st.binary(max_size=3)), others=st.lists(st.binary(min_size=4, max_size=6)))
def test_pictures_are_told_by_their_bytes(
    tmp_path_factory: pytest.TempPathFactory, seen: list[bytes], others: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("model")
    write_seen(folder, ((sha256(each), None) for each in seen))
    found = read_seen(folder)
    assert sum(found.holds(sha256(each), None) for each in [*others, *seen]) == len(seen)


def test_a_picture_that_was_saved_again_is_known(tmp_path: Path) -> None:
    def look(data: bytes) -> int:
        return fingerprint(open_picture(data, Decoding()))

    shown = [photograph(at) for at in range(30)]
    write_seen(tmp_path, [(sha256(encoded(each)), look(encoded(each))) for each in shown[:20]])
    found = read_seen(tmp_path)
    smaller = [encoded(each.resize((160, 120)), "JPEG", quality=80) for each in shown]
    assert [found.holds(sha256(each), look(each)) for each in smaller] == [True] * 20 + [False] * 10


def test_an_even_picture_is_not_told_by_its_look(tmp_path: Path) -> None:
    write_seen(tmp_path, [(sha256(b"a"), 0)])
    found = read_seen(tmp_path)
    assert found.holds(sha256(b"a"), 0)
    assert not found.holds(sha256(b"b"), 0)


def test_a_folder_that_says_nothing_and_one_that_cannot_be_read(tmp_path: Path) -> None:
    assert not read_seen(tmp_path).contents
    assert not read_seen(None).contents
    (tmp_path / SEEN_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(WeightsUnavailable, match="cannot be read"):
        read_seen(tmp_path)


@pytest.mark.parametrize("change", [None, b"", b"0123456789abcdef\n", b"0123456789abcdef 0123456789abcdeg\n"])
def test_a_list_that_was_lost_is_not_an_empty_one(tmp_path: Path, change: bytes | None) -> None:
    write_seen(tmp_path, [(sha256(b"a"), 3 << 20), (sha256(b"b"), None)])
    training = {"seen_sha256": sha256((tmp_path / SEEN_FILE).read_bytes())}
    (tmp_path / "card.json").write_text(json.dumps({"training": training}))
    assert len(read_seen(tmp_path).contents) == 2
    if change is None:
        (tmp_path / SEEN_FILE).unlink()
    else:
        (tmp_path / SEEN_FILE).write_bytes(change)
    with pytest.raises(WeightsUnavailable, match=r"seen\.txt"):
        read_seen(tmp_path)


@needs_data
def test_the_built_in_model_knows_the_pictures_that_it_learnt_from() -> None:
    images = sorted((DATA / "oasis" / "images").iterdir())
    found = read_seen(BUILT_IN)
    assert sum(found.holds(sha256(each.read_bytes()), None) for each in images) == len(images) == 669
    again = []
    for each in images[::20]:
        file = io.BytesIO()
        with Image.open(each) as opened:
            opened.convert("RGB").resize((250, 200)).save(file, "JPEG", quality=85)
        again.append(fingerprint(open_picture(file.getvalue(), Decoding())))
    assert np.mean([found.holds("", look) for look in again]) > 0.95
