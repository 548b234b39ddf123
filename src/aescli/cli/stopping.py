"""Signals that ask a run to stop: the first ends it in good order, the second at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from aescli.errors import Stopped

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def stopping() -> Iterator[None]:
    """Raise Stopped in the block when INT, TERM or HUP comes; a second signal ends the process at once."""
    before = {number: signal.signal(number, _stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    for each in _SIGNALS:
        signal.signal(each, _end)
    raise Stopped(number)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)
