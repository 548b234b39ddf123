"""Pictures inside of a table, such as the Hub's Parquet: they become files, since what is labelled is these."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from aescli.errors import AesError
from aescli.home import aes_home
from aescli.images.formats import SUFFIXES
from aescli.labels.rows import TableRow
from aescli.labels.values import Problem
from aescli.names import escape


def unpack_pictures(rows: Iterable[TableRow | Problem], table: Path) -> Iterator[TableRow | Problem]:
    """Yield rows whose pictures are files: a cell of `bytes` and `path` becomes the path of one in AES_HOME.

    A cell without bytes is left as it is: its path is beside the table.

    Args:
        rows: of a table, one at a time in memory.
        table: its file; pictures of the same file are written once.

    Raises:
        AesError: a picture cannot be written.

    """
    folder: Path | None = None
    known: dict[bytes, str] = {}
    for number, row in enumerate(rows, 1):
        packed = {} if isinstance(row, Problem) else {n: cell for n, cell in row.cells.items() if _is_packed(cell)}
        if isinstance(row, Problem) or not packed:
            yield row
            continue
        folder = folder or make_folder(table)
        names = name_pictures(number, packed, known)
        files = {column: write_picture(packed[column]["bytes"], folder / name) for column, name in names.items()}
        yield TableRow({**row.cells, **files}, row.source)


def name_pictures(number: int, pictures: Mapping[str, Mapping[str, Any]], known: dict[bytes, str]) -> dict[str, str]:
    """Return the name of a file for each picture of a row, by its column.

    Where a row has several they are compared, and each of them may stand in many rows: it is one file, the first.

    Args:
        number: of the row.
        pictures: `bytes` and `path` by the column.
        known: names by the SHA-256 of what is in the files; those of this row are added.

    """
    names = {}
    for at, (column, picture) in enumerate(pictures.items()):
        stem = f"{number:08d}-{at}" if at else f"{number:08d}"
        name = f"{stem}{find_suffix(picture.get('path') or '')}"
        digest = hashlib.sha256(picture.get("bytes") or b"").digest()
        names[column] = known.setdefault(digest, name) if len(pictures) > 1 else name
    return names


def find_suffix(path: str) -> str:
    """Return the suffix of a packed picture's file; what it really is, its content says."""
    suffix = PurePosixPath(path).suffix.lower()
    return suffix if suffix in SUFFIXES else ".jpg"


def _is_packed(cell: object) -> bool:
    return isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes)


def make_folder(table: Path) -> Path:
    """Return the folder in AES_HOME of the pictures of a table, which is named by its content.

    Raises:
        AesError: it cannot be made.
        OSError: the table cannot be read.

    """
    with table.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    folder = aes_home() / "data" / "parquet" / digest
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def write_picture(data: bytes, file: Path) -> str:
    """Write a picture whole or not at all, unless it is there as it is in the table; return its path.

    Raises:
        AesError: it cannot be written.

    """
    part = file.with_suffix(f".{os.getpid()}.part")  # another run may be at the same table
    try:
        if not file.exists() or file.read_bytes() != data:
            part.write_bytes(data)
            part.replace(file)
    except OSError as error:
        raise _unwritable(file, error) from error
    return str(file)


def _unwritable(file: Path, error: OSError) -> AesError:
    return AesError(f"{escape(str(file))} cannot be written: {error.strerror}", hint="AES_HOME names another place")
