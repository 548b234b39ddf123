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
    for batch in _batches(file):
        yield from _rate(batch, head, card)


def _batches(file: Path) -> Iterator[dict[str, list[Any]]]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None
    try:
        opened = parquet.ParquetFile(file)
        missing = set(COLUMNS) - set(opened.schema_arrow.names)
        if missing:
            raise AesError(f"{file} has no column {', '.join(sorted(missing))}", hint="it needs path and embedding")
        for batch in opened.iter_batches(columns=list(COLUMNS)):
            yield batch.to_pydict()
    except (OSError, arrow.ArrowException) as error:
        raise AesError(f"{file} cannot be read: {error}") from error


def _rate(batch: dict[str, list[Any]], head: Head, card: ModelCard) -> Iterator[Row]:
    for path, values in zip(batch["path"], batch["embedding"], strict=True):
        if values is None or len(values) != head.width:
            found = "none" if values is None else len(values)
            raise AesError(f"the embedding of {path} has {found} numbers, {card.id} takes {head.width}")
        raw = float(head.rate(np.array([values], np.float64))[0])
        if math.isfinite(raw):
            overall = card.scale.out_of_ten(raw)
            yield Score(str(path), overall, raw, card.id, card.revision, "numpy", card.read_out)
        else:
            message = "the embedding is zero or holds what is no finite number"
            yield Failure(str(path), ErrorCode.NON_FINITE, message, card.id, card.revision, "numpy", card.read_out)
