"""From a format's name to its writer."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from aescli.errors import UsageError
from aescli.writers.base import Writer

FORMATS = ("table", "csv", "jsonl", "parquet")
_OF_SUFFIX = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "table",
}


def choose_format(wanted: str, target: Path | None, *, on_terminal: bool) -> str:
    """Return the format that `--format` and the target's suffix name.

    Raises:
        UsageError: the word or the suffix is no format.

    """
    if wanted != "auto":
        if wanted not in FORMATS:
            raise UsageError(f"'{wanted}' is no format", hint=f"auto, {', '.join(FORMATS)}")
        return wanted
    if target is None:
        return "table" if on_terminal else "csv"
    if found := format_of(target.name):
        return found
    if target.exists() and not target.is_file():
        return "csv"  # a FIFO or /dev/stdout: a pipe by another name
    raise UsageError(f"the suffix of '{target.name}' names no format", hint=f"--format {'|'.join(FORMATS)}")


def format_of(name: str) -> str | None:
    """Return the format that a file's suffix names, None where it names none."""
    return _OF_SUFFIX.get(Path(name).suffix.lower())


def open_writer(name: str, stream: BinaryIO, dimensions: Sequence[str], *, colour: bool = False) -> Writer:
    """Return the writer of a format.

    Raises:
        MissingExtra: Parquet without pyarrow.

    """
    match name:
        case "csv":
            from aescli.writers.csv import CsvWriter

            return CsvWriter(stream, dimensions)
        case "jsonl":
            from aescli.writers.jsonl import JsonLinesWriter

            return JsonLinesWriter(stream)
        case "parquet":
            from aescli.writers.parquet import ParquetWriter

            return ParquetWriter(stream, dimensions)
        case "tree":
            from aescli.writers.tree import TreeWriter

            return TreeWriter(stream, colour=colour)
        case _:
            from aescli.writers.table import TableWriter

            return TableWriter(stream, dimensions, colour=colour)
