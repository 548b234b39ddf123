"""Labelled sets as items: what `aes bench scores`, `humanbeauty`, `ava`, `pairs` and `robust` are about."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from aescli.benchmarking.items import Item
from aescli.benchmarking.lines import why
from aescli.errors import AesError, NothingMatched
from aescli.labels.cells import is_empty
from aescli.labels.values import Labelled, LabelledSet
from aescli.names import escape

_GROUPS = ("group", "photographer", "series", "user")


def labelled_items(
    found: LabelledSet, suite: str, *, scale: tuple[float, float] | None = None, only: frozenset[str] = frozenset()
) -> list[Item]:
    """Return an item for each labelled picture.

    Args:
        found: what the labels say.
        suite: which benchmark.
        scale: lowest and highest label possible; None for what the labels say of it.
        only: file names, with or without suffix, of the pictures that are wanted; empty for all.

    Raises:
        NothingMatched: no labelled picture is there, or none is wanted.

    """
    pictures = [each for each in found.pictures if not only or _names(each.path) & only]
    if not pictures:
        raise NothingMatched(f"{escape(found.name)} has no labelled picture that is here", hint=_hint(found, only))
    folder = os.path.commonpath([os.path.dirname(each.path) for each in pictures])  # noqa: PTH120 - bytes stay exact
    return [
        Item(
            suite=suite,
            split=found.name,
            name=os.path.relpath(each.path, folder or "."),
            path=Path(each.path),
            sources=tuple(filter(None, (found.name, each.columns.get("source", "")))),
            labels=dict(each.scores),
            label_range=scale or found.scale,
            range_guessed=not (scale or found.scale_stated),
            groups={"group": group} if (group := find_group(each.columns)) else {},
        )
        for each in pictures
    ]


def find_group(columns: Mapping[str, str]) -> str:
    """Return whose a picture or a comparison is, of one photographer or series; empty where no column says so."""
    known = {name.strip().lower(): cell for name, cell in columns.items()}
    return next((cell.strip() for column in _GROUPS if not is_empty(cell := known.get(column, ""))), "")


def read_names(file: Path) -> frozenset[str]:
    """Return the first word of each line of a list, such as AVA's lists of test pictures.

    Raises:
        AesError: it cannot be read, or is empty.

    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise AesError(f"{escape(str(file))} cannot be read: {why(error)}") from error
    names = frozenset(line.split()[0] for line in lines if line.strip())
    if not names:
        raise AesError(f"{escape(str(file))} names nothing")
    return names


def list_unknown(found: LabelledSet, names: frozenset[str]) -> list[str]:
    """Return those of `names` that no picture has, labelled and here or labelled alone."""
    known = {name for each in (*found.pictures, *found.missing) for name in _names(each.path)}
    return sorted(names - known)


def ceiling(pictures: Sequence[Labelled], lowest: int) -> float | None:
    """Return the highest correlation with the labels that noise in the votes allows; None without votes.

    The root of the reliability: 1 minus the mean squared standard error of the means over their variance.
    """
    import numpy as np

    voted = [np.array(each.counts) for each in pictures if sum(each.counts) > 1]
    if len(voted) < 4:
        return None
    levels = np.arange(lowest, lowest + len(voted[0]))
    sums = [votes.sum() for votes in voted]
    means = np.array([votes @ levels / total for votes, total in zip(voted, sums, strict=True)])
    spread = [votes @ (levels - mean) ** 2 / (n - 1) / n for votes, mean, n in zip(voted, means, sums, strict=True)]
    variance = float(means.var(ddof=1))
    return float(np.sqrt(max(0.0, 1 - float(np.mean(spread)) / variance))) if variance > 0 else None


def _names(path: str) -> set[str]:
    name = os.path.basename(path)  # noqa: PTH119 - bytes stay exact
    return {name, os.path.splitext(name)[0]}  # noqa: PTH122


def _hint(found: LabelledSet, only: frozenset[str]) -> str:
    if found.missing:
        return f"{len(found.missing)} are labelled and not here, such as {escape(found.missing[0].path)}"
    if only and found.pictures:
        return "--only takes file names, one a line"
    return str(found.problems[0]) if found.problems else "a header, and a row for each picture: path,score"
