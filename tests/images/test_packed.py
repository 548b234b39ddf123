"""Pictures inside archives: the same scores as outside, and nothing lost where an archive is broken."""

import io
import os
import pickle
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aescli.errors import ErrorCode, PictureError
from aescli.images.find import Found, Selection
from aescli.images.packed import is_packed, open_archive, unpack
from tests.conftest import Aes

ROWS = [(f"{at}.jpg", bytes([at]) * (at + 1)) for at in range(40)]


def write_tar(file: Path, members: list[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(file, mode) as tar:  # type: ignore[call-overload]
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return file


def write_table(file: Path, column: object, name: str = "image", **others: object) -> Path:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import ipc, parquet

    table = arrow.table({name: column, **others})
    if file.suffix == ".parquet":
        parquet.write_table(table, file, row_group_size=7)
    else:
        with ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, max_chunksize=9)
    return file


def read(file: Path, column: str | None = None, skipped: Counter[str] | None = None) -> list[Found]:
    selection = Selection(column=column)
    return list(unpack(open_archive(Found(str(file))), selection, Counter() if skipped is None else skipped))


def test_what_is_no_whole_file_of_a_tar_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "a.tar"
    with tarfile.open(file, "w") as tar:
        for name, kind in (("0.jpg", tarfile.REGTYPE), ("1.jpg", tarfile.LNKTYPE), ("2.jpg", tarfile.SYMTYPE)):
            header = tarfile.TarInfo(name)
            header.type, header.linkname, header.size = kind, "0.jpg" if kind != tarfile.REGTYPE else "", 0
            if kind == tarfile.REGTYPE:
                header.size = 4
            tar.addfile(header, io.BytesIO(b"data"))
        sparse = tarfile.TarInfo("3.jpg")
        sparse.size = 4
        sparse.pax_headers = {"GNU.sparse.map": "0,4", "GNU.sparse.size": "9000"}
        tar.addfile(sparse, io.BytesIO(b"data"))
        fifo = tarfile.TarInfo("4.jpg")
        fifo.type = tarfile.FIFOTYPE
        tar.addfile(fifo)
    skipped: Counter[str] = Counter()
    assert [each.path for each in read(file, skipped=skipped)] == [f"{file}/0.jpg"]
    assert skipped == {"link": 2, "sparse file": 1, "no regular file": 1}


def contents(found: list[Found], file: Path) -> list[tuple[str, bytes]]:
    return [(each.path.removeprefix(f"{file}/"), each.read().data) for each in found]


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.TGZ", "w:gz")])
def test_members_of_a_tar_are_read_whole_and_in_order(tmp_path: Path, name: str, mode: str) -> None:
    file = write_tar(tmp_path / name, [("./a/0.json", b"{}"), *ROWS, ("a/.hidden.jpg", b"x")], mode)
    skipped: Counter[str] = Counter()
    found = read(file, skipped=skipped)
    assert contents(found, file) == ROWS
    assert skipped == {"not selected": 1, "hidden": 1}


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"(#[23]/)?[ab]\.jpg|[a-z#/.é]{1,8}\.jpg", fullmatch=True), st.binary(min_size=1, max_size=9)
        ),
        max_size=12,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_two_pictures_of_a_tar_have_one_path(tmp_path: Path, members: list[tuple[str, bytes]]) -> None:
    visible = [(name, data) for name, data in members if not name.rpartition("/")[2].startswith(".")]
    for compressed in ("", ":gz"):
        file = write_tar(tmp_path / f"t.tar{compressed.replace(':', '.')}", members, f"w{compressed}")
        found = read(file)
        assert [each.read().data for each in found] == [data for _, data in visible]
        assert len({each.path for each in found}) == len(found)


def test_a_name_that_stands_twice_is_told_apart(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "t.tar", [("a.jpg", b"1"), ("a.jpg", b"2"), ("./a.jpg", b"3")])
    assert contents(read(file), file) == [("a.jpg", b"1"), ("#2/a.jpg", b"2"), ("#3/a.jpg", b"3")]


def test_a_tar_cut_anywhere_says_so_and_its_whole_members_are_kept(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "whole.tar", ROWS[:6]).read_bytes()
    end = 6 * 1024  # a header and a block for each; then only the end's zeros
    for size in range(1, end, 211):
        file = tmp_path / "cut.tar"
        file.write_bytes(whole[:size])
        *found, last = read(file)
        assert last.path == str(file)
        assert last.problem
        assert last.problem.code is ErrorCode.TRUNCATED
        kept = [each for each in found if each.read().changed is False]
        assert contents(kept, file) == ROWS[: len(kept)]
        assert len(found) >= size // 1024 - 1


