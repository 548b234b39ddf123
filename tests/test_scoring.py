import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from aescli.errors import ErrorCode
from aescli.images.find import Found
from aescli.images.picture import Decoding
from aescli.results import Failure, Rating, Score
from aescli.scoring import Settings, fingerprint, score
from aescli.store import Store
from tests.conftest import encoded, photograph
from tests.engines.test_local import Echo


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "a.png"
    file.write_bytes(encoded(photograph()))
    return file


def test_a_bad_picture_costs_one_row_and_changes_no_other(tmp_path: Path, picture: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    alone = score([Found(str(picture))], Echo(), Settings())
    rows = score([Found(str(tmp_path / name)) for name in ("b.jpg", "a.png", "gone.jpg")], Echo(), Settings())
    assert [getattr(row, "code", None) for row in rows] == [ErrorCode.NOT_AN_IMAGE, None, ErrorCode.VANISHED]
    assert rows[1] == alone[0]


def test_answers_that_are_no_numbers_are_failures(picture: Path) -> None:
    class NotANumber(Echo):
        def rate(self, prepared: Sequence[float]) -> list[Rating]:
            return [Rating(math.nan) for _ in prepared]

    (row,) = score([Found(str(picture))], NotANumber(), Settings())
    assert isinstance(row, Failure)
    assert row.code is ErrorCode.NON_FINITE


def test_a_suffix_of_another_format_is_flagged(tmp_path: Path) -> None:
    for name, flags in (("a.jpg", ("ext_mismatch",)), ("a.PNG", ()), ("a", ()), ("a.data", ("ext_mismatch",))):
        (tmp_path / name).write_bytes(encoded(photograph()))
        (row,) = score([Found(str(tmp_path / name))], Echo(), Settings())
        assert row.flags == flags


def test_a_stored_row_is_not_computed_again_until_something_changes(tmp_path: Path, picture: Path) -> None:
    scorer = Echo()
    with Store(tmp_path / "s.db", fingerprint(scorer, Decoding())) as store:

        def run(*, fresh: bool = False) -> Score:
            (row,) = score([Found(str(picture))], scorer, Settings(fresh=fresh), store)
            store._flush()
            assert isinstance(row, Score)
            return row

        first = run()
        assert run() == first
        assert len(scorer.batches) == 1
        run(fresh=True)
        assert len(scorer.batches) == 2
        picture.write_bytes(encoded(photograph(1)))
        assert run().raw != first.raw
        assert len(scorer.batches) == 3


def test_by_content_a_touched_or_moved_file_is_the_same_picture(tmp_path: Path, picture: Path) -> None:
    scorer = Echo()
    settings = Settings(by_content=True)
    with Store(tmp_path / "s.db", fingerprint(scorer, Decoding())) as store:
        score([Found(str(picture))], scorer, settings, store)
        store._flush()
        picture.touch()
        moved = picture.rename(tmp_path / "moved.png")
        (row,) = score([Found(str(moved))], scorer, settings, store)
    assert row.path == str(moved)
    assert len(scorer.batches) == 1


def test_the_fingerprint_holds_what_scores_depend_on() -> None:
    scorer = Echo()
    base = fingerprint(scorer, Decoding())
    assert fingerprint(scorer, Decoding(exact=True)) != base
    scorer.dimensions = ("noise",)
    assert fingerprint(scorer, Decoding()) != base
