"""What is wrong with training data, before a GPU is paid for: pictures, scores, duplicates that a split would part."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import PictureError, UsageError
from aescli.images.fingerprints import find_alike, fingerprint
from aescli.images.opening import Opener
from aescli.images.picture import Decoding
from aescli.labels.values import LabelledSet, Problem
from aescli.names import escape
from aescli.runtime import usable_cpus
from aescli.training.conversations import is_rated_swift
from aescli.training.pictures import look_at
from aescli.training.samples import LEVELS, Data, Rated, Sample, Talk, level_of
from aescli.training.sources import find_data, read_conversations, read_judged
from aescli.training.splitting import SplitChoices, split

BINS = 20  # of a histogram of scores


@dataclass(frozen=True, slots=True)
class Check:
    """What was found.

    Attributes:
        name: of the data.
        kind: `scores`, `conversations` or `comparisons`, which a head learns in folds and not in splits.
        counts: samples in all, with twelve scores, and of each split that the seed draws; or comparisons and their
            pictures.
        groups: samples of each source.
        levels: samples of each level word.
        histograms: counts of BINS equal parts of 0 to 1, of `overall` and of each dimension.
        problems: lines that say nothing usable, and pictures that cannot be read.
        missing: pictures that are not there.
        mismatched: samples whose word is another than their score's.
        alike: pictures of different splits that look the same.

    """

    name: str
    kind: str
    counts: Mapping[str, int]
    groups: Mapping[str, int]
    levels: Mapping[str, int] = field(default_factory=dict)
    histograms: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    missing: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    alike: tuple[tuple[str, str], ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing was found that changes what would be trained or measured."""
        return not (self.problems or self.missing or self.alike)


def check_data(
    word: str, choices: SplitChoices, scale: tuple[float, float] | None = None, *,
    tell: Callable[[int, int], None] = lambda _, __: None,
) -> Check:  # fmt: skip
    """Read data as a recipe would, open every picture, and look for near-duplicates across splits.

    Args:
        word: as `sources.find_data` takes it.
        choices: of the splits that would be drawn.
        scale: what scores run from and to.
        tell: is told how many pictures of how many were opened.

    Raises:
        NothingMatched: nothing usable is there.
        UsageError: the data cannot be understood.

    """
    data = _read(word, scale)
    if isinstance(data, LabelledSet):
        return _check_comparisons(data, tell)
    samples = (*data.samples, *data.test)
    pictures = list(dict.fromkeys(sample.picture for sample in samples))
    hashes, unreadable = _hash_all(pictures, tell)
    splits = split(data, choices)
    place = {sample.picture: name for name, each in splits.items() for sample in each}
    known = [picture for picture in pictures if picture in hashes]
    alike = [
        (known[one], known[other])
        for one, other in find_alike([hashes[picture] for picture in known])
        if place[known[one]] != place[known[other]]
    ]
    rated = [sample for sample in samples if isinstance(sample, Rated)]
    return Check(
        name=data.name,
        kind="conversations" if any(isinstance(sample, Talk) for sample in samples) else "scores",
        counts=_count(samples, pictures, splits),
        groups=dict(Counter(sample.group or "(none)" for sample in samples)),
        levels={level: sum(sample.level == level for sample in rated) for level in LEVELS} if rated else {},
        histograms=_histograms(rated),
        problems=(*data.problems, *unreadable),
        missing=tuple(sample.picture for sample in data.missing),
        mismatched=tuple(
            f"{sample.source}: {sample.level} for {sample.overall:g}"
            for sample in rated
            if level_of(sample.overall) != sample.level
        ),
        alike=tuple(alike),
    )


def draw_histogram(counts: Sequence[int]) -> str:
    """Return counts as one line of blocks, the tallest for the largest."""
    blocks = " ▁▂▃▄▅▆▇█"
    largest = max([*counts, 1])
    return "".join(blocks[-(-count * (len(blocks) - 1) // largest)] for count in counts)


def _read(word: str, scale: tuple[float, float] | None) -> Data | LabelledSet:
    """Read data of any kind: conversations where a file has them, else comparisons or scores."""
    name, path = find_data(word)
    if name == "aesmmit" or _has_conversations(path):
        return read_conversations(word)
    return read_judged(word, scale)


def _check_comparisons(labels: LabelledSet, tell: Callable[[int, int], None]) -> Check:
    pictures = [each.path for each in labels.pictures]
    _, unreadable = _hash_all(pictures, tell)
    return Check(
        name=labels.name,
        kind="comparisons",
        counts={"comparisons": len(labels.pairs), "pictures": len(pictures)},
        groups={},
        problems=(*labels.problems, *unreadable),
        missing=tuple(each.path for each in labels.missing),
    )


def _has_conversations(path: Path) -> bool:
    if path.is_dir():
        return False
    if path.suffix == ".json":
        return True
    if path.suffix not in (".jsonl", ".ndjson") or is_rated_swift(path):
        return False
    with path.open(encoding="utf-8", errors="surrogateescape") as stream:
        first = stream.readline(1 << 20)
    return any(f'"{key}"' in first for key in ("conversations", "messages", "query"))


def _hash_all(pictures: Sequence[str], tell: Callable[[int, int], None]) -> tuple[dict[str, int], list[Problem]]:
    hashes: dict[str, int] = {}
    problems = []
    with Opener(Decoding()) as opener, ThreadPoolExecutor(usable_cpus()) as threads:

        def work(path: str) -> int | PictureError:
            found: list[int] = []
            try:
                look_at(path, opener, lambda view: found.append(fingerprint(view)))
            except PictureError as error:
                return error
            return found[0]

        for at, (path, done) in enumerate(zip(pictures, threads.map(work, pictures), strict=True), 1):
            if isinstance(done, PictureError):
                problems.append(Problem(escape(path), done.message.removeprefix(f"{escape(path)}: ")))
            else:
                hashes[path] = done
            tell(at, len(pictures))
    return hashes, problems


def _count(
    samples: Sequence[Sample], pictures: Sequence[str], splits: Mapping[str, Sequence[Sample]]
) -> dict[str, int]:
    if not samples:
        raise UsageError("there are no samples")
    return {
        "samples": len(samples),
        "pictures": len(pictures),
        "with twelve scores": sum(isinstance(sample, Rated) and sample.is_expert for sample in samples),
        **{name: len(each) for name, each in splits.items()},
    }


def _histograms(rated: Sequence[Rated]) -> dict[str, tuple[int, ...]]:
    found = {}
    if rated:
        found["overall"] = _bin([sample.overall for sample in rated])
    experts = [sample for sample in rated if sample.is_expert]
    for at, name in enumerate(HUMAN_DIMENSIONS if experts else ()):
        found[name] = _bin([sample.scores[at] for sample in experts])
    return found


def _bin(values: Sequence[float]) -> tuple[int, ...]:
    return tuple(int(count) for count in np.histogram(values, BINS, (0.0, 1.0))[0])
