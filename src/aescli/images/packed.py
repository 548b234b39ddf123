"""Pictures inside one file: tar shards (WebDataset's too), Parquet and Arrow tables with a column of pictures.

A member is called `shard.tar/member.jpg`, a row `table.parquet/17/name.jpg` or `table.parquet/17`, counted from 0:
below a file there is nothing, so no file can be called the same. A plain tar on this machine is read where it lies.
What can only be read from front to back (a compressed tar, an address, a table) goes through temporary files without
names, each gone as soon as its pictures are done: memory stays flat however large an archive is.
"""

import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from aescli.errors import ErrorCode, MissingExtra, PictureError, first_line
from aescli.images.find import Found, Selection, pass_over
from aescli.images.remote import RemoteFile, name_beside
from aescli.images.source import Identity, identify_file
from aescli.images.spool import Slice, Spools
from aescli.names import escape
from aescli.remote import name_in

_TAR = (".tar",)
_COMPRESSED = (".tar.gz", ".tgz")
_TABLES = (".parquet", ".arrow")
SUFFIXES = (*_TAR, *_COMPRESSED, *_TABLES)

_ROWS_AT_ONCE = 16
_PICTURE_COLUMNS = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "bytes", "content")


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive and how it is opened.

    Args:
        path: what rows call it.
        version: what tells its states apart: mtime in nanoseconds, or 63 bits of an ETag's hash.
        place: its absolute path, or its address without what opens doors; where rows are kept under.
        file: its name where it is a file of this machine.
        open: opens it for reading; the driver's file where it lies elsewhere.

    """

    path: str
    version: int
    place: bytes
    file: str | None
    open: Callable[[], BinaryIO]

    def identify(self, inside: str, size: int) -> Identity:
        return Identity(self.place + b"/" + inside.encode(errors="surrogateescape"), size, self.version)


def is_packed(path: str) -> bool:
    """Tell an archive by its name."""
    return name_in(path).lower().endswith(SUFFIXES)


def open_archive(found: Found) -> Archive:
    """Return the archive that an input names."""
    if isinstance(found.source, RemoteFile):
        version = found.identify() or Identity(b"", 0, 0)
        return Archive(found.path, version.mtime_ns, os.fsencode(found.path), None, found.source.open)
    identity = identify_file(found.path) or Identity(os.fsencode(found.path), 0, 0)
    return Archive(found.path, identity.mtime_ns, identity.path, found.path, lambda: open(found.path, "rb"))  # noqa: PTH123 - any bytes


def unpack(archive: Archive, selection: Selection, skipped: Counter[str]) -> Iterator[Found]:
    """Yield the pictures of an archive in their order; where it ends too early stands a row that says so.

    Raises:
        MissingExtra: a table without pyarrow.

    """
    name = name_in(archive.path).lower()
    try:
        if name.endswith(_TABLES):
            yield from _read_table(archive, selection.column)
        elif name.endswith(_TAR) and archive.file is not None:
            yield from _read_tar_in_place(archive, archive.file, selection, skipped)
        else:
            yield from _read_tar_stream(archive, selection, skipped)
    except PictureError as error:
        yield Found(archive.path, error)
    except (tarfile.TarError, EOFError) as error:
        yield Found(archive.path, PictureError(ErrorCode.TRUNCATED, f"the archive ends too early: {error}"))
    except PermissionError:
        yield Found(archive.path, PictureError(ErrorCode.PERMISSION, "may not be read"))
    except FileNotFoundError:
        yield Found(archive.path, PictureError(ErrorCode.VANISHED, "there is no such file"))
    except OSError as error:
        yield Found(archive.path, PictureError(ErrorCode.IO_ERROR, error.strerror or "the archive cannot be read"))


class _Header(tarfile.TarInfo):
    """A header that must be one: `tarfile` takes a broken one in the middle for the end, and says nothing."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_Header":
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"no end and no next member at byte {tarfile_.offset:,}") from error


def _read_tar_in_place(archive: Archive, file: str, selection: Selection, skipped: Counter[str]) -> Iterator[Found]:
    def found(member: tarfile.TarInfo, inside: str) -> Found:
        source = Slice(file, member.offset_data, archive.identify(inside, member.size))
        return Found(f"{archive.path}/{inside}", source=source)

    with tarfile.open(file, "r:", tarinfo=_Header) as tar:
        yield from _members(tar, archive, selection, skipped, found)


