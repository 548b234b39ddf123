"""Talk on stderr: errors, notes, the progress bar and the closing line. Records never pass through here."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from aescli.errors import OutputFailed, ReaderGone
from aescli.names import escape
from aescli.results import Failure

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from aescli.journal import Run

LISTED = 10  # lines of a kind on stderr, where a report or another command has all

_REFRESH_SECONDS = 0.1


def print_error(message: str, *, hint: str = "") -> None:
    """Write one line that says what is wrong, and one that says what to type next, or a layout in several."""
    print_note(f"error: {message}")
    for at, line in enumerate(hint.splitlines()):
        print_note(f"{'hint:' if at == 0 else '     '} {line}")


def print_note(text: str) -> None:
    """Write one line to stderr; nobody may be listening any more."""
    try:
        sys.stderr.write(f"aes: {escape(text)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def print_notes(lines: Sequence[str], more: str = "more", *, before: str = "", most: int = LISTED) -> None:
    """Write the first `most` lines to stderr, each behind the words `before`, and how many there are beside."""
    for line in lines[:most]:
        print_note(f"{before}{line}")
    if len(lines) > most:
        print_note(f"{before}{len(lines) - most} {more}")


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Give stdout for records.

    Raises:
        ReaderGone: nobody reads it any more.
        OutputFailed: it cannot be written: a full disk behind a redirection.

    """
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as error:
        raise OutputFailed(f"standard output cannot be written: {error.strerror}") from error


def tell_run(run: "Run | None") -> None:
    """Say which run of the journal is about to be taken back."""
    if run:
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.began))
        print_note(f"taking back the run of {began}: {len(run.changes)} files")


def print_text(text: str) -> None:
    """Write text to stdout as UTF-8, whatever the locale."""
    with standard_output() as stream:
        stream.write(text.encode() + b"\n")


def confirm(question: str) -> bool:
    """Ask on a terminal; elsewhere nobody can agree."""
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    import typer

    return typer.confirm(question, err=True)


def wants_colour(stream: object) -> bool:
    """Tell whether a stream is a terminal on which colour is welcome."""
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Bar:
    """A progress bar on stderr where that is a terminal, else nothing."""

    def __init__(self, count_inputs: Callable[[], int] | None, doing: str = "scoring") -> None:
        """Show no total until `count_inputs` has counted, in a thread of its own; None never shows one."""
        self._count_inputs = count_inputs
        self._doing = doing
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._failed = 0

    def __enter__(self) -> Self:
        if not sys.stderr.isatty():
            return self
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn(self._doing),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f}/s"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]}"),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._task = self._progress.add_task(self._doing, total=None, rate=0.0, failed="")
        self._progress.start()
        if self._count_inputs:
            threading.Thread(target=self._count, args=(self._count_inputs,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None

    def advance(self, row: object) -> None:
        self._failed += isinstance(row, Failure)
        if self._progress is None or self._task is None:
            return
        task = self._progress.tasks[0]
        rate = (task.completed + 1) / max(task.elapsed or 0.0, 1e-3)
        failed = f"{self._failed} failed" if self._failed else ""
        self._progress.update(self._task, advance=1, rate=rate, failed=failed)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the bar away while rows are written to the same terminal."""
        if self._progress is None:
            yield
            return
        self._progress.stop()
        yield
        self._progress.start()

    def _count(self, count_inputs: Callable[[], int]) -> None:
        total = count_inputs()
        if self._progress and self._task is not None:
            self._progress.update(self._task, total=total)


class Stages:
    """A bar on stderr for work in stages, each with a count and a note of its own; nothing where that is no terminal."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
                TimeRemainingColumn(), TextColumn("{task.fields[note]}", markup=False),
                console=Console(stderr=True, highlight=False), transient=True,
            )  # fmt: skip
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def show(self, doing: str, done: int, total: int, note: str = "") -> None:
        """Show `done` of `total`; another stage begins a new bar in the place of the last."""
        if self._progress is None:
            return
        shown = self._progress.tasks[0] if self._progress.tasks else None
        if shown is None or shown.description != doing:
            if shown is not None:
                self._progress.remove_task(shown.id)
            self._task = self._progress.add_task(doing, total=total, note=note)
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total, note=note)


class Pace:
    """Says when rows that wait for a terminal should be written: at once, but ten times a second at most."""

    def __init__(self) -> None:
        self._last = 0.0

    def is_due(self) -> bool:
        now = time.monotonic()
        if now - self._last < _REFRESH_SECONDS:
            return False
        self._last = now
        return True
