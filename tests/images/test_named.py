"""Names of pictures inside archives: what a row calls them is enough to have them again."""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aescli.errors import ErrorCode, PictureError
from aescli.images.find import Found, Selection
from aescli.images.named import find_archive, find_named
from aescli.images.packed import open_archive, unpack
from tests.conftest import Aes
from tests.images.test_packed import ROWS, write_table, write_tar


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three archives and a file; a folder that is called like an archive."""
    folder = tmp_path_factory.mktemp("packed")
    write_tar(folder / "a.tar", [*ROWS, ROWS[0]])
    write_tar(folder / "b.TGZ", [(f"deep/{name}", data) for name, data in ROWS], "w:gz")
    (folder / "photos.tar").mkdir()
    write_tar(folder / "photos.tar" / "c.tar", ROWS[:3])
    (folder / "plain.jpg").write_bytes(b"plain")
    return folder


def inside(archive: Path) -> dict[str, bytes]:
    found = unpack(open_archive(Found(str(archive))), Selection(all_files=True), Counter())
    return {each.path: each.read().data for each in found}


@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_names_in_any_order_give_their_pictures_in_that_order(packed: Path, data: st.DataObject) -> None:
    known = {str(packed / "plain.jpg"): b"plain"}
    for archive in ("a.tar", "b.TGZ", "photos.tar/c.tar"):
        known |= inside(packed / archive)
    assert len(known) == 1 + 41 + 40 + 3
    names = data.draw(st.lists(st.sampled_from(sorted(known)), max_size=60))
    found = [*find_named(names)]
    assert [each.path for each in found] == names
    assert [each.read().data for each in found] == [known[name] for name in names]
    assert all(each.identify() for each in found)


def test_rows_of_a_table_are_found_by_their_number(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    file = write_table(tmp_path / "t.parquet", [data for _, data in ROWS], "jpg", other=[b"x"] * len(ROWS))
    names = [f"{file}/{at}" for at in (7, 39, 0)]
    assert [each.read().data for each in find_named(names)] == [ROWS[at][1] for at in (7, 39, 0)]
    assert [each.read().data for each in find_named(names, "other")] == [b"x"] * 3
    (problem,) = find_named([f"{file}/40"])
    assert problem.problem
    assert problem.problem.code is ErrorCode.VANISHED


def test_what_is_not_there_is_a_problem_of_its_own(packed: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes((packed / "a.tar").read_bytes()[:3000])
    names = [f"{packed}/a.tar/none.jpg", f"{packed}/a.tar/1.jpg", f"{cut}/30.jpg", f"{tmp_path}/no.tar/1.jpg"]
    none, one, lost, nowhere = find_named(names)
    assert one.read().data == ROWS[1][1]
    for found, code in ((none, ErrorCode.VANISHED), (lost, ErrorCode.TRUNCATED), (nowhere, ErrorCode.VANISHED)):
        with pytest.raises(PictureError) as caught:
            found.read()
        assert caught.value.code is code


def test_a_folder_called_like_an_archive_is_a_folder(packed: Path) -> None:
    assert find_archive(f"{packed}/photos.tar/x.jpg") is None
    assert find_archive(f"{packed}/photos.tar/c.tar/x.jpg") == f"{packed}/photos.tar/c.tar"
    assert find_archive(f"{packed}/a.tar") is None
    assert find_archive(f"{packed}/a.tar/") is None


def test_names_are_taken_as_they_come(packed: Path) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as names, os.fdopen(writer, "w", buffering=1) as pipe:
        found = find_named(line.rstrip("\n") for line in names)
        for name in (f"{packed}/plain.jpg", "gone.jpg"):
            pipe.write(f"{name}\n")  # the pipe stays open
            assert next(found).path == name
        pipe.close()
        assert [*found] == []


def test_members_are_words_and_rows_of_them_are_filtered_shown_and_scored_again(
    aes: Aes, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (photos / "0.jpg").read_bytes()
    members = [(f"{at}.jpg", (photos / f"{at}.jpg").read_bytes()) for at in range(4)]
    archive = write_tar(tmp_path / "s.tar", [*members, ("again.jpg", data), ("bad.jpg", b"no")])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    assert aes("score", "s.tar", "-o", "scores.csv").code == 3
    one = aes("score", "s.tar/3.jpg", "s.tar/0.jpg", "--no-store")
    assert [row[0] for row in one.rows()] == ["s.tar/3.jpg", "s.tar/0.jpg"]
    assert one.rows()[0][2] == aes("score", photos / "3.jpg").rows()[0][2]
    monkeypatch.chdir(tmp_path / "elsewhere")
    kept = aes("filter", "../scores.csv", "--dedupe", "-q")
    assert "1 look like a better one" in kept.err
    assert "could not be opened" not in kept.err
    assert aes("report", "../scores.csv", "-o", "page.html").code == 0
    assert len([*Path("page_files").glob("*.jpg")]) == 5
    monkeypatch.chdir(tmp_path)
    lines = Path("scores.csv").read_text().splitlines(keepends=True)
    Path("most.csv").write_text("".join([lines[0], *lines[3:]]))
    done = aes("merge", "most.csv", "-o", "all.csv", "--inputs", archive.name, "--missing", "rest.txt")
    assert done.code == 3
    assert Path("rest.txt").read_bytes() == b"s.tar/0.jpg\0s.tar/1.jpg\0"
    assert aes("score", "--files-from", "rest.txt", "--fresh", "-o", "rest.csv").code == 0
    assert aes("merge", "rest.csv", "most.csv", "-o", "all.csv", "--inputs", archive.name).code == 0
    assert Path("all.csv").read_text() == Path("scores.csv").read_text()
