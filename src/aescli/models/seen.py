"""Which pictures a model's ratings were learnt from, told by their bytes: no test on them may flatter it unnoticed.

A model folder may hold `seen.txt`, a line for each picture: the first sixteen hexadecimal digits of its SHA-256. The
card of a trained head says what the file's own SHA-256 is: a list that was lost must not be taken for an empty one.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from aescli.errors import WeightsUnavailable
from aescli.models.files import read_section
from aescli.names import escape

SEEN_FILE = "seen.txt"

_HINT = "copy the whole model folder again"
_DIGITS = 16  # of 64: two pictures out of a million share them once in forty million sets


def write_seen(folder: Path, hashes: Iterable[str]) -> None:
    """Write which pictures a model was trained on, by the SHA-256 of each file."""
    lines = sorted({each[:_DIGITS] for each in hashes})
    (folder / SEEN_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def read_seen(folder: Path | None) -> frozenset[str]:
    """Return what a model folder says of the pictures it was trained on; nothing where it says nothing.

    Raises:
        WeightsUnavailable: the file cannot be read, or is not the one that was written at the end of training.

    """
    if folder is None:
        return frozenset()
    file, recorded = folder / SEEN_FILE, read_section(folder, "training").get("seen_sha256")
    try:
        data = file.read_bytes() if recorded or file.is_file() else b""
        seen = frozenset(data.decode("ascii").split())
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(f"{escape(str(file))} cannot be read: {error}", hint=_HINT) from error
    if recorded and hashlib.sha256(data).hexdigest() != recorded:
        raise WeightsUnavailable(f"{escape(str(file))} was changed after training", hint=_HINT)
    return seen


def count_seen(seen: frozenset[str], hashes: Iterable[str]) -> int:
    """Return how many pictures are among those a model was trained on, by the SHA-256 of each file."""
    return sum(each[:_DIGITS] in seen for each in hashes)
