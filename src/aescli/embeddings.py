"""Score embeddings that were stored before: no picture, no tower, a matrix product."""

import math
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from aescli.cards import ModelCard
from aescli.errors import AesError, ErrorCode, MissingExtra, UsageError
from aescli.models.clip_head import Head, load_head
from aescli.models.loading import locate
from aescli.results import Failure, Row, Score

COLUMNS = ("path", "embedding")


def score_embeddings(file: Path, card: ModelCard) -> Generator[Row]:
    """Yield one row for each row of a Parquet file with `path` and `embedding`.

    Raises:
        UsageError: the model has no head on embeddings.
        AesError: the file cannot be read, or its embeddings are of another model.

    """
    if card.family != "clip_head":
        raise UsageError(
            f"{card.id} does not score embeddings", hint="laion-v2 does, and what aes models import writes"
        )
    head = load_head(card, locate(card))
    for at, batch in enumerate(_batches(file)):
        if at == 0:
            _refuse_another_model(batch, head, card)
        for path, values in zip(batch["path"], batch["embedding"], strict=True):
            yield _rate(path, values, head, card)


def _batches(file: Path) -> Iterator[dict[str, list[Any]]]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None
    try:
        opened = parquet.ParquetFile(file)
        _refuse_other_columns(opened.schema_arrow, file)
        for batch in opened.iter_batches(columns=list(COLUMNS)):
            yield batch.to_pydict()
    except (OSError, arrow.ArrowException) as error:
        raise AesError(f"{file} cannot be read: {error}") from error


def _refuse_other_columns(schema: Any, file: Path) -> None:
    """Refuse a table whose columns are no paths and lists of numbers."""
    from pyarrow import types

    missing = set(COLUMNS) - set(schema.names)
    if missing:
        raise AesError(f"{file} has no column {', '.join(sorted(missing))}", hint="it needs path and embedding")
    kind = schema.field("embedding").type
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not lists or not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
        raise AesError(f"{file}: its embeddings are no lists of numbers but {kind}")


def _refuse_another_model(batch: dict[str, list[Any]], head: Head, card: ModelCard) -> None:
    """Refuse embeddings of which none has the width that the head takes."""
    widths = {len(values) for values in batch["embedding"] if values is not None}
    if widths and head.width not in widths:
        raise AesError(f"the embeddings have {min(widths)} numbers, {card.id} takes {head.width}")


def _rate(path: object, values: list[Any] | None, head: Head, card: ModelCard) -> Row:
    if path is None:
        raise AesError("a row has an embedding and no path")
    where = (card.id, card.revision, "numpy", card.read_out)
    if values is None or len(values) != head.width or None in values:
        found = "there is no embedding" if values is None else f"{len(values)} numbers, not {head.width}"
        found = "the embedding lacks numbers" if values is not None and None in values else found
        return Failure(str(path), ErrorCode.CORRUPT, found, *where)
    raw = float(head.rate(np.array([values], np.float64))[0])
    if not math.isfinite(raw):
        message = "the embedding is zero or holds what is no finite number"
        return Failure(str(path), ErrorCode.NON_FINITE, message, *where)
    return Score(str(path), card.scale.out_of_ten(raw), raw, *where)
