"""A trained head as a model folder: weights, graph, card and report, all at once or not at all.

Everything is written to a hidden folder beside the target, which is renamed at the end.
"""

import contextlib
import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from aescli.cards import CARD_FILE, ModelCard
from aescli.dimensions import Scale
from aescli.errors import AesError, OutputFailed, PictureError, UsageError
from aescli.images.opening import Opener
from aescli.images.source import read_file
from aescli.models import technical
from aescli.models.base import FeatureExtractor, Features
from aescli.models.files import GRAPH_FILE, check_graph, hash_files, is_one_file, read_section
from aescli.models.outputs import describe_outputs
from aescli.models.seen import SEEN_FILE, write_seen
from aescli.models.trained_head import FAMILY, WEIGHTS_FILE, Head, describe_head, write_head
from aescli.names import escape
from aescli.output import find_umask, sync_file, sync_folder
from aescli.registry import find_card
from aescli.runtime import Device, Placement, open_session
from aescli.training.page import HeldOut, render_page
from aescli.training.reports import TrainReport

REPORT_FILE, PAGE_FILE = "report.json", "report.html"

_PART = ".aes-"  # of a folder that is not finished: short, since the model's own name may be long
_OURS = frozenset({CARD_FILE, WEIGHTS_FILE, GRAPH_FILE, REPORT_FILE, PAGE_FILE, SEEN_FILE})
_BETWEEN, _DAY = 60.0, 86_400.0  # seconds: two renames take a few milliseconds, and writing a folder some seconds
_COMPARED = 8  # pictures that the graph is run on before it gets its name
_TOLERANCE = 0.02  # of the range: quantised graphs round differently where their features are an output


@dataclass(frozen=True, slots=True)
class Trained:
    """A head, and what it came of.

    Args:
        head: the layers.
        extractor: the model that gives its features.
        scales: the native range of each dimension.
        known_by: SHA-256 and difference hash of each picture that it was trained on.

    """

    head: Head
    extractor: FeatureExtractor
    scales: tuple[Scale, ...]
    known_by: tuple[tuple[str, int | None], ...]

    def metadata(self) -> dict[str, str]:
        """Return what its files say of its outputs, beside the card."""
        return describe_outputs(self.head.dimensions, self.scales, self.head.levels, self.extractor)


def check_target(target: Path, base: ModelCard, *, fresh: bool) -> None:
    """Refuse a folder that holds anything, but for an older model of ours that may be replaced, or cannot be written.

    Args:
        target: the new folder.
        base: what the new model stands on, and must not replace.
        fresh: an older model may be replaced.

    Raises:
        UsageError: it exists; or with `fresh`, it holds what is not ours; or it cannot be a folder.
        OutputFailed: it cannot be looked into or written.

    """
    if target.name in ("", ".."):
        raise UsageError("the new model has no name", hint="--out FOLDER")
    if target.is_symlink() and not target.exists():
        raise UsageError(f"{escape(str(target))} is a link to what is not there", hint="--out FOLDER")
    if base.folder and target.exists() and target.samefile(base.folder):
        raise UsageError(f"{escape(str(target))} is the model that the new one stands on", hint="--out FOLDER")
    _bring_back(_place_of(target))
    _sweep(_place_of(target).parent)
    _check_content(target, fresh=fresh)
    _check_parent(target)


def _check_content(target: Path, *, fresh: bool) -> None:
    try:
        found = sorted(target.iterdir()) if target.exists() else []
    except NotADirectoryError:
        raise UsageError(f"{escape(str(target))} is a file", hint="--out FOLDER") from None
    except OSError as error:
        raise OutputFailed(f"{escape(str(target))} cannot be written: {error.strerror}") from error
    if found and not fresh:
        raise UsageError(f"{escape(str(target))} exists", hint="--fresh replaces a model that was trained before")
    foreign = [each for each in found if each.name not in _OURS or each.is_symlink() or not each.is_file()]
    if found and not foreign and not read_section(target, "training"):
        foreign = found  # files of these names, and no card of ours that says where they come from
    if foreign:
        raise UsageError(f"{escape(str(target))} holds {escape(foreign[0].name)}, which no training wrote")


