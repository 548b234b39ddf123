"""Where records go: a file that is old or new and never half, or stdout."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from aescli.cli import console
from aescli.errors import ExitCode, ReaderGone
from aescli.output import replace_file


@contextmanager
def open_output(target: Path | None) -> Iterator[BinaryIO]:
    """Give the stream for records; None stands for stdout.

    Raises:
        OutputLocked, OutputFailed, ReaderGone: as `replace_file` and `console.standard_output`.

    """
    if target is not None:
        with replace_file(target) as file:
            yield file
        return
    with console.standard_output() as stream:
        yield stream


@contextmanager
def closing_with(close: Callable[[], ExitCode], *, changed: bool) -> Iterator[None]:
    """Say how a run came out that has changed files, even if nobody reads its records any more."""
    try:
        yield
    except ReaderGone:
        if not changed:
            raise
        raise ReaderGone(close()) from None


def named_file(output: Path | None) -> Path | None:
    """Return the file that `-o` names: `-` is stdout."""
    return None if output == Path("-") else output


def on_terminal(target: Path | None) -> bool:
    """Tell whether records go to a terminal."""
    return target is None and sys.stdout.isatty()
