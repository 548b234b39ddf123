"""Where a picture is decoded: in this process, or in a supervised one when its format or the user asks for it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aescli.images import formats
from aescli.images.allowance import Allowance
from aescli.images.isolation import Decoders, Limits
from aescli.images.picture import Decoding, open_picture
from aescli.images.view import View
from aescli.runtime import usable_cpus

ISOLATIONS = ("auto", "on", "off")

# Large decoders of complicated formats: where crashes and bombs are most likely.
_ISOLATED_FORMATS = frozenset({"RAW", "HEIF", "AVIF"})


def shared_bytes() -> int:
    """Return how much memory pictures may take while they are decoded, all together: 1.4 GB for each eight CPUs."""
    return (1_400 << 20) * max(1, usable_cpus() // 8)


@dataclass(slots=True)
class Opener:
    """Opens pictures for any number of threads, and knows since when each thread is busy with one.

    Args:
        decoding: how they are decoded.
        isolate: one of ISOLATIONS; `auto` isolates RAW, HEIC and AVIF.
        limits: of an isolated decoder.
        allowance: memory for decoding that all threads share.

    """

    decoding: Decoding = field(default_factory=Decoding)
    isolate: str = "auto"
    limits: Limits = field(default_factory=Limits)
    allowance: Allowance = field(default_factory=lambda: Allowance(shared_bytes()))
    _decoders: Decoders = field(init=False)
    _busy: dict[int, tuple[float, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._decoders = Decoders(self.limits)

    @contextmanager
    def open(self, data: bytes, path: str = "", *, truncated: bool = False) -> Iterator[View]:
        """Open a picture until the block ends; `truncated` accepts one that ends too early, always isolated.

        Args:
            data: the file's content.
            path: what `busy_with` will call it.
            truncated: see above.

        Raises:
            PictureError: as `open_picture` and `Decoders.open`.

        """
        if truncated or self._isolates(data):
            with (
                self._decoders.open(data, self.decoding, truncated=truncated) as view,
                self.allowance.take(view.footprint),
            ):
                yield view
            return
        with self._watched(path):
            picture = open_picture(data, self.decoding)
        with self.allowance.take(picture.footprint), self._watched(path):  # nobody hangs who waits for room
            yield picture

    def busy_with(self, thread: int) -> tuple[float, str]:
        """Return for how many seconds a thread has been at one picture in this process, and at which."""
        since, path = self._busy.get(thread, (None, ""))
        return (0.0, "") if since is None else (time.monotonic() - since, path)

    def give_up(self, thread: int) -> None:
        """Isolate every picture from now on, and wait no more for what a thread that hangs has taken."""
        self.isolate = "on"
        self.allowance.release(thread)

    def close(self) -> None:
        """End the decoder processes."""
        self._decoders.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _watched(self, path: str) -> Iterator[None]:
        thread = threading.get_ident()
        self._busy[thread] = time.monotonic(), path
        try:
            yield
        finally:
            self._busy.pop(thread, None)

    def _isolates(self, data: bytes) -> bool:
        if self.isolate == "auto":
            return formats.identify(data) in _ISOLATED_FORMATS
        return self.isolate == "on"
