import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from aescli.errors import ErrorCode, UsageError
from aescli.images.find import Selection, check_words, find, read_list
from tests.conftest import needs_posix


def tree(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def paths(*words: str, **options: object) -> list[str]:
    selection = Selection(**options)  # type: ignore[arg-type]
    return [found.path for found in find(words, selection)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_folders_are_walked_sorted_recursively_and_names_are_spelled_as_given(here: Path) -> None:
    tree(here, "p/b.jpg", "p/a/z.PNG", "p/c.webp", "p/note.txt", "p/.hidden.jpg", "p/._b.jpg", "p/.git/x.jpg")
    assert paths("p") == ["p/a/z.PNG", "p/b.jpg", "p/c.webp"]
    assert paths("./p/") == ["./p/a/z.PNG", "./p/b.jpg", "./p/c.webp"]
    assert paths(str(here / "p"))[0] == str(here / "p/a/z.PNG")


def test_what_a_walk_passes_over_is_counted_by_reason(here: Path) -> None:
    tree(here, "p/a.jpg", "p/note.txt", "p/.hidden.jpg", "p/skip/b.jpg")
    os.symlink("a.jpg", "p/link.jpg")
    skipped: Counter[str] = Counter()
    list(find(["p"], Selection(exclude=("skip",)), skipped=skipped))
    assert skipped == {"not selected": 1, "hidden": 1, "link": 1, "excluded": 1}


def test_a_named_file_is_always_taken_whatever_its_suffix(here: Path) -> None:
    tree(here, "note.txt", ".hidden.jpg")
    assert paths("note.txt", ".hidden.jpg", "note.txt") == ["note.txt", ".hidden.jpg", "note.txt"]


def test_all_files_takes_every_suffix(here: Path) -> None:
    tree(here, "p/a", "p/b.txt")
    assert paths("p", all_files=True) == ["p/a", "p/b.txt"]


def test_patterns_meet_names_and_paths_below_the_folder(here: Path) -> None:
    tree(here, "p/raw/1.jpg", "p/web/1.jpg", "p/2.jpg")
    assert paths("p", include=("web/*",)) == ["p/web/1.jpg"]
    assert paths("p", include=("1.*",), exclude=("raw",)) == ["p/web/1.jpg"]


def test_globs_are_expanded_when_the_shell_did_not(here: Path) -> None:
    tree(here, "p/b.jpg", "p/a.jpg", "p/q/c.jpg")
    assert paths("p/*.jpg") == ["p/a.jpg", "p/b.jpg"]
    assert paths("p/**/*.jpg") == ["p/a.jpg", "p/b.jpg", "p/q/c.jpg"]


def test_a_file_that_looks_like_a_glob_is_the_file(here: Path) -> None:
    tree(here, "p/[a].jpg", "p/a.jpg")
    assert paths("p/[a].jpg") == ["p/[a].jpg"]
    assert paths("p") == ["p/[a].jpg", "p/a.jpg"]


@pytest.mark.parametrize("content", [b"a.jpg\nb c.jpg\n", b"a.jpg\r\nb c.jpg\r\n", b"a.jpg\0b c.jpg\0"])
def test_lists_are_read_with_lines_or_nul(here: Path, content: bytes) -> None:
    (here / "list").write_bytes(content)
    assert list(read_list("list")) == ["a.jpg", "b c.jpg"]


def test_a_list_may_have_a_byte_order_mark_and_is_in_utf_8(here: Path) -> None:
    Path("list").write_bytes(b"\xef\xbb\xbfa.jpg\r\nb.jpg\r\n")
    assert list(read_list("list")) == ["a.jpg", "b.jpg"]
    Path("list").write_bytes("a.jpg\n".encode("utf-16"))
    with pytest.raises(UsageError, match="UTF-16"):
        list(read_list("list"))


def test_a_nul_list_keeps_line_feeds_in_names(here: Path) -> None:
    (here / "list").write_bytes(b"a\nb.jpg\0c.jpg")
    assert list(read_list("list")) == ["a\nb.jpg", "c.jpg"]


def test_a_list_that_is_a_folder_is_an_error_of_the_user(here: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        list(read_list(str(here)))


def test_a_missing_path_is_refused_and_the_nearest_named(here: Path) -> None:
    tree(here, "photos/a.jpg")
    with pytest.raises(UsageError) as caught:
        check_words(["phots"])
    assert "photos" in caught.value.hint
    check_words(["photos", "*.nothing", "-"])
    with pytest.raises(UsageError):
        check_words([], ["list.txt"])


@needs_posix
def test_links_do_not_lead_in_circles_and_special_files_are_passed_over(here: Path) -> None:
    tree(here, "p/a.jpg")
    os.symlink(".", "p/loop")
    os.symlink("nowhere", "p/dangling.jpg")
    os.mkfifo("p/pipe.jpg")
    assert paths("p") == paths("p/**") == ["p/a.jpg"]


@needs_posix
def test_followed_links_lead_to_each_folder_once(here: Path) -> None:
    tree(here, "p/a.jpg", "elsewhere/b.jpg", "elsewhere/deep/c.jpg")
    os.symlink("../elsewhere", "p/first")
    os.symlink("../elsewhere/deep", "p/second")  # walked already, through `first`
    os.symlink("..", "elsewhere/deep/up")
    os.symlink("../elsewhere/b.jpg", "p/twin.jpg")
    os.symlink("nowhere", "p/dangling.jpg")
    os.symlink("self.jpg", "p/self.jpg")
    skipped: Counter[str] = Counter()
    found = list(find(["p"], Selection(follow=True), skipped=skipped))
    assert [each.path for each in found] == [
        "p/a.jpg", "p/first/b.jpg", "p/first/deep/c.jpg", "p/self.jpg", "p/twin.jpg",
    ]  # fmt: skip
    assert skipped == {"walked already": 2, "dangling link": 1}


@needs_posix
def test_what_is_passed_over_can_be_told_one_by_one(here: Path) -> None:
    tree(here, "p/a.jpg", "p/note.txt", "p/.hidden.jpg")
    found = list(find(["p"], Selection(report_skipped=True)))
    told = {each.path: each.problem and (each.problem.code, each.problem.message) for each in found}
    assert told == {
        "p/.hidden.jpg": ("skipped", "hidden"),
        "p/a.jpg": None,
        "p/note.txt": ("skipped", "not selected"),
    }


@needs_posix
def test_names_of_any_bytes_are_found(here: Path) -> None:
    names = [b"\xff\xfe.jpg", b"a\nb.jpg", b"-rf.jpg", b"\x1b[31m.jpg"]
    (here / "p").mkdir()
    for name in names:
        (here / "p" / os.fsdecode(name)).write_bytes(b"x")
    assert {os.fsencode(path) for path in paths("p")} == {b"p/" + name for name in names}


@needs_posix
@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_is_a_row(here: Path) -> None:
    tree(here, "p/locked/a.jpg", "p/b.jpg")
    (here / "p/locked").chmod(0)
    found = list(find(["p"], Selection()))
    (here / "p/locked").chmod(0o700)
    assert [each.path for each in found] == ["p/b.jpg", "p/locked"]
    assert found[1].problem is not None
    assert found[1].problem.code is ErrorCode.PERMISSION


@needs_posix
def test_a_tree_deeper_than_the_stack_is_walked(here: Path) -> None:
    try:
        _dig(here, 1500)
        found = list(find(["d"], Selection()))
    except OSError as error:
        pytest.skip(f"this file system does not go so deep: {error}")
    finally:
        subprocess.run(["rm", "-rf", "d"], cwd=here, check=True)  # pytest's own cleaning is recursive
    assert len(found) == 1


def _dig(folder: Path, depth: int) -> None:
    """Make folders in each other, and a picture in the last; each by the one above: whole paths take a minute."""
    at = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(depth):
            os.mkdir("d", dir_fd=at)
            above, at = at, os.open("d", os.O_RDONLY, dir_fd=at)
            os.close(above)
        os.close(os.open("deep.jpg", os.O_CREAT, dir_fd=at))
    finally:
        os.close(at)
