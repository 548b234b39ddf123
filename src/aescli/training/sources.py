"""Training data by name: where each set lies, what its folder must look like, and its samples.

HumanBeauty and AesMMIT cannot be fetched by `aes`: the first is not public, the second is one archive of 11.5 GB whose
photographs have rights of their own. What is absent is said with the layout to put there.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import NothingMatched, UsageError
from aescli.home import aes_home
from aescli.hub_sets import PREFIX, fetch_set
from aescli.labels.reading import read_labels
from aescli.labels.values import OVERALL, Labelled, LabelledSet, Problem
from aescli.names import escape
from aescli.training.conversations import is_rated_swift, read_rated_swift, read_talks
from aescli.training.samples import LEVELS, Data, Rated, level_of

SUBSETS = ("HumanBeauty-58K", "HumanBeauty-50K")
LAYOUTS = {
    "humanbeauty": (
        "HumanBeauty is not public yet; its authors' layout is\n"
        "  HumanBeauty-58K/label.jsonl   {image_name, source, score from 0 to 1, text_level}\n"
        "  HumanBeauty-58K/images/\n"
        "  HumanBeauty-50K/label.jsonl   the same with score = 12 numbers\n"
        "  HumanBeauty-50K/images/\n"
        "and, if the authors' split is wanted, train_label.jsonl and test_label.jsonl beside them; one subset is enough"
    ),
    "aesmmit": (
        "AesMMIT is YiPo/AesMMIT on the Hub, one archive; unpack it so that there is\n"
        "  AesMMIT.json   [{id, image, conversations: [{from, value}]}]   (or any other single .json or .jsonl)\n"
        "  images/"
    ),
}


def find_data(word: str) -> tuple[str, Path]:
    """Return the name and the place that `NAME`, `NAME=PATH`, `PATH` or `hf:OWNER/NAME` stands for.

    Raises:
        NothingMatched: nothing is there; the hint is the layout to put there.

    """
    if word.startswith(PREFIX):
        return fetch_set(word)
    name, given, place = word.partition("=")
    if not given and name not in LAYOUTS:
        path = Path(word)
        if not path.exists():
            raise NothingMatched(
                f"there is no {escape(word)}", hint=f"--data PATH, or one of {', '.join(LAYOUTS)} with or without =PATH"
            )
        return path.stem if path.is_file() else path.resolve().name, path
    path = Path(place) if given else aes_home() / "data" / name
    if not path.exists():
        layout = LAYOUTS.get(name, "")
        raise NothingMatched(f"{name} is not at {escape(str(path))}", hint=layout or "--data NAME=PATH")
    return name, path


def read_rated(word: str, scale: tuple[float, float] | None = None) -> Data:
    """Read data whose pictures have scores.

    Args:
        word: see `find_data`.
        scale: what scores run from and to; None for 0 to 1 of HumanBeauty, else the labels' smallest and largest.

    Raises:
        NothingMatched: the data are not there, or hold no usable sample.
        UsageError: they cannot be understood, or hold comparisons.

    """
    data = read_judged(word, scale)
    if isinstance(data, LabelledSet):
        raise _no_scores(data.name)
    return data


def read_judged(word: str, scale: tuple[float, float] | None = None) -> Data | LabelledSet:
    """Read what people say of pictures: scores as `read_rated` gives them, comparisons as they stand.

    Raises:
        NothingMatched: the data are not there, or hold no usable sample.
        UsageError: they cannot be understood.

    """
    name, path = find_data(word)
    if path.is_file() and is_rated_swift(path):
        data = read_rated_swift(name, path)
    elif path.is_dir() and (parts := _subset_files(path)):
        data = _read_humanbeauty(name, path, parts)
    else:
        labels = read_labels(path)
        if labels.compares:
            return replace(labels, name=name)
        # The authors' own layout of one subset has words for its levels, and runs from 0 to 1.
        own = any(each.columns.get("text_level") for each in labels.pictures[:1])
        data = _as_data(name, [labels], scale or ((0.0, 1.0) if own else labels.scale))
    _refuse_empty(data, "sample")
    return data


def read_conversations(word: str) -> Data:
    """Read data whose pictures have conversations: LLaVA's JSON, or ms-swift's JSON lines.

    Raises:
        NothingMatched: the data are not there, or hold no usable sample.
        UsageError: they cannot be understood.

    """
    name, path = find_data(word)
    if path.is_dir():
        found = sorted(each for each in path.iterdir() if each.suffix in (".json", ".jsonl"))
        if len(found) != 1:
            listed = ", ".join(escape(each.name) for each in found) or "none"
            raise NothingMatched(
                f"{escape(str(path))} must have one .json or .jsonl of conversations; it has {listed}",
                hint=LAYOUTS.get(name, "--data NAME=FILE"),
            )
        path = found[0]
    data = read_talks(name, path)
    _refuse_empty(data, "conversation")
    return data


def _refuse_empty(data: Data, what: str) -> None:
    if not data.samples:
        first = data.problems[0] if data.problems else data.missing[0].picture if data.missing else "it is empty"
        raise NothingMatched(f"{data.name} has no usable {what}: {first}", hint=LAYOUTS.get(data.name, ""))


def _no_scores(name: str) -> UsageError:
    return UsageError(f"{name} holds comparisons, and this recipe needs scores", hint="--recipe head")


def _subset_files(folder: Path) -> list[Path]:
    """Return the files that a folder's training samples are in; a subset that the authors' split leaves out as well."""
    whole = [folder / subset / "label.jsonl" for subset in SUBSETS]
    train = folder / "train_label.jsonl"
    if not train.is_file():
        return [file for file in whole if file.is_file()]
    named = train.read_text(encoding="utf-8", errors="surrogateescape")
    return [train, *(file for file in whole if file.is_file() and f"{file.parent.name}/" not in named)]


def _read_humanbeauty(name: str, folder: Path, files: Sequence[Path]) -> Data:
    data = _as_data(name, [read_labels(file) for file in files], (0.0, 1.0))
    test = folder / "test_label.jsonl"
    if not test.is_file():
        return data
    aside = _as_data(name, [read_labels(test)], (0.0, 1.0))
    held = {sample.picture for sample in aside.samples}
    return Data(
        name=name,
        samples=tuple(sample for sample in data.samples if sample.picture not in held),
        test=aside.samples,
        problems=(*data.problems, *aside.problems),
        missing=(*data.missing, *aside.missing),
        sha256=hashlib.sha256((data.sha256 + aside.sha256).encode()).hexdigest(),
    )


def _as_data(name: str, sets: Sequence[LabelledSet], scale: tuple[float, float] | None) -> Data:
    if any(labels.compares for labels in sets):
        raise _no_scores(name)
    low, high = scale or (0.0, 1.0)
    if not low < high:
        raise UsageError(f"{name}: every score is {low:g}", hint="--range LO:HI says what scores could be")
    samples: dict[str, Rated] = {}
    missing: list[Rated] = []
    problems: list[Problem] = []
    for labels in sets:
        problems += labels.problems
        for picture in labels.pictures:
            found = _rated(picture, labels.name, low, high)
            if isinstance(found, Problem):
                problems.append(found)
            # Twelve scores say more than one: of a picture in both subsets the twelve are kept.
            elif found.picture not in samples or found.is_expert:
                samples[found.picture] = found
        missing += [Rated(each.path, (0.0,), LEVELS[0], labels.name, each.source) for each in labels.missing]
    digest = hashlib.sha256("".join(labels.sha256 for labels in sets).encode()).hexdigest()
    return Data(name, tuple(samples.values()), (), tuple(problems), tuple(missing), digest, (low, high))


def _rated(picture: Labelled, name: str, low: float, high: float) -> Rated | Problem:
    names = HUMAN_DIMENSIONS if all(each in picture.scores for each in HUMAN_DIMENSIONS) else (OVERALL,)
    if not set(names) <= set(picture.scores):
        return Problem(picture.source, "it has no score")
    scores = tuple((picture.scores[each] - low) / (high - low) for each in names)
    outside = [
        f"{each} {picture.scores[each]:g}" for each, score in zip(names, scores, strict=True) if not _is_in(score)
    ]
    if outside:
        return Problem(picture.source, f"outside of {low:g} to {high:g}: {', '.join(outside)}")
    level = picture.columns.get("text_level", "").strip().lower() or level_of(scores[-1])
    if level not in LEVELS:
        return Problem(picture.source, f"its level is '{escape(level)}', not one of {', '.join(LEVELS)}")
    return Rated(picture.path, scores, level, picture.columns.get("source") or name, picture.source)


def _is_in(score: float) -> bool:
    return 0.0 <= score <= 1.0
