"""Decoding in supervised processes: a crash, a hang or a bomb costs one picture, and names it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aescli.errors import ErrorCode, PictureError
from aescli.images.decoder import receive, send
from aescli.images.picture import Decoding
from aescli.images.view import Pixels, View


@dataclass(frozen=True, slots=True)
class Limits:
    """What one decoder process may take for one picture.

    Args:
        seconds: of wall time for each of opening, squeezing and luma.
        memory_bytes: of address space; where the system cannot limit it, it is not.

    """

    seconds: float = 20.0
    memory_bytes: int = 3 << 30


@dataclass(slots=True)
class Decoders:
    """Decoder processes, started when they are needed and again when one has died."""

    limits: Limits
    _idle: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _busy: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def open(self, data: bytes, decoding: Decoding, *, truncated: bool = False) -> Iterator[View]:
        """Open a picture in a process of its own until the block ends.

        Raises:
            PictureError: what `open_picture` raises, `timeout`, or `decoder_crash`.

        """
        process = self._take()
        remote = _Remote(process, self.limits)
        try:
            remote.open(data, decoding, truncated=truncated)
            yield remote
        finally:
            self._give_back(process)

    def close(self) -> None:
        """End every process, also one that is at work: whoever waits for it is told that it died."""
        with self._lock:
            self._closed = True
            for process in self._busy:
                process.kill()
            while self._idle:
                _end(self._idle.pop())

    def _take(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:  # a thread that was given up has woken
                raise PictureError(ErrorCode.INTERNAL, "the run has ended")
            while self._idle and self._idle[-1].poll() is not None:
                _end(self._idle.pop())  # it died between two pictures, which is nobody's fault
            process = self._idle.pop() if self._idle else _start(self.limits)
            self._busy.append(process)
        return process

    def _give_back(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._busy.remove(process)
            if not self._closed and _lets_go(process):
                self._idle.append(process)
            else:
                _end(process)


class _Remote:
    """A picture that another process holds."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits) -> None:
        self.flags: set[str] = set()
        self.footprint = 0
        self._process = process
        self._limits = limits

    def open(self, data: bytes, decoding: Decoding, *, truncated: bool) -> None:
        request = {"do": "open", "exact": decoding.exact, "max_pixels": decoding.max_pixels, "truncated": truncated}
        answer, _ = self._ask(request, data)
        self.footprint = answer["footprint"]

    def size(self) -> tuple[int, int]:
        answer, _ = self._ask({"do": "size"})
        width, height = answer["size"]
        return width, height

    def squeeze(self, width: int, height: int) -> Pixels:
        return self._pixels("squeeze", width, height)

    def square(self, side: int, fill: tuple[int, int, int]) -> Pixels:
        return self._pixels("square", side, fill)

    def whole(self, longest: int) -> Pixels:
        return self._pixels("whole", longest)

    def luma(self, long_side: int) -> Pixels:
        return self._pixels("luma", long_side)

    def _pixels(self, view: str, *of: object) -> Pixels:
        answer, payload = self._ask({"do": view, "of": of})
        return np.frombuffer(payload, np.uint8).reshape(answer["shape"])

    def _ask(self, request: dict[str, Any], data: bytes = b"") -> tuple[dict[str, Any], bytes]:
        process = self._process
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._limits.seconds, give_up)
        timer.start()
        try:
            answer = _exchange(process, request, data)
        finally:
            timer.cancel()
        if answer is None:
            process.kill()
            code = process.wait()
            _end(process)
            raise self._died(code, late=late.is_set())
        if "error_code" in answer[0]:
            raise PictureError(ErrorCode(answer[0]["error_code"]), answer[0]["error"])
        self.flags = set(answer[0]["flags"])
        return answer

    def _died(self, code: int, *, late: bool) -> PictureError:
        if late:
            return PictureError(ErrorCode.TIMEOUT, f"the decoder took more than {self._limits.seconds:g} seconds")
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        return PictureError(ErrorCode.DECODER_CRASH, f"the decoder died ({reason})")


def _exchange(
    process: subprocess.Popen[bytes], request: dict[str, Any], data: bytes
) -> tuple[dict[str, Any], bytes] | None:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("the process was started with pipes")
    try:
        send(process.stdin, request, data)  # type: ignore[arg-type]
        return receive(process.stdout)  # type: ignore[arg-type]
    except (OSError, ValueError):  # the process is gone, or was killed in the middle of a message
        return None


def _lets_go(process: subprocess.Popen[bytes]) -> bool:
    """Have a process forget its picture; False when there is no process any more."""
    try:
        if process.poll() is None and process.stdin is not None:
            send(process.stdin, {"do": "close"})  # type: ignore[arg-type]
            return True
    except OSError:
        pass
    return False


def _start(limits: Limits) -> subprocess.Popen[bytes]:
    words = json.dumps({"seconds": limits.seconds, "memory_bytes": limits.memory_bytes})
    return subprocess.Popen(
        [sys.executable, "-m", "aescli.images.decoder", words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # decoders in C complain there
        # Threads of the linear algebra library would reserve address space that is counted.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            with suppress(OSError):  # what was left to write has nobody to read it
                stream.close()
