"""Carry a plan out, and take the last one back. A sidecar that has changed in the meantime is left as it is."""

import contextlib
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aescli.errors import AesError, NothingMatched
from aescli.journal import begin_run, end_run, last_run
from aescli.output import replace_file
from aescli.tagging.planning import JOURNAL, Action, Tag, digest


@dataclass(frozen=True, slots=True)
class Undone:
    """One sidecar: whether it is again what it was, if not why, and whether another try may help."""

    sidecar: str
    done: bool
    reason: str = ""
    failed: bool = False


def apply_tags(plan: Sequence[Tag]) -> Generator[Tag]:
    """Write the sidecars of a plan and yield each tag as it came out; the whole plan is in the journal first.

    Raises:
        StoreFailed: the journal cannot be written; then nothing is changed.

    """
    changing = [tag for tag in plan if tag.action in (Action.CREATE, Action.UPDATE)]
    if changing:
        begin_run(JOURNAL, [tag.change() for tag in changing])
    for tag in plan:
        yield _write(tag) if tag.action in (Action.CREATE, Action.UPDATE) else tag


def undo_tags() -> Generator[Undone]:
    """Give every sidecar of the last run the bytes it had; one that others have changed since stays.

    Raises:
        NothingMatched: there is no run to take back.

    """
    run = last_run(JOURNAL)
    if run is None:
        raise NothingMatched("nothing was tagged that could be taken back")
    failed = False
    for change in run.changes:
        undone = _undo(change.path, change.before, change.after or b"")
        failed = failed or undone.failed
        yield undone
    if not failed:
        end_run(run.number)


def _write(tag: Tag) -> Tag:
    try:
        if _read(tag.sidecar) != tag.before:
            return replace(tag, action=Action.CONFLICT, reason="its sidecar has changed while the plan was made")
        with replace_file(Path(tag.sidecar)) as stream:
            stream.write(tag.after or b"")
    except (OSError, AesError) as error:
        return replace(tag, action=Action.CONFLICT, reason=str(error))
    return tag


def _undo(sidecar: str, before: bytes | None, after: bytes) -> Undone:
    try:
        now = _read(sidecar)
        if now == before:
            return Undone(sidecar, done=True, reason="is as it was")
        if now is None:
            return Undone(sidecar, done=False, reason="is not there any more")
        if digest(now) != after:
            return Undone(sidecar, done=False, reason="has changed since, and stays as it is")
        if before is None:
            Path(sidecar).unlink()  # we made it, and nobody has touched it
        else:
            with replace_file(Path(sidecar)) as stream:
                stream.write(before)
    except (OSError, AesError) as error:
        return Undone(sidecar, done=False, reason=str(error), failed=True)
    return Undone(sidecar, done=True)


def _read(sidecar: str) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        return Path(os.fspath(sidecar)).read_bytes()
    return None
