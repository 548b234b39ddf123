"""Pictures and outputs that lie elsewhere, on servers that we did not write; what opens doors is never shown."""

import errno
import http.server
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aescli import remote
from aescli.errors import OutputFailed
from tests import buckets
from tests.conftest import Aes, encoded, photograph

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the drivers' connections outlive a command

PLANTED = "planted-signature"


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    with buckets.serving() as environment:
        yield environment


@pytest.fixture
def bucket(server: dict[str, str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Give s3fs and, as `bucket.name`, a bucket of this test's own."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    import s3fs

    files = s3fs.S3FileSystem(use_listings_cache=False)
    files.name = f"b{abs(hash(request.node.name))}"
    files.mkdir(files.name)
    yield files
    s3fs.S3FileSystem.clear_instance_cache()


def upload(files: Any, folder: Path, below: str) -> str:
    for file in folder.rglob("*"):
        if file.is_file():
            files.pipe_file(f"{files.name}/{below}/{file.relative_to(folder)}", file.read_bytes())
    return f"s3://{files.name}/{below}"


def test_a_folder_of_a_bucket_is_a_folder(aes: Aes, photos: Path, bucket: Any) -> None:
    for name in (".hidden.jpg", "note.txt", "skip/a.jpg"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(b"x")
    address = upload(bucket, photos, "in")
    bucket.pipe_file(f"{bucket.name}/in/", b"")  # what consoles leave for a folder
    here = aes("score", photos, "--exclude", "skip")
    for word in (address, f"{address}/"):
        done = aes("score", word, "--exclude", "skip")
        assert done.code == 0
        assert done.out.replace(address, str(photos)) == here.out
        assert "3 skipped" in done.err
    assert "6 of them kept from before" in done.err
    assert [row[0] for row in aes("score", f"{address}/*.jpg").rows()] == [f"{address}/{at}.jpg" for at in range(4)]
    deep = aes("score", f"s3://{bucket.name}/**/*.png").rows()
    assert [row[0] for row in deep] == [f"{address}/inner/4.png"]


def test_an_object_whose_name_looks_like_a_pattern_is_that_object(aes: Aes, bucket: Any) -> None:
    for at, name in enumerate(("a[1].png", "a1.png", "a?b.png", "axb.png")):
        bucket.pipe_file(f"{bucket.name}/in/{name}", encoded(photograph(at, (32, 24))))
    for name in ("a[1].png", "a?b.png"):
        done = aes("score", f"s3://{bucket.name}/in/{name}")
        assert [row[0] for row in done.rows()] == [f"s3://{bucket.name}/in/{name}"]
    for at, name in enumerate(("[2024]/x.png", "2/y.png")):
        bucket.pipe_file(f"{bucket.name}/{name}", encoded(photograph(at, (32, 24))))
    done = aes("score", f"s3://{bucket.name}/[2024]/")
    assert [row[0] for row in done.rows()] == [f"s3://{bucket.name}/[2024]/x.png"]
    assert len(aes("score", f"s3://{bucket.name}/in/a?.png").rows()) == 1
    assert len(aes("score", f"s3://{bucket.name}/in/a?*.png").rows()) == 4


def test_what_lies_in_a_folder_without_a_name_is_counted(aes: Aes, bucket: Any) -> None:
    for name in ("in/deep/a.png", "in/deep//b.png", "in//c.png"):
        bucket.pipe_file(f"{bucket.name}/{name}", encoded(photograph(1, (32, 24))))
    done = aes("score", f"s3://{bucket.name}/in", "--report-skipped")
    address = f"s3://{bucket.name}/in"
    assert [(row[0], row[1]) for row in done.rows()] == [
        (f"{address}//", "error"), (f"{address}/deep//", "error"), (f"{address}/deep/a.png", "ok"),
    ]  # fmt: skip
    assert "2 skipped" in done.err


def test_a_replaced_object_is_scored_again_though_its_size_is_the_same(aes: Aes, bucket: Any) -> None:
    place = f"{bucket.name}/a.bmp"
    bucket.pipe_file(place, encoded(photograph(1, (64, 48)), "BMP"))
    first = aes("score", f"s3://{place}")
    assert aes("score", f"s3://{place}").out == first.out
    bucket.pipe_file(place, encoded(photograph(2, (64, 48)), "BMP"))
    changed = aes("score", f"s3://{place}")
    assert "kept from before" not in changed.err
    assert changed.out != first.out


def test_archives_and_lists_may_lie_in_a_bucket(aes: Aes, photos: Path, tmp_path: Path, bucket: Any) -> None:
    import shutil

    archive = Path(shutil.make_archive(str(tmp_path / "s"), "tar", photos))
    upload(bucket, photos, "in")
    bucket.put_file(str(archive), f"{bucket.name}/s.tar")
    listed = "image\nin/0.jpg\ns.tar\nin/gone.jpg\n"
    bucket.pipe_file(f"{bucket.name}/names.csv", listed.encode())
    done = aes("score", "--files-from", f"s3://{bucket.name}/names.csv", "--column", "image")
    assert done.code == 3
    rows = done.rows()
    assert [row[0].removeprefix(f"s3://{bucket.name}/") for row in rows][::7] == ["in/0.jpg", "in/gone.jpg"]
    assert rows[-1][-2] == "vanished"
    assert rows[0][2] in {row[2] for row in rows[1:-1]}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_outputs_go_to_a_bucket_and_are_merged_from_there(aes: Aes, photos: Path, bucket: Any, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    address = f"s3://{bucket.name}/out"
    for index in range(2):
        done = aes("score", photos, "--shard", f"{index}/2", "-o", f"{address}/s-{{shard}}.{suffix}")
        assert (done.code, done.out) == (0, "")
    done = aes("merge", f"{address}/*.{suffix}", "-o", f"{address}/all/scores.{suffix}", "--inputs", photos)
    assert done.code == 0
    assert "6 rows of 2 files" in done.err
    content = bucket.cat_file(f"{bucket.name}/out/all/scores.{suffix}")
    if suffix == "csv":
        assert sorted(content.splitlines()) == sorted(aes("score", photos).raw.splitlines())


def test_a_full_disk_behind_an_output_for_a_bucket_is_named(
    aes: Aes, photos: Path, tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"s3://{bucket.name}/out.csv"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OutputFailed, match=r"its copy in .*: No space left"), remote.replace_remote(address):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.glob("aes-*"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    done = aes("score", photos, "--no-store", "-o", address)
    assert done.code == 1
    assert f"{address} cannot be written: its copy in {tmp_path / 'nowhere'}: No such file" in done.err
    assert not bucket.exists(address)


def test_parts_go_to_a_bucket_and_what_is_left_of_a_longer_run_goes(aes: Aes, photos: Path, bucket: Any) -> None:
    pytest.importorskip("pyarrow")
    folder = f"{bucket.name}/parts/"
    for name in ("part-00001.parquet", "part-00002.parquet", "other.parquet"):
        bucket.pipe_file(folder + name, b"old")
    assert aes("score", photos, "-o", f"s3://{folder}").code == 0
    assert bucket.ls(folder) == [folder + "other.parquet", folder + "part-00000.parquet"]


def test_what_cannot_be_had_is_told_before_any_picture(aes: Aes, photos: Path, bucket: Any) -> None:
    for words, said in (
        ([f"s3://{bucket.name}/nothing"], "there is no such file"),
        (["s3://no-such-bucket/x.jpg"], "there is no such file"),
        ([f"s3://KEY:{PLANTED}@{bucket.name}/x"], "carries no password"),
        (["s3://"], "names nothing"),
        ([photos, "-o", "https://host/x.csv"], "nothing can be written"),
        ([photos, "-o", f"s3://{bucket.name}/folder/", "--format", "csv"], "parts in Parquet"),
        ([photos, "-o", "s3://no-such-bucket/x.csv"], "no bucket"),
        ([photos, "-o", f"s3://{bucket.name}"], "names no file"),
    ):
        done = aes("score", *words)
        assert (done.code, done.out) == (2, ""), words
        assert said in done.err
        assert PLANTED not in done.err


def test_wrong_credentials_are_told_and_none_is_kept_anywhere(
    aes: Aes, photos: Path, bucket: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = upload(bucket, photos, "in")
    done = aes("score", address, "-o", tmp_path / "out.csv")
    assert done.code == 0
    written = [file.read_bytes() for file in [*home.rglob("*"), tmp_path / "out.csv"] if file.is_file()]
    assert written
    for secret in (buckets.SECRET, buckets.KEY):
        assert not any(secret.encode() in content for content in written)
        assert secret not in done.err
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    type(bucket).clear_instance_cache()
    refused = aes("score", address)
    assert refused.code == 2
    assert "credentials" in refused.err


def test_a_bucket_of_google_is_read_and_written(aes: Aes, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gcsfs = pytest.importorskip("gcsfs")
    pytest.importorskip("gcp_storage_emulator")
    with buckets.serving_google("shoot") as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        files = gcsfs.GCSFileSystem(use_listings_cache=False)
        for name in ("0.jpg", "of%20one day/1 é.jpg", "note.txt"):
            files.pipe_file(f"shoot/in/{name}", (photos / "0.jpg").read_bytes())
        first = aes("score", "gs://shoot/in/", "-o", "gs://shoot/out/scores.csv")
        assert first.code == 0
        assert "1 skipped" in first.err
        assert "bucket type" not in first.err  # what the driver says for itself
        rows = files.cat_file("shoot/out/scores.csv").decode().splitlines()
        assert [row.partition(",")[0] for row in rows[1:]] == [
            "gs://shoot/in/0.jpg",
            "gs://shoot/in/of%20one day/1 é.jpg",
        ]
        assert "2 of them kept from before" in aes("score", "gs://shoot/**/*.jpg").err
        assert "there is no such file" in aes("score", "gs://no-such-bucket/x").err
        gcsfs.GCSFileSystem.clear_instance_cache()


class _Web(http.server.BaseHTTPRequestHandler):
    """Pictures behind a signature, and every way to fail."""

    content = b""
    asked: list[str]

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        name, _, query = self.path.lstrip("/").partition("?")
        status = {"gone.jpg": 404, "closed.jpg": 403, "broken.jpg": 500}.get(name, 200)
        if name == "signed.jpg" and f"X-Sig={PLANTED}" not in query:
            status = 403
        body = b"" if name == "empty.jpg" else self.content
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if name != "plain.jpg":
            self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the name that the server calls

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[tuple[str, list[str]]]:
    pytest.importorskip("aiohttp")
    _Web.content = encoded(photograph(3), "JPEG")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Web)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", server.asked  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def test_links_are_pictures_and_their_signature_is_not_shown(
    aes: Aes, web: tuple[str, list[str]], home: Path, tmp_path: Path
) -> None:
    address, asked = web
    names = (
        f"signed.jpg?w=3&X-Sig={PLANTED}",
        f"broken.jpg?token={PLANTED}",
        f"gone.jpg?key={PLANTED}",
        "closed.jpg",
        "empty.jpg",
    )
    (tmp_path / "list").write_text("".join(f"{address}/{name}\n" for name in names))
    done = aes("score", "--files-from", tmp_path / "list")
    assert done.code == 3
    rows = done.rows()
    assert [row[0].removeprefix(f"{address}/") for row in rows] == [
        "signed.jpg?w=3&X-Sig=***", "broken.jpg?token=***", "gone.jpg?key=***", "closed.jpg", "empty.jpg",
    ]  # fmt: skip
    assert [row[-2] for row in rows] == ["", "io_error", "vanished", "permission", "empty"]
    assert rows[0][5] == ""  # the query is no suffix
    kept = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    assert PLANTED not in done.out + done.err
    assert PLANTED.encode() not in kept
    before = len(asked)
    again = aes("score", f"{address}/signed.jpg?w=3&X-Sig={PLANTED}")
    assert "1 of them kept from before" in again.err
    assert len(asked) > before  # its ETag was asked for
    assert aes("score", f"{address}/gone.jpg").code == 2


def test_a_server_that_names_no_state_is_asked_each_time(aes: Aes, web: tuple[str, list[str]]) -> None:
    address, _ = web
    for _ in range(2):
        done = aes("score", f"{address}/plain.jpg")
        assert done.code == 0
        assert "kept from before" not in done.err


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("photos/a.jpg", "photos/a.jpg"),
        ("s3://bucket/a?b#c.jpg", "s3://bucket/a?b#c.jpg"),
        ("https://u:p@host:1/a.jpg", "https://host:1/a.jpg"),
        ("https://host/a?X-Amz-Credential=k&X-Amz-Signature=s&n=1#f", "https://host/a?X-Amz-Credential=***&X-Amz-Signature=***&n=1"),
        ("https://host/a?sv=1&sig=s&flag", "https://host/a?sv=1&sig=***&flag"),
    ],
)  # fmt: skip
def test_addresses_are_shown_without_what_opens_doors(address: str, expected: str) -> None:
    assert remote.shown(address) == expected


def test_a_missing_driver_is_named_with_the_line_that_brings_it(aes: Aes) -> None:
    try:
        import gcsfs  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
    except ImportError:
        done = aes("score", "gs://bucket/a.jpg")
        assert done.code == 1
        assert "aescli[gcs]" in done.err