def _check_parent(target: Path) -> None:
    """Refuse a folder that cannot be made: training takes minutes, and its end is no time to learn that."""
    parent = _place_of(target).parent
    while not os.path.lexists(parent):
        parent = parent.parent
    if not parent.is_dir():
        kind = "a link to what is not there" if not parent.exists() else "a file"
        raise UsageError(f"{escape(str(target))} cannot be made: {escape(str(parent))} is {kind}", hint="--out FOLDER")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputFailed(f"{escape(str(target))} cannot be written: {escape(str(parent))} is not yours to write to")


def _place_of(target: Path) -> Path:
    """Return where a folder is: a link to one stays, and what it points to is written."""
    return target.resolve() if target.is_symlink() else target


def write_folder(
    trained: Trained, report: TrainReport, held_out: HeldOut, opener: Opener, *, fresh: bool
) -> TrainReport:
    """Write a model folder; with `fresh` in the place of an older one.

    Returns:
        The report with the hash of the weights.

    Raises:
        UsageError: something has come there that is not ours.
        OutputFailed: it cannot be written.
        AesError: the graph does not say what the head says.

    """
    target = _place_of(report.folder)
    part = _part_of(target)
    try:
        write_head(trained.head, part / WEIGHTS_FILE, trained.metadata())
        write_seen(part, trained.known_by)  # what the base has seen taught its own score, not this one's features
        report = replace(report, weights_sha256=hash_files([part / WEIGHTS_FILE]))
        base = trained.extractor.card
        if base.family == "onnx" and is_one_file(base.folder or Path()):
            _write_graph(trained, part / GRAPH_FILE, held_out.paths, opener)
        card = _card(trained, report, part)
        _write_json(part / CARD_FILE, card)
        _write_json(part / REPORT_FILE, report.as_json())
        (part / PAGE_FILE).write_text(render_page(report, held_out, opener), encoding="utf-8")
        find_card(f"{part}/")
        for file in part.iterdir():
            sync_file(file)
        part.chmod(0o777 & ~find_umask())  # a temporary folder is for its owner alone
        _take_place(part, target, fresh=fresh)
    except OSError as error:
        raise OutputFailed(f"{escape(str(report.folder))} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return report


def _part_of(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=_PART, dir=target.parent))
    except OSError as error:
        raise OutputFailed(f"{escape(str(target))} cannot be written: {error.strerror}") from error


def _take_place(part: Path, target: Path, *, fresh: bool) -> None:
    """Give the new folder its name; an older one is moved away first, and is back if that fails.

    Training takes a while: what has come there since is looked at again, and without `fresh` a name that is not free
    is not taken, since a folder that holds anything cannot be renamed onto.
    """
    _check_content(target, fresh=fresh)
    if not fresh or not target.exists():
        part.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=_PART, dir=target.parent))
    old = aside / target.name
    try:
        target.rename(old)
        part.rename(target)
        sync_folder(target.parent)  # before the older one goes
    except BaseException:  # a stop is one
        with contextlib.suppress(OSError):  # where the name is not free the older one stays aside
            old.rename(target)
        with contextlib.suppress(OSError):
            aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _bring_back(target: Path) -> None:
    """Give a model its name back whose replacement was killed between two renames: it stands aside, under its name."""
    if os.path.lexists(target):
        return
    for old in target.parent.glob(f"{_PART}*/{glob.escape(target.name)}"):
        aside = time.time() - old.parent.stat().st_mtime  # seconds: it may be that another run is at it now
        if aside > _BETWEEN and read_section(old, "training"):
            old.rename(target)
            shutil.rmtree(old.parent, ignore_errors=True)
            return


def _sweep(folder: Path) -> None:
    """Remove what a training that was killed in its last seconds has left, once nobody can be at it any more."""
    for part in folder.glob(f"{_PART}????????"):
        with contextlib.suppress(OSError):  # at worst a hidden folder stays
            is_ours = all(each.name in _OURS and each.is_file() for each in part.iterdir())
            if is_ours and time.time() - part.stat().st_mtime > _DAY:
                shutil.rmtree(part)


