"""Join the rows of several outputs of `aes score`, word for word, and find what is missing.

Of a picture that stands in several files one row is taken: one with a score before one that failed, then that of the
first file. Two scores of one picture that differ, or two models, are no parts of one whole and are refused. It takes
about 200 bytes of memory for each row.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from aescli import names
from aescli.errors import AesError, UsageError
from aescli.images.find import Found
from aescli.parts import Format, Part, PartRow

_SHARD = re.compile(r"(\d{5,})-of-(\d{5,})")


@dataclass(frozen=True, slots=True)
class Taken:
    """Which file gives the row of a picture, and the hash of what it says."""

    file: int
    scored: bool
    said: int


@dataclass(slots=True)
class Merged:
    """What came together.

    Args:
        rows: that were written.
        failed: of them, without a score.
        twice: rows left out, since another file has the same picture.
        taken: for the hash of each picture's name, the file that gives its row.

    """

    rows: int = 0
    failed: int = 0
    twice: int = 0
    taken: dict[int, Taken] = field(default_factory=dict)


def join(parts: Sequence[Part], kind: Format, stream: BinaryIO) -> Merged:
    """Write the rows of all parts, in the order of the parts.

    Raises:
        UsageError: the parts have other columns, or are of other models.
        AesError: a part cannot be read, ends too early, or has another score of the same picture.

    """
    head = _common_head(parts, kind)
    merged = Merged()
    _choose(parts, kind, merged)
    kind.begin(stream, head)
    for number, part in enumerate(parts):
        for row in kind.rows(part):
            if merged.taken[hash(row.path)].file != number:
                merged.twice += 1
                continue
            kind.write(row.content)
            merged.rows += 1
            merged.failed += not row.scored
    kind.finish()
    return merged


def missing_inputs(inputs: Iterable[Found], merged: Merged, kind: Format) -> Iterable[str]:
    """Yield the paths of inputs that have no row."""
    return (found.path for found in inputs if hash(kind.spell(found.path)) not in merged.taken)


def missing_shards(parts: Sequence[Part]) -> list[str]:
    """Return the shards that no part is, told by names such as `scores-00003-of-00008.csv`.

    Raises:
        UsageError: they are shards of several numbers.

    """
    found = [match for part in parts if (match := _SHARD.search(part.name.rpartition("/")[2]))]
    counts = sorted({int(match[2]) for match in found})
    if len(counts) > 1:
        raise UsageError(f"these are shards of {' and of '.join(map(str, counts))}: parts of several wholes")
    have = {int(match[1]) for match in found}
    return [f"{index}/{count}" for count in counts for index in range(count) if index not in have]


def _common_head(parts: Sequence[Part], kind: Format) -> Any:
    first = kind.head(parts[0])
    for part in parts[1:]:
        if kind.head(part) != first:
            raise UsageError(
                f"{names.escape(part.name)} has other columns than {names.escape(parts[0].name)}",
                hint="merge outputs with the same --dims",
            )
    return first


def _choose(parts: Sequence[Part], kind: Format, merged: Merged) -> None:
    """Decide which file gives the row of each picture."""
    model: tuple[str, ...] | None = None
    for number, part in enumerate(parts):
        for row in kind.rows(part):
            model = model or row.model
            if row.model != model:
                raise UsageError(
                    f"{names.escape(part.name)} has rows of {' '.join(row.model)}, others are of {' '.join(model)}",
                    hint="scores are comparable within one model only",
                )
            before = merged.taken.get(hash(row.path))
            mine = Taken(number, row.scored, hash(str(row.content)))
            if before is None or (row.scored and not before.scored):
                merged.taken[hash(row.path)] = mine
            elif row.scored and before.file != number and before.said != mine.said:
                raise _conflict(row, part, parts[before.file])


def _conflict(row: PartRow, part: Part, other: Part) -> AesError:
    return AesError(
        f"{names.escape(part.name)} and {names.escape(other.name)} have different scores of {names.escape(row.path)}",
        hint="merge outputs of one model and one set of options",
    )
