"""Samples in splits: drawn with a seed, from each group alike, by picture, and written to disk once.

All samples of a picture lie in one split. A file of a split is written whole or not at all, and never appended to.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aescli.errors import AesError, UsageError
from aescli.names import escape
from aescli.output import replace_file
from aescli.training.samples import Data, Sample, as_fields, from_fields

SPLITS = ("train", "validation", "voter", "test")

Splits = Mapping[str, tuple[Sample, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitChoices:
    """Shares of the pictures, each from 0 to below 1; what is left is trained on.

    Args:
        validation: for choosing the best checkpoint.
        voter: for fitting the MetaVoter on samples that neither training nor that choice saw; recipe multihead.
        test: for the results that the card states; what the data's authors set aside takes its place.
        seed: of the drawing.

    """

    validation: float = 0.05
    voter: float = 0.05
    test: float = 0.1
    seed: int = 42

    def __post_init__(self) -> None:
        shares = (self.validation, self.voter, self.test)
        if self.seed < 0:
            raise UsageError("splits.seed is 0 or more")
        if min(shares) < 0 or sum(shares) >= 1:
            raise UsageError(
                "shares of splits are 0 or more, and leave some to train on",
                hint="--validation .05 --voter .05 --test .1",
            )


def split(data: Data, choices: SplitChoices) -> Splits:
    """Draw splits.

    Returns:
        Samples by the names in SPLITS, in the order of the data; the test split is that of the authors if there is one.

    """
    groups: dict[str, dict[str, None]] = {}
    seen: set[str] = set()
    for sample in data.samples:
        if sample.picture not in seen:
            seen.add(sample.picture)
            groups.setdefault(sample.group, {})[sample.picture] = None
    place: dict[str, str] = {}
    for group, pictures in sorted(groups.items()):
        place |= _draw(list(pictures), group, choices, test=not data.test)
    found = {name: tuple(each for each in data.samples if place[each.picture] == name) for name in SPLITS}
    return {**found, "test": data.test} if data.test else found


def write_splits(folder: Path, splits: Splits) -> dict[str, str]:
    """Write each split as JSON lines, and return their SHA-256.

    Raises:
        OutputFailed: the folder cannot be written.

    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in SPLITS:
        with replace_file(folder / f"{name}.jsonl") as stream:
            stream.write(_lines(splits[name]))
    return hash_splits(splits)


def hash_splits(splits: Splits) -> dict[str, str]:
    """Return the SHA-256 of each split as it is written."""
    return {name: hashlib.sha256(_lines(splits[name])).hexdigest() for name in SPLITS}


def read_splits(folder: Path) -> tuple[Splits, dict[str, str]]:
    """Return what `write_splits` wrote, and its SHA-256.

    Raises:
        AesError: a file is missing, or is none of ours.

    """
    splits, hashes = {}, {}
    for name in SPLITS:
        file = folder / f"{name}.jsonl"
        try:
            content = file.read_bytes()
            splits[name] = tuple(from_fields(json.loads(line)) for line in content.splitlines())
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise AesError(
                f"{escape(str(file))} cannot be read: {error}", hint="start anew in another folder"
            ) from error
        hashes[name] = hashlib.sha256(content).hexdigest()
    return splits, hashes


def _lines(samples: Sequence[Sample]) -> bytes:
    return "".join(json.dumps(as_fields(sample)) + "\n" for sample in samples).encode()


def _draw(pictures: Sequence[str], group: str, choices: SplitChoices, *, test: bool) -> dict[str, str]:
    """Return the split of each picture of a group."""
    spice = int.from_bytes(hashlib.sha256(group.encode(errors="surrogateescape")).digest()[:8], "big")
    order = np.random.default_rng((choices.seed, spice)).permutation(len(pictures))
    shares = (("validation", choices.validation), ("voter", choices.voter), ("test", choices.test if test else 0.0))
    names = ["train"] * len(pictures)
    at = 0
    for name, share in shares:
        count = round(share * len(pictures))
        for each in order[at : at + count]:
            names[int(each)] = name
        at += count
    return dict(zip(pictures, names, strict=True))