def _write_graph(trained: Trained, file: Path, paths: Sequence[str], opener: Opener) -> None:
    from aescli.models.onnx_graph import replace_head

    card = trained.extractor.card
    graph = replace_head(check_graph(card).read_bytes(), trained.head, card.id, trained.metadata())
    file.write_bytes(graph)
    session = open_session(graph, Device("cpu"), Placement((Device("cpu"),), "parity", explicit=True))
    widths = np.array([scale.high - scale.low for scale in trained.scales])
    compared = list(islice(_extract_again(paths, trained.extractor, opener), _COMPARED))
    if not compared:
        raise AesError("no picture could be read again: the graph was compared with the head on none")
    for path, prepared, features in compared:
        expected = trained.head.rate(features.values[None])[0]  # (dimensions,)
        found = np.concatenate(
            [np.ravel(each) for each in session.run_named({"pixels": prepared.pixels[None]}).values()]
        )
        if not (np.abs(found - expected) / widths).max() <= _TOLERANCE:  # a NaN is no small difference
            raise AesError(f"the graph is not the head: on {escape(path)} it gives {found}, not {expected}")


def _extract_again(
    paths: Sequence[str], extractor: FeatureExtractor, opener: Opener
) -> Iterator[tuple[str, Any, Features]]:
    """Yield pictures, prepared and with their features, but for those that have gone since they were trained on."""
    for path in paths:
        try:
            with opener.open(read_file(path).data, path) as view:
                prepared = extractor.prepare(view)
        except PictureError:
            continue
        (features,) = extractor.extract([prepared])
        if isinstance(features, Features):
            yield path, prepared, features


def _card(trained: Trained, report: TrainReport, folder: Path) -> dict[str, Any]:
    base, learnt = trained.extractor.card, trained.head.dimensions[1:]
    graph = folder / GRAPH_FILE
    has_graph = graph.is_file()
    main = graph if has_graph else folder / WEIGHTS_FILE
    shown = f"{report.pictures} pictures of {report.data}"
    low, high = report.ranges["overall"]
    return {
        "family": "onnx" if has_graph else FAMILY,
        "title": f"a {report.kind} head on {base.id}, trained on {shown}",
        "revision": hash_files([main]),
        "native_range": [low, high],
        "read_out": "head",
        "dimensions": _dimensions(report, learnt, measured=has_graph),
        "preprocessing": base.preprocessing,
        "fit": base.fit,
        "size_bytes": main.stat().st_size,
        "code_license": base.code_license,
        "weights_license": None,  # nobody but the owner of the labels can say
        "base_license": _base_license(base),
        "non_commercial": True if base.non_commercial else None,
        "trained_on": [f"{shown} (labels {report.labels_sha256[:12]}, pictures {report.pictures_sha256[:12]})"]
        + [f"{each} ({base.id})" for each in base.trained_on],
        "leaks": list(dict.fromkeys([report.data, *base.leaks])),
        "needs": "" if has_graph else base.needs,
        "exact": base.exact,
        "note": report.verdict,
        "warning": base.warning,
        "base": {"name": _name_of(base), "revision": base.revision},
        "export": dict(read_section(base.folder, "export")) if has_graph else {},
        "head": describe_head(trained.head),
        "training": {**_training(report), "seen_sha256": hash_files([folder / SEEN_FILE])},
    }  # fmt: skip


def _training(report: TrainReport) -> dict[str, Any]:
    fields = report.as_json()
    # What differs between runs, and what is in report.json.
    left_out = ("folder", "problems", "missing", "notes", "seconds")
    return {name: value for name, value in fields.items() if name not in left_out}


def _dimensions(report: TrainReport, learnt: Sequence[str], *, measured: bool) -> list[dict[str, Any]]:
    """Return what was learnt, in the order of the graph's output, and what is measured on any picture."""
    found: list[dict[str, Any]] = [
        {"name": name, "meaning": f"learnt from {report.data}", "native_range": list(report.ranges[name])}
        for name in learnt
    ]
    if measured:
        known = [each for each in technical.DIMENSIONS if each.name not in learnt]
        found += [{"name": each.name, "meaning": each.meaning} for each in known]
    return found


def _base_license(base: ModelCard) -> str | None:
    return " and ".join(each for each in (base.weights_license, base.base_license) if each) or None


def _name_of(base: ModelCard) -> str:
    """Return a name by which the base is found again from anywhere."""
    if base.folder is None or base.id == "mini":
        return base.id
    return str(base.folder.resolve())


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
