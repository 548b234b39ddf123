"""Labels from where they are: one function for tables, JSON lines, AVA.txt, picture folders, pairs and photo libraries.

Every bad row becomes a problem with file and line; a labelled picture without a file is listed, never passed over.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from aescli.errors import NothingMatched, UsageError
from aescli.labels.ava import read_ava
from aescli.labels.columns import Layout, decode_path, find_picture, read_pair, read_picture, understand
from aescli.labels.embedded import unpack_pictures
from aescli.labels.places import Place, resolve
from aescli.labels.rows import SUFFIXES, TableRow, read_rows
from aescli.labels.values import OVERALL, Labelled, LabelledSet, Pair, Problem
from aescli.labels.votes import are_means
from aescli.labels.xmp import Library, read_library
from aescli.names import escape
from aescli.remote import is_remote, shown

KINDS = ("auto", "xmp")

_STEMS = ("labels", "label", "ratings", "scores", "metadata", "pairs")  # of the file that a folder is searched for
_AVA = "AVA.txt"
_IMAGEFOLDER = "metadata"  # the stem of the file of labels of Hugging Face's imagefolder
# Its splits, by the words that `datasets` knows (data_files.py). What is held out may be numbered: `eval2`, `test-b`.
_TRAINING = re.compile(r"train(ing)?", re.IGNORECASE)
_HELD_OUT = re.compile(r"(test(ing)?|val(id(ation)?)?|dev|eval(uation)?)([-_.]?(\d+|[a-z]))?", re.IGNORECASE)


def read_labels(source: Path, kind: str = "auto", colours: Mapping[str, float] | None = None) -> LabelledSet:
    """Read the labels of a file or of a folder.

    Args:
        source: a table (CSV, TSV, Parquet, JSON lines), an AVA.txt, or a folder that holds one of them; with the kind
            `xmp` a folder of photos.
        kind: `auto` or `xmp`: ratings in sidecars and embedded metadata.
        colours: with `xmp`, what a colour label is worth where a photo has no stars.

    Raises:
        UsageError: there is no such file, a folder has several, or a file has no columns that can be understood.
        NothingMatched: a folder has no labels.
        AesError: the file cannot be read.
        MissingExtra: Parquet needs pyarrow.

    """
    if not source.exists():
        raise UsageError(f"there is no {escape(str(source))}", hint="--data FILE or --data FOLDER")
    if not source.is_dir() and not source.is_file():
        raise UsageError(f"{escape(str(source))} is no regular file", hint="write what comes out of a pipe to a file")
    if kind == "xmp":
        return _collect_library(source, colours or {})
    file, notes = _find_file(source) if source.is_dir() else (source, ())
    rows = read_ava(file) if file.suffix.lower() == ".txt" else unpack_pictures(read_rows(file), file)
    folder = source.resolve() if source.is_dir() else file.resolve().parent
    name = file.stem if file.stem.lower() not in (*_STEMS, "ava", "train", "test") else folder.name
    found = list(rows)
    if source.is_dir() and file.stem.lower() == _IMAGEFOLDER:
        found, more = _take_training(found)
        notes = (*notes, *more)
    labels = _collect(name, file, found)
    return replace(labels, notes=(*notes, *labels.notes))


def _find_file(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the file of labels of a folder, and what to say of others: of splits only `train` is to be learnt from."""
    found = _list_files(folder)
    if not found:
        below = [file for each in _list(folder) if each.is_dir() for file in _list_files(each)]
        training = [file for file in below if _TRAINING.fullmatch(file.parent.name)]
        if training:
            file = _the_only(training, folder)
            return file, _note_splits(file.parent.name, {each.parent.name for each in below})
        raise NothingMatched(
            f"{escape(str(folder))} has no labels: no labels.csv, label.jsonl, metadata.csv or AVA.txt",
            hint=_hint_below(below),
        )
    return _the_only(found, folder), ()


def _hint_below(files: Sequence[Path]) -> str:
    """Return where labels may be, of the files in the folders of a folder."""
    if not files:
        return "--labels xmp   reads ratings from sidecars and from the pictures"
    likely = next((file for file in files if not _HELD_OUT.fullmatch(file.parent.name)), None)
    return (
        f"--data {escape(str(likely))}" if likely else f"held out, and to be named to be read: {escape(str(files[0]))}"
    )


def _the_only(found: Sequence[Path], folder: Path) -> Path:
    if len(found) > 1:
        listed = ", ".join(escape(str(each.relative_to(folder))) for each in found)
        raise UsageError(
            f"{escape(str(folder))} has several files of labels: {listed}", hint=f"--data {escape(str(found[0]))}"
        )
    return found[0]


