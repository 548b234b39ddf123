"""From a format's name to its writer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from aescli.errors import UsageError
from aescli.names import escape
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
    alone = "table" if on_terminal else "csv"
    return choose_by_suffix(wanted, target, FORMATS, _OF_SUFFIX, alone=alone, piped="csv")


def choose_by_suffix(
    wanted: str, target: Path | None, formats: Sequence[str], of_suffix: Mapping[str, str], *, alone: str, piped: str
) -> str:
    """Return the format that a word, or else the target's suffix, names.

    Args:
        wanted: `auto`, or one of the formats.
        target: None for standard output.
        formats: all of them.
        of_suffix: which of them a suffix names.
        alone: that of standard output.
        piped: that of a FIFO or of /dev/stdout, a pipe by another name.

    Raises:
        UsageError: the word or the suffix is no format.

    """
    words = "|".join(formats)
    if wanted != "auto":
        if wanted not in formats:
            raise UsageError(f"'{wanted}' is no format", hint=f"auto|{words}")
        return wanted
    if target is None:
        return alone
    if found := of_suffix.get(target.suffix.lower()):
        return found
    if target.exists() and not target.is_file():
        return piped
    raise UsageError(f"the suffix of '{escape(target.name)}' names no format", hint=f"--format {words}")


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
