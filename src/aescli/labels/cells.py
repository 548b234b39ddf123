"""One cell of a table of labels as a number or as text; anything else is refused by the name of its column."""

import math
from decimal import Decimal

from aescli.names import escape

LARGEST = 1e9  # of a number: squares and sums of larger ones lose what tells two ratings apart, or overflow
MOSTLY = 0.9  # of cells are alike: then the others are mistakes
_NOTHING = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})  # as R, pandas and spreadsheets write it


def number(cell: object, name: str) -> float:
    """Return a cell as a finite number.

    Raises:
        ValueError: it is none, or too large to be calculated with; the message names the column.

    """
    try:
        found = float("none" if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal) else cell)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is no number but {shown(cell)}") from None
    if isinstance(cell, str) and "_" in cell:  # Python reads 1_000, and nobody who writes tables
        raise ValueError(f"{name} is no number but {shown(cell)}")
    if not math.isfinite(found):
        raise ValueError(f"{name} is not finite: {shown(cell)}")
    if abs(found) > LARGEST:
        raise ValueError(f"{name} is {found:g}: more than {LARGEST:g} is no rating")
    return found


def is_number(cell: object) -> bool:
    """Tell whether a cell is one that `number` takes."""
    try:
        number(cell, "")
    except ValueError:
        return False
    return True


def is_empty(cell: object) -> bool:
    """Tell whether a cell says that there is no value: nothing at all, NaN, or a word that programs write for it."""
    if isinstance(cell, float | Decimal):
        return math.isnan(cell)
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in _NOTHING)


def without_point(word: str) -> str:
    """Return a whole number without the `.0` that programs write where a column has gaps; any other word as it is."""
    whole, _, rest = word.partition(".")
    return whole if rest and not rest.strip("0") and whole.lstrip("-").isdigit() else word


def text(cell: object, name: str) -> str:
    """Return a cell as text that may be a path.

    Raises:
        ValueError: it is empty, is no text, or holds a NUL; the message names the column.

    """
    if not isinstance(cell, str) or not cell.strip():
        raise ValueError(f"{name} is empty" if cell in (None, "") or isinstance(cell, str) else f"{name} is no text")
    if "\0" in cell:
        raise ValueError(f"{name} holds a NUL")
    return cell


def shown(cell: object) -> str:
    """Return a cell as messages may quote it: escaped, and not long."""
    quoted = repr(cell)
    return escape(quoted if len(quoted) <= 40 else f"{quoted[:37]}...")
