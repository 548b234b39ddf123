"""Which pictures a model's ratings were learnt from: no test on them may flatter it unnoticed.

A model folder may hold `seen.txt`, a line for each picture: the first sixteen hexadecimal digits of its SHA-256, and
the sixteen of its difference hash (`images.fingerprints`), by which it is known when it was saved again or made
smaller. The card of a trained head says what the file's own SHA-256 is: a list that was lost must not be taken for an
empty one.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aescli.errors import WeightsUnavailable
from aescli.images.fingerprints import is_telling
from aescli.models.files import read_section
from aescli.names import escape

SEEN_FILE = "seen.txt"

_HINT = "copy the whole model folder again"
_DIGITS = 16  # of 64: two pictures out of a million share them once in forty million sets
# Of 64: 99 in a hundred photographs that were saved again at half the size are known by them, and of 5,600 others none
# was taken for one of 4,000.
_BITS = 2


@dataclass(frozen=True, slots=True)
class SeenPictures:
    """Pictures that a model was trained on: beginnings of the SHA-256 of their files, and their difference hashes."""

    contents: frozenset[str] = frozenset()
    looks: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))

    def holds(self, content: str, look: int | None) -> bool:
        """Tell whether a picture is among them, by the SHA-256 of its file or by its difference hash."""
        if content[:_DIGITS] in self.contents:
            return True
        if look is None or not is_telling(look):
            return False
        return bool((np.bitwise_count(self.looks ^ np.uint64(look)) <= _BITS).any())


def write_seen(folder: Path, pictures: Iterable[tuple[str, int | None]]) -> None:
    """Write which pictures a model was trained on, by the SHA-256 of each file, and by its difference hash if known."""
    lines = sorted({f"{content[:_DIGITS]}{'' if look is None else f' {look:016x}'}" for content, look in pictures})
    (folder / SEEN_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def read_seen(folder: Path | None) -> SeenPictures:
    """Return what a model folder says of the pictures it was trained on; nothing where it says nothing.

    Raises:
        WeightsUnavailable: the file cannot be read, or is not the one that was written at the end of training.

    """
    if folder is None:
        return SeenPictures()
    file, recorded = folder / SEEN_FILE, read_section(folder, "training").get("seen_sha256")
    try:
        data = file.read_bytes() if recorded or file.is_file() else b""
        lines = [line.split() for line in data.decode("ascii").splitlines() if line.strip()]
        looks = [int(look, 16) for _, *rest in lines for look in rest[:1]]
        seen = SeenPictures(
            frozenset(content for content, *_ in lines),
            np.array([each for each in looks if is_telling(each)], np.uint64),
        )
    except (OSError, ValueError, OverflowError) as error:
        raise WeightsUnavailable(f"{escape(str(file))} cannot be read: {error}", hint=_HINT) from error
    if recorded and hashlib.sha256(data).hexdigest() != recorded:
        raise WeightsUnavailable(f"{escape(str(file))} was changed after training", hint=_HINT)
    return seen
