"""Signals that ask a run to stop: the first ends it in good order, the second at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from aescli.errors import Stopped

_HANG_UP = getattr(signal, "SIGHUP", None)
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def stopping() -> Iterator[None]:
    """Raise Stopped in the block when INT, TERM or HUP comes; a second signal ends the process at once."""
    before = {number: signal.signal(number, _stop) for number in _heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def noticing() -> Iterator[Callable[[], int]]:
    """Give a function that returns the first signal that came, or 0; a second signal ends the process at once.

    For work that must reach a place where it can be saved: nothing is interrupted.
    """
    came: list[int] = []

    def notice(number: int, frame: FrameType | None) -> None:
        came.append(number)
        for each in _heeded():
            signal.signal(each, _end)

    before = {number: signal.signal(number, notice) for number in _heeded()}
    try:
        yield lambda: came[0] if came else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heeded() -> list[int]:
    """Return the signals that are listened to: HUP is not where `nohup` says so."""
    return [each for each in _SIGNALS if each != _HANG_UP or signal.getsignal(each) != signal.SIG_IGN]


def _stop(number: int, frame: FrameType | None) -> None:
    for each in _heeded():
        signal.signal(each, _end)
    raise Stopped(number)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)
