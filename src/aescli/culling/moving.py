"""Carry a proposal out: move or link files into folders by their verdict, with their sidecars, and take it back.

Nothing is copied, overwritten or deleted: a move stays on its disk, a target that exists is a conflict, and undoing a
link removes that link only while it still is the same file.
"""

import contextlib
import errno
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aescli.culling.proposing import Proposal, Verdict
from aescli.errors import UsageError
from aescli.journal import Change, Undone, begin_run
from aescli.names import escape
from aescli.xmp.files import list_sidecars

JOURNAL = "cull"
MOVE, LINK = "move", "link"

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@dataclass(frozen=True, slots=True)
class Step:
    """One file that is moved or linked; absolute paths."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a file: `problem` is empty where all went well."""

    path: str
    problem: str = ""


def plan_steps(proposals: Sequence[Proposal], into: Path, verdicts: Sequence[Verdict]) -> list[Step]:
    """Return what is to be moved or linked: into/verdict/path, below the folder that all pictures share.

    Raises:
        UsageError: `into` is where pictures are, so that a second run would take them for new ones.

    """
    root = os.path.abspath(into)  # noqa: PTH100 - bytes stay exact
    paths = [os.path.abspath(proposal.row.path) for proposal in proposals]  # noqa: PTH100
    filled = tuple(os.path.join(root, verdict, "") for verdict in Verdict)  # noqa: PTH118
    for path in paths:
        if os.path.dirname(path) == root or path.startswith(filled):  # noqa: PTH120
            raise UsageError(
                f"{escape(str(into))} holds pictures of the shoot, such as {escape(path)}",
                hint="--into a folder outside",
            )
    shared = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
    sidecars = [list_sidecars(path) for path in paths]
    best: dict[str, Verdict] = {}  # a sidecar that several pictures share stays with the best of them
    for proposal, listed in zip(proposals, sidecars, strict=True):
        for sidecar in listed:
            best[sidecar] = min(proposal.verdict, best.get(sidecar, proposal.verdict), key=list(Verdict).index)
    steps: dict[str, Step] = {}
    for proposal, path, listed in zip(proposals, paths, sidecars, strict=True):
        if proposal.verdict in verdicts and not os.path.isdir(path):  # noqa: PTH112 - which could not be listed
            for source in (path, *(each for each in listed if best[each] == proposal.verdict)):
                target = os.path.join(root, proposal.verdict, os.path.relpath(source, shared))  # noqa: PTH118
                steps.setdefault(source, Step(source, target))
    return list(steps.values())


def carry_out(steps: Sequence[Step], how: str, into: Path) -> Generator[Done]:
    """Move or link files and yield what became of each; all steps are in the journal first.

    Raises:
        StoreFailed: the journal cannot be written; then nothing is changed.

    """
    if steps:
        note = f"{how}\0".encode() + os.fsencode(os.path.abspath(into))  # noqa: PTH100
        begin_run(JOURNAL, [Change(step.source, note, os.fsencode(step.target)) for step in steps])
    kept = os.path.isdir(into)  # noqa: PTH112
    for step in steps:
        problem = _try(step.source, step.target, how)
        if problem:
            _remove_empty(os.path.dirname(step.target), os.path.abspath(into), keep=kept)  # noqa: PTH100, PTH120
        yield Done(step.source, problem)


def put_back(change: Change) -> Undone:
    """Put a file back where it was; what others have changed since stays."""
    how, _, root = (change.before or b"").partition(b"\0")
    target = os.fsdecode(change.after or b"")
    undone = _put_back(change.path, target, how.decode())
    if not undone.problem:
        _remove_empty(os.path.dirname(target), os.fsdecode(root))  # noqa: PTH120
    return undone


def _try(source: str, target: str, how: str) -> str:
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        if how == LINK:
            os.link(source, target, follow_symlinks=False)
        else:
            _move(source, target)
    except FileExistsError:
        return f"{escape(target)} exists"
    except OSError as error:
        return "is on another disk" if error.errno == errno.EXDEV else error.strerror or str(error)
    return ""


def _move(source: str, target: str) -> None:
    """Rename, but never over a file that is there: a second name first, then the old one goes."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without links: the name is taken by a file of our own, which the rename replaces.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            os.rename(source, target)  # noqa: PTH104
        except OSError:
            os.unlink(target)  # noqa: PTH108
            raise
        return
    try:
        os.unlink(source)  # noqa: PTH108
    except OSError:
        if not os.path.lexists(source):  # it is gone all the same: a network drive may say so
            return
        if os.path.samestat(os.lstat(source), os.lstat(target)):
            os.unlink(target)  # noqa: PTH108 - of a folder that may be read alone: one name, as before
        raise


def _put_back(source: str, target: str, how: str) -> Undone:
    try:
        here, there = os.path.lexists(source), os.path.lexists(target)
        if here and there and os.path.samestat(os.lstat(source), os.lstat(target)):
            os.unlink(target)  # noqa: PTH108 - a link of ours, or a move that was killed between its two steps
            return Undone(source)
        if here:
            other = there and how == MOVE
            return Undone(source, f"{escape(target)} is another file now" if other else "", again=other)
        if not there:
            return Undone(source, "is not there any more")
        os.makedirs(os.path.dirname(source), exist_ok=True)  # noqa: PTH103, PTH120
        _move(target, source)
    except OSError as error:
        return Undone(source, error.strerror or str(error), again=True)
    return Undone(source)


def _remove_empty(folder: str, root: str, *, keep: bool = False) -> None:
    """Remove folders that nothing is left in, up to the one that was named, which may be to `keep`."""
    with contextlib.suppress(OSError):
        while os.path.commonpath([folder, root]) == root and not (keep and folder == root):
            os.rmdir(folder)  # noqa: PTH106
            folder = os.path.dirname(folder)  # noqa: PTH120