def test_rubbish_in_the_middle_of_a_tar_is_not_its_end(tmp_path: Path) -> None:
    data = bytearray(write_tar(tmp_path / "t.tar", ROWS[:6]).read_bytes())
    data[3 * 1024 : 3 * 1024 + 512] = b"\x55" * 512
    (tmp_path / "t.tar").write_bytes(data)
    *found, last = read(tmp_path / "t.tar")
    assert len(found) == 3
    assert last.problem
    (tmp_path / "t.tar").write_bytes(b"no tar at all" * 99)
    assert [each.problem and each.problem.code for each in read(tmp_path / "t.tar")] == [ErrorCode.TRUNCATED]


def test_names_of_any_bytes_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe\x1b.jpg")
    file = write_tar(tmp_path / "t.tar", [(name, b"x")])
    assert [each.path for each in read(file)] == [f"{file}/{name}"]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_rows_of_a_table_are_numbered_and_named(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("pyarrow")
    cells = [{"bytes": data, "path": name} for name, data in ROWS]
    cells[3] = {"bytes": cells[3]["bytes"], "path": None}  # type: ignore[dict-item]
    file = write_table(tmp_path / f"t{suffix}", cells, label=list(range(40)))
    expected = [(f"{at}/{name}" if at != 3 else "3", data) for at, (name, data) in enumerate(ROWS)]
    assert contents(read(file), file) == expected


def test_a_table_says_which_column_it_means(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    data = [data for _, data in ROWS]
    assert len(read(write_table(tmp_path / "a.parquet", data, "thumbnail"))) == 40
    two = write_table(tmp_path / "b.parquet", data, "left", right=data)
    assert [each.problem and "left, right" in each.problem.message for each in read(two)] == [True]
    assert len(read(two, "right")) == 40
    assert [each.problem and "'middle'" in each.problem.message for each in read(two, "middle")] == [True]
    none = write_table(tmp_path / "c.parquet", ["words"])
    assert [each.problem and "no column of pictures" in each.problem.message for each in read(none)] == [True]


def test_a_row_without_bytes_names_a_file_beside_the_table_or_is_a_row(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "x.jpg").write_bytes(b"x")
    cells = [{"bytes": None, "path": "x.jpg"}, {"bytes": None, "path": None}, {"bytes": b"", "path": "y.jpg"}]
    import pyarrow as arrow

    kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    file = write_table(tmp_path / "t.parquet", arrow.array(cells, kind))
    named, empty, zero = read(file)
    assert (named.path, named.read().data) == (str(tmp_path / "x.jpg"), b"x")
    assert [each.problem and each.problem.code for each in (empty, zero)] == [ErrorCode.EMPTY, ErrorCode.EMPTY]


def test_a_table_that_is_none_is_a_row(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    (found,) = read(tmp_path / "t.parquet")
    assert found.problem
    assert found.problem.code is ErrorCode.CORRUPT


def test_identities_tell_members_and_states_apart(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "t.tar", ROWS)
    first = [each.identify() for each in read(file)]
    assert len(set(first)) == len(ROWS)
    assert first == [each.identify() for each in read(file)]
    os.utime(file, ns=(1, 1))
    assert not set(first) & {each.identify() for each in read(file)}


def test_a_picture_travels_to_another_process(tmp_path: Path) -> None:
    for name, mode in (("t.tar", "w"), ("t.tgz", "w:gz")):
        (sent,) = read(write_tar(tmp_path / name, ROWS[:1], mode))
        came = pickle.loads(pickle.dumps(sent))
        assert (came.path, came.read(), came.identify()) == (sent.path, sent.read(), sent.identify())


def test_an_archive_that_changes_or_goes_is_told(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "t.tar", ROWS)
    found = read(file)
    os.utime(file, ns=(1, 1))
    assert found[0].read().changed
    file.unlink()
    with pytest.raises(PictureError):
        found[0].read()
    assert [each.problem and each.problem.code for each in read(file)] == [ErrorCode.VANISHED]


def test_scores_are_the_same_inside_and_outside(aes: Aes, photos: Path, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    files = [file for file in sorted(photos.rglob("*")) if file.is_file()]
    members = [(str(file.relative_to(photos)), file.read_bytes()) for file in files]
    cells = arrow.array([{"bytes": data, "path": name} for name, data in members])
    archives = [
        write_tar(tmp_path / "t.tar", [*members, ("bad.jpg", b"no picture"), ("0.txt", b"a caption")]),
        write_tar(tmp_path / "t.tgz", members, "w:gz"),
        write_table(tmp_path / "t.parquet", cells),
    ]
    outside = [row[2:4] for row in aes("score", photos).rows()]
    done = aes("score", *archives)
    assert done.code == 3
    rows = done.rows()
    assert [row[2:4] for row in rows if row[1] == "ok"] == outside * 3
    assert [(Path(row[0]).name, row[-2]) for row in rows if row[1] == "error"] == [("bad.jpg", "not_an_image")]
    assert not any("ext_mismatch" in row[5] for row in rows)
    assert "18 of them kept from before" in aes("score", *archives).err
    assert not is_packed("x.jpg")