def _read_tar_stream(archive: Archive, selection: Selection, skipped: Counter[str]) -> Iterator[Found]:
    spools = Spools()

    def found(member: tarfile.TarInfo, inside: str) -> Found:
        content = tar.extractfile(member)
        data = content.read() if content else b""
        return _kept(archive, spools, inside, data)

    with archive.open() as stream, tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Header) as tar:
        yield from _members(tar, archive, selection, skipped, found)


def _members(
    tar: tarfile.TarFile,
    archive: Archive,
    selection: Selection,
    skipped: Counter[str],
    found: Callable[[tarfile.TarInfo, str], Found],
) -> Iterator[Found]:
    seen: set[int] = set()  # hashes, which are smaller than names
    again: Counter[str] = Counter()
    while member := tar.next():
        tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
        inside = member.name.removeprefix("./")
        name = inside.rpartition("/")[2]
        if member.isdir():
            continue
        if name.startswith("."):
            yield from pass_over(f"{archive.path}/{inside}", "hidden", selection, skipped)
        elif reason := _why_no_file(member):
            yield from pass_over(f"{archive.path}/{inside}", reason, selection, skipped)
        elif not selection.selects(name, inside):
            yield from pass_over(f"{archive.path}/{inside}", "not selected", selection, skipped)
        else:
            unique = inside
            while hash(unique) in seen:  # nearly never: a tar may hold a name twice
                again[inside] += 1
                unique = f"#{again[inside] + 1}/{inside}"
            seen.add(hash(unique))
            yield found(member, unique)


def _why_no_file(member: tarfile.TarInfo) -> str:
    if member.islnk() or member.issym():
        return "link"
    if not member.isfile():
        return "no regular file"
    return "sparse file" if member.sparse is not None else ""  # its bytes stand in parts


def _read_table(archive: Archive, column: str | None) -> Iterator[Found]:
    try:
        import pyarrow as arrow
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None
    spools = Spools()
    try:
        with archive.open() as stream:
            for number, value in enumerate(_cells(stream, archive.path, column)):
                yield _row(archive, spools, number, value)
    except arrow.ArrowException as error:
        raise PictureError(ErrorCode.CORRUPT, f"the table cannot be read: {first_line(error)}") from error


def _cells(stream: BinaryIO, path: str, column: str | None) -> Iterator[Any]:
    """Yield what a table's column of pictures holds, a few rows at a time."""
    if name_in(path).lower().endswith(".parquet"):
        from pyarrow import parquet

        table = parquet.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20)
        name = _find_column(table.schema_arrow, column)
        for batch in table.iter_batches(_ROWS_AT_ONCE, columns=[name]):
            yield from batch.column(0).to_pylist()
        return
    from pyarrow import ipc

    reader = ipc.open_stream(stream)  # as `datasets` saves them
    name = _find_column(reader.schema, column)
    for batch in reader:
        for at in range(0, batch.num_rows, _ROWS_AT_ONCE):
            yield from batch.column(name).slice(at, _ROWS_AT_ONCE).to_pylist()


def _find_column(schema: Any, wanted: str | None) -> str:
    """Return the name of the column that holds pictures: bytes, or Hugging Face's {bytes, path}."""
    packed = [each.name for each in schema if _holds_bytes(each.type)]
    if wanted in packed:
        return str(wanted)
    if wanted is not None:
        listed = escape(", ".join(schema.names))
        message = f"the table has no column of pictures called '{escape(wanted)}': it has {listed}"
        raise PictureError(ErrorCode.NOT_AN_IMAGE, message)
    likely = [name for name in packed if name.lower() in _PICTURE_COLUMNS] or packed
    if len(likely) == 1:
        return str(likely[0])
    if likely:
        message = f"--column says which of its columns of pictures: {escape(', '.join(likely))}"
        raise PictureError(ErrorCode.NOT_AN_IMAGE, message)
    message = f"the table has no column of pictures: it has {escape(', '.join(schema.names))}"
    raise PictureError(ErrorCode.NOT_AN_IMAGE, message)


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(each.name == "bytes" and _holds_bytes(each.type) for each in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _row(archive: Archive, spools: Spools, number: int, value: Any) -> Found:
    data, name = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    if data is None and name:
        return name_beside(archive.path, name)
    inside = f"{number}/{name.lstrip('/')}" if name else str(number)
    if not data:
        return Found(f"{archive.path}/{inside}", PictureError(ErrorCode.EMPTY, "the row holds no picture"))
    return _kept(archive, spools, inside, data)


def _kept(archive: Archive, spools: Spools, inside: str, data: bytes) -> Found:
    return Found(f"{archive.path}/{inside}", source=spools.keep(data, archive.identify(inside, len(data))))
