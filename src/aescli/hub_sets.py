"""Data sets of the Hub by id: fetched once at a commit, pictures inside of Parquet unpacked beside their labels."""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aescli.errors import AesError, MissingExtra, NothingMatched, UsageError
from aescli.home import aes_home
from aescli.hub import cache_folder, endpoint, first_line, is_commit, is_hostile
from aescli.images.formats import SUFFIXES
from aescli.labels.embedded import name_pictures
from aescli.labels.rows import with_microseconds
from aescli.names import escape
from aescli.output import new_folder

if TYPE_CHECKING:
    import pyarrow

PREFIX = "hf:"
LABELS = "labels.jsonl"

_TABLES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".txt"})
_PATTERNS = [f"*{each}" for suffix in sorted(_TABLES | SUFFIXES) for each in (suffix, suffix.upper())]
_SPARE_BYTES = 256 << 20
_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def fetch_set(word: str) -> tuple[str, Path]:
    """Return the name, with its commit, and the local folder of `hf:OWNER/NAME[@REVISION]`.

    Tables and pictures are fetched, code never is. Of Parquet that holds its pictures (the Hub's own layout, columns
    of `bytes` and `path`) the training split is unpacked to files with a table beside them, once for each commit.

    Raises:
        UsageError: this is no id of a data set, or its tables do not fit together.
        NothingMatched: the set has nothing to train on.
        AesError: the Hub cannot be reached, or a file did not come whole.
        MissingExtra: Parquet needs pyarrow.

    """
    if not _NAME.fullmatch(word.removeprefix(PREFIX)):
        raise UsageError(f"'{escape(word)}' is no data set of the Hub", hint="hf:OWNER/NAME, or hf:OWNER/NAME@REVISION")
    repo, _, revision = word.removeprefix(PREFIX).partition("@")
    folder, commit = _fetch(repo, revision or "main")
    name = f"{PREFIX}{repo}@{commit[:12]}"
    tables = _with_pictures(sorted(folder.rglob("*.parquet")))
    return name, _unpack(tables, repo, commit) if tables else folder


def _fetch(repo: str, revision: str) -> tuple[Path, str]:
    import huggingface_hub
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    fetch = partial(
        huggingface_hub.snapshot_download, repo, repo_type="dataset", revision=revision, cache_dir=cache_folder(),
        allow_patterns=_PATTERNS,
    )  # fmt: skip
    try:
        info = huggingface_hub.HfApi(endpoint=endpoint()).dataset_info(repo, revision=revision, files_metadata=True)
        _check({file.rfilename: file.size or 0 for file in info.siblings or []}, repo)
        found = Path(fetch(endpoint=endpoint()))
        # The name of a snapshot's folder is its commit.
        if not is_commit(found.name) or found.name != info.sha or (is_commit(revision) and found.name != revision):
            raise AesError(f"{repo} answered with another commit than {revision}: refused")
    except OfflineModeIsEnabled:
        try:
            found = Path(fetch(local_files_only=True))
        except LocalEntryNotFoundError as error:
            raise NothingMatched(
                f"{repo} was not fetched before, and HF_HUB_OFFLINE is set", hint="unset HF_HUB_OFFLINE and try again"
            ) from error
    except (HTTPError, OSError, ValueError, KeyError) as error:
        raise AesError(
            f"{repo} at {revision} cannot be had: {first_line(error)}", hint="the same command goes on where it stopped"
        ) from error
    return found, found.name


def _check(sizes: dict[str, int], repo: str) -> None:
    """Refuse a set that holds nothing, or more than fits."""
    wanted = {name: size for name, size in sizes.items() if any(fnmatchcase(name, each) for each in _PATTERNS)}
    if not wanted:
        raise NothingMatched(f"{repo} holds no table and no picture")
    if any(is_hostile(name) for name in wanted):
        raise AesError(f"{repo} lists a file name that leaves its folder: refused")
    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    free, size = shutil.disk_usage(folder).free, sum(wanted.values())
    if size + _SPARE_BYTES > free:
        raise AesError(
            f"{repo} has {size / 1e9:.2f} GB and {free / 1e9:.2f} GB are free in {folder}",
            hint="free some space, or let HF_HOME name a folder on another disk",
        )


def _with_pictures(files: Sequence[Path]) -> list[Path]:
    """Return the tables that hold pictures: those of the training split where the names tell of splits."""
    if not files:
        return []
    try:
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None
    found = [file for file in files if _picture_columns(parquet.read_schema(file))]
    schemas = {str(parquet.read_schema(file).names): file for file in found}
    if len(schemas) > 1:
        listed = ", ".join(escape(str(file.name)) for file in schemas.values())
        raise UsageError(f"its tables have different columns: {listed}", hint="fetch it, and give --data one of them")
    training = [file for file in found if "train" in (*file.stem.lower().split("-"), file.parent.name.lower())]
    return training or found


def _picture_columns(schema: "pyarrow.Schema") -> list[str]:
    """Return the names of the columns of `bytes` and `path`: one, or two of comparisons."""
    return [
        str(field.name)
        for field in schema
        if field.type.num_fields
        and {"bytes", "path"} <= {field.type.field(at).name for at in range(field.type.num_fields)}
    ]


def _unpack(tables: Sequence[Path], repo: str, commit: str) -> Path:
    """Write the pictures and a table of everything else, whole or not at all."""
    folder = aes_home() / "data" / "hub" / repo.replace("/", "--") / commit
    if (folder / LABELS).is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(folder) as part:
        (part / "images").mkdir()
        with (part / LABELS).open("w", encoding="utf-8") as labels:
            known: dict[bytes, str] = {}
            for number, (pictures, cells) in enumerate(_rows(tables)):
                files = {column: f"images/{name}" for column, name in name_pictures(number, pictures, known).items()}
                for column, file in files.items():
                    (part / file).write_bytes(pictures[column].get("bytes") or b"")  # an empty one is a named problem
                labels.write(json.dumps({**cells, **files}, default=str) + "\n")
    return folder


def _rows(tables: Sequence[Path]) -> Iterator[tuple[dict[str, dict[str, Any]], dict[str, Any]]]:
    """Yield the pictures of each row by their columns, the only one as `image`, and its other cells."""
    from pyarrow import parquet

    for file in tables:
        opened = parquet.ParquetFile(file)
        columns = _picture_columns(opened.schema_arrow)
        names = {columns[0]: "image"} if len(columns) == 1 else {name: name for name in columns}
        for batch in opened.iter_batches(batch_size=64):
            for cells in with_microseconds(batch).to_pylist():
                yield {name: cells.pop(column) or {} for column, name in names.items()}, cells
