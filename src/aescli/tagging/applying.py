"""Carry a plan out, and take the last one back. A sidecar that has changed in the meantime is left as it is."""

import contextlib
import errno
import os
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

from aescli.errors import AesError
from aescli.journal import Change, Undone, begin_run
from aescli.output import discard_part, replace_file
from aescli.tagging.planning import JOURNAL, Action, Tag, digest


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


def undo_tag(change: Change) -> Undone:
    """Give a sidecar the bytes that it had; one that others have changed since stays."""
    sidecar = change.path
    try:
        discard_part(Path(sidecar))
        now = _read(sidecar)
        if now == change.before:
            return Undone(sidecar)
        if now is None:
            return Undone(sidecar, "is not there any more")
        if digest(now) != change.after:
            return Undone(sidecar, "has changed since, and stays as it is")
        if change.before is None:
            Path(sidecar).unlink()  # we made it, and nobody has touched it
        else:
            with replace_file(Path(sidecar)) as stream:
                stream.write(change.before)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return Undone(sidecar)  # such a sidecar was never written
        return Undone(sidecar, str(error), again=True)
    except AesError as error:
        return Undone(sidecar, str(error), again=True)
    return Undone(sidecar)


def _write(tag: Tag) -> Tag:
    try:
        if _read(tag.sidecar) != tag.before:
            return replace(tag, action=Action.CONFLICT, reason="its sidecar has changed while the plan was made")
        with replace_file(Path(tag.sidecar)) as stream:
            stream.write(tag.after or b"")
    except (OSError, AesError) as error:
        return replace(tag, action=Action.CONFLICT, reason=str(error))
    return tag


def _read(sidecar: str) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        return Path(os.fspath(sidecar)).read_bytes()
    return None
