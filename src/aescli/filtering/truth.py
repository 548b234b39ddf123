"""Which rows a condition is true of. A cell that says nothing makes a comparison unknown, and unknown never passes.

Three values, as in SQL: `not` of what is unknown is unknown, so a picture without a sharpness passes neither
`sharpness > 4` nor `not sharpness > 4`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np

from aescli.errors import UsageError
from aescli.filtering.conditions import (
    All,
    Any,
    Arithmetic,
    Column,
    Comparison,
    Condition,
    Holds,
    Not,
    Number,
    OneOf,
    Text,
    Value,
)
from aescli.names import escape

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
Objects = np.ndarray[tuple[int], np.dtype[np.object_]]

WORDS = "flags"  # the column that holds words with blanks between them

_COMPARISONS: Mapping[str, Callable[[Floats, Floats], Bools]] = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "=": np.equal, "!=": np.not_equal,
}  # fmt: skip
_ARITHMETIC: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide,
}  # fmt: skip


class Table(Protocol):
    """Columns of some rows."""

    def __len__(self) -> int: ...

    def numbers(self, name: str) -> Floats:
        """Return a column as numbers, NaN where a cell is none."""
        ...

    def texts(self, name: str) -> Objects:
        """Return a column as text, None where a cell is empty."""
        ...


@dataclass(frozen=True, slots=True)
class Truth:
    """Of each row: whether a condition is surely true, and whether it is surely false."""

    true: Bools
    false: Bools

    @property
    def unknown(self) -> Bools:
        return ~(self.true | self.false)


def judge(condition: Condition, table: Table) -> Truth:
    """Return which rows a condition is true of.

    Raises:
        UsageError: text is compared as a number.

    """
    match condition:
        case Not(part):
            found = judge(part, table)
            return Truth(found.false, found.true)
        case All(parts):
            each = [judge(part, table) for part in parts]
            return Truth(_all(one.true for one in each), ~_all(~one.false for one in each))
        case Any(parts):
            each = [judge(part, table) for part in parts]
            return Truth(~_all(~one.true for one in each), _all(one.false for one in each))
        case OneOf(value, options):
            return judge(Any(tuple(Comparison("=", value, option) for option in options)), table)
        case Holds(text, column):
            return _hold(text.value, column.name, table)
        case Comparison(sign, left, right):
            if isinstance(left, Text) or isinstance(right, Text):
                return _compare_texts(sign, left, right, table)
            return _compare_numbers(sign, left, right, table)


def numbers_of(table: Table, name: str) -> Floats:
    """Return a column as numbers, NaN where a cell is empty.

    Raises:
        UsageError: it is a column of words.

    """
    found = table.numbers(name)
    if not np.isfinite(found).any() and (words := [text for text in table.texts(name) if text is not None]):
        raise UsageError(
            f"the column '{escape(name)}' holds no numbers but '{escape(words[0][:40])}'",
            hint=f"text is compared in single quotes: {escape(name)} = '...'",
        )
    return found


def _all(masks: Iterable[Bools]) -> Bools:
    return reduce(np.logical_and, masks)


def _compare_numbers(sign: str, left: Value, right: Value, table: Table) -> Truth:
    one, other = _numbers(left, table), _numbers(right, table)
    known = np.isfinite(one) & np.isfinite(other)
    with np.errstate(invalid="ignore"):
        found = _COMPARISONS[sign](one, other)
    return Truth(found & known, ~found & known)


def _numbers(value: Value, table: Table) -> Floats:
    match value:
        case Number(number):
            return np.full(len(table), number)
        case Column(name):
            return numbers_of(table, name)
        case Arithmetic(sign, left, right):
            with np.errstate(all="ignore"):  # what comes of a division by zero is not finite, so unknown
                return _ARITHMETIC[sign](_numbers(left, table), _numbers(right, table))
        case Text(text):
            raise UsageError(f"--where: '{escape(text)}' is text, and is used as a number")


def _compare_texts(sign: str, left: Value, right: Value, table: Table) -> Truth:
    if sign not in ("=", "!="):
        raise UsageError(
            f"--where: text is compared with = or !=, not with {sign}", hint="leave the quotes of a number"
        )
    one, other = _texts(left, table), _texts(right, table)
    known = _are_said(one) & _are_said(other)
    same = (one == other).astype(bool)
    found = same if sign == "=" else ~same
    return Truth(found & known, ~found & known)


def _are_said(cells: Objects) -> Bools:
    return np.array([cell is not None for cell in cells], bool)


def _texts(value: Value, table: Table) -> Objects:
    match value:
        case Text(text):
            return np.full(len(table), text, object)
        case Column(name):
            return table.texts(name)
        case _:
            raise UsageError("--where: text is compared with a number", hint="leave the quotes of a number")


def _hold(text: str, column: str, table: Table) -> Truth:
    cells = table.texts(column)
    known = _are_said(cells)
    if column == WORDS:  # no flag is known, too
        found = np.array([text in (cell or "").split() for cell in cells], bool)
        return Truth(found, ~found)
    found = np.array([cell is not None and text in cell for cell in cells], bool)
    return Truth(found & known, ~found & known)