def _note_splits(training: str, splits: Iterable[str]) -> tuple[str, ...]:
    others = ", ".join(escape(each) for each in sorted(splits) if each != training)
    return (f"{escape(training)}/ alone is read, not {others}",) if others else ()


def _list_files(folder: Path) -> list[Path]:
    return [
        each
        for each in _list(folder)
        if each.name == _AVA or (each.stem.lower() in _STEMS and each.suffix.lower() in SUFFIXES)
    ]


def _list(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{escape(str(folder))} cannot be listed: {error.strerror}") from error


def _collect(name: str, file: Path, rows: Sequence[TableRow | Problem]) -> LabelledSet:
    """Turn the rows of one file into a set."""
    problems = [row for row in rows if isinstance(row, Problem)]
    table = [row for row in rows if isinstance(row, TableRow)]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not table:
        return LabelledSet(name, (), (), tuple(problems), (), None, digest)
    layout = understand(table, file)
    folder = file.parent
    if layout.pairs:
        return replace(_collect_pairs(name, folder, table, problems, digest), notes=layout.notes)
    read = [read_picture(row, layout) for row in table]
    problems += [each for each in read if isinstance(each, Problem)]
    found = _on_one_scale([each for each in read if isinstance(each, Labelled)], layout, problems)
    here, missing = _place(folder, found, problems)
    problems.sort(key=_line)
    return replace(_as_set(name, here, missing, problems, digest, layout), notes=layout.notes)


def _take_training(
    rows: list[TableRow | Problem],
) -> tuple[list[TableRow | Problem], tuple[str, ...]]:
    """Keep the rows of training alone, where one file of an imagefolder names the pictures of all splits."""
    splits = [_split_of(row) if isinstance(row, TableRow) else None for row in rows]
    others = {split for split in splits if split and not _TRAINING.fullmatch(split)}
    training = next((split for split in splits if split and split not in others), None)
    if training is None or not any(map(_HELD_OUT.fullmatch, others)):
        return rows, ()
    return [row for row, split in zip(rows, splits, strict=True) if split not in others], _note_splits(training, others)


def _split_of(row: TableRow) -> str | None:
    """Return the last folder of a row's picture that names a split, else its own folder; `.` where there is none.

    None for a row that is kept whatever comes: it is told later what is wrong with it.
    """
    try:
        folders = PurePath(decode_path(row.cells, find_picture(list(row.cells)))).parts[:-1]
    except ValueError:
        return None
    splits = [each for each in folders if _TRAINING.fullmatch(each) or _HELD_OUT.fullmatch(each)]
    return splits[-1] if splits else folders[-1] if folders else "."


def _on_one_scale(found: list[Labelled], layout: Layout, problems: list[Problem]) -> list[Labelled]:
    """Leave out what has votes alone where the scores of the others are no means of votes, but on another scale."""
    if not layout.score or _scores_are_means(found, layout):
        return found
    why = f"it has no {layout.score}, and its votes are on another scale"
    problems.extend(Problem(each.source, why) for each in found if layout.score not in each.columns)
    return [each for each in found if layout.score in each.columns]


def _scores_are_means(found: Iterable[Labelled], layout: Layout) -> bool:
    return are_means([each for each in found if each.counts and layout.score in each.columns], layout.lowest_level)


def _place(folder: Path, found: Iterable[Labelled], problems: list[Problem]) -> tuple[list[Labelled], list[Labelled]]:
    """Return pictures that are there and pictures that are missing, each once.

    Which of two labels of a picture is meant, nobody can say, so the second is a problem.
    """
    first: dict[object, Labelled] = {}
    here: list[Labelled] = []
    missing: list[Labelled] = []
    for each in found:
        if far := _find_far(each.source, each.path):
            problems.append(far)
            continue
        place = resolve(folder, each.path)
        before = first.setdefault(place.key, each)
        if before is each:
            (here if place.there else missing).append(replace(each, path=place.path))
        else:
            problems.append(Problem(each.source, f"{escape(each.path)} is labelled before, at {before.source}"))
    return here, missing


def _collect_pairs(
    name: str, folder: Path, table: Sequence[TableRow], problems: list[Problem], digest: str
) -> LabelledSet:
    pairs: list[Pair] = []
    here: dict[object, Labelled] = {}
    missing: dict[object, Labelled] = {}
    left_out: list[tuple[Pair, Place, Place]] = []
    for row in table:
        pair = read_pair(row)
        if isinstance(pair, Problem):
            problems.append(pair)
            continue
        if far := _find_far(pair.source, pair.winner, pair.loser):
            problems.append(far)
            continue
        winner, loser = (resolve(folder, path) for path in (pair.winner, pair.loser))
        if winner.key == loser.key:
            problems.append(Problem(pair.source, f"{escape(pair.winner)} is compared with itself"))
            continue
        if pair.tied:
            problems.append(Problem(pair.source, f"a {pair.tied}: neither won"))
            left_out.append((pair, winner, loser))
            continue
        for place in (winner, loser):
            (here if place.there else missing).setdefault(place.key, Labelled(place.path, {}, source=pair.source))
        if winner.there and loser.there:
            pairs.append(replace(pair, winner=here[winner.key].path, loser=here[loser.key].path))
        else:
            gone = winner if not winner.there else loser
            problems.append(Problem(pair.source, f"{escape(gone.path)} is not there"))
            left_out.append((pair, winner, loser))
    problems.sort(key=_line)
    compared = {path for pair in pairs for path in (pair.winner, pair.loser)}
    pictures = tuple(each for each in here.values() if each.path in compared)
    paths = {key: each.path for key, each in here.items()}  # as it was spelled first
    others = (
        replace(pair, winner=paths.get(winner.key, winner.path), loser=paths.get(loser.key, loser.path))
        for pair, winner, loser in left_out
    )
    return LabelledSet(
        name, pictures, (), tuple(problems), tuple(missing.values()), None, digest, tuple(pairs), tuple(others),
        compares=True,
    )  # fmt: skip


def _find_far(source: str, *paths: str) -> Problem | None:
    """Return the problem of a row whose pictures, or some of them, lie elsewhere."""
    far = next((path for path in paths if is_remote(path)), None)
    return Problem(source, f"{escape(shown(far))} is no file of this machine") if far else None


def _collect_library(folder: Path, colours: Mapping[str, float]) -> LabelledSet:
    if not folder.is_dir():
        raise UsageError(f"{escape(str(folder))} is no folder", hint="--labels xmp reads a folder of photos")
    library = read_library(folder, colours)
    digest = hashlib.sha256()
    for each in library.found:
        digest.update(f"{each.path}\0{each.scores[OVERALL]!r}\n".encode(errors="surrogateescape"))
    scores = [each.scores[OVERALL] for each in library.found]
    return LabelledSet(
        name=folder.resolve().name,
        pictures=tuple(library.found),
        dimensions=(OVERALL,) if library.found else (),
        problems=tuple(library.problems),
        missing=tuple(library.missing),
        scale=(min(scores), max(scores)) if scores else None,
        sha256=digest.hexdigest(),
        notes=_note_colours(colours, library) + _note_shared(library.found),
    )


def _note_colours(colours: Mapping[str, float], library: Library) -> tuple[str, ...]:
    """Say which colours no picture has, since programs name them in their own language, and which count for nothing."""
    known = {label.lower() for label in library.labels}
    unused = [name for name in colours if name.lower() not in known]
    notes = []
    if unused:
        listed = escape(", ".join(sorted(library.labels))) or "none at all"
        notes.append(f"no picture has the label {escape(', '.join(unused))}; the labels here are {listed}")
    if library.worthless:
        listed = escape(", ".join(f"{name} {count}" for name, count in sorted(library.worthless.items())))
        notes.append(f"pictures without stars whose colour counts for nothing: {listed}; --labels xmp:COLOUR=SCORE")
    return tuple(notes)


def _note_shared(found: Sequence[Labelled]) -> tuple[str, ...]:
    """Say which sidecars rate more than one picture, such as x.xmp beside x.jpg and x.png."""
    shared = [source for source, count in Counter(each.source for each in found).items() if count > 1]
    if not shared:
        return ()
    what = "one sidecar rates" if len(shared) == 1 else f"{len(shared)} sidecars rate"
    return (f"{what} more than one picture, such as {shared[0]}",)


def _as_set(
    name: str, here: list[Labelled], missing: list[Labelled], problems: list[Problem], digest: str, layout: Layout
) -> LabelledSet:
    scores = [each.scores[OVERALL] for each in here if OVERALL in each.scores]
    scale = (min(scores), max(scores)) if scores else None
    voted = bool(layout.counts) and _scores_are_means(here, layout)
    if voted:
        scale = float(layout.lowest_level), float(layout.lowest_level + len(layout.counts) - 1)
    named = {dimension for each in here for dimension in each.scores}
    dimensions = tuple(each for each in layout.dimensions if each in named)
    return LabelledSet(
        name, tuple(here), dimensions, tuple(problems), tuple(missing), scale, digest,
        lowest_level=layout.lowest_level, scale_stated=voted,
    )  # fmt: skip


def _line(problem: Problem) -> tuple[str, int]:
    file, _, line = problem.source.rpartition(":")
    return file, int(line) if line.isdigit() else 0
