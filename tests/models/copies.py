"""Two copies of a model on one CPU stand for two GPUs: what shares pictures never asks which devices they are."""

import threading
from typing import Any

import pytest
from torch import nn

from aescli import runtime
from aescli.runtime import Device, Placement


class Copies:
    """Counts the calls of each copy; the first call of each waits until another copy is called as well."""

    def __init__(self, count: int) -> None:
        self.calls: dict[int, int] = {}
        self._together = threading.Barrier(count, timeout=20)
        self._lock = threading.Lock()

    def watch(self, network: nn.Module) -> None:
        number = len(self.calls)
        self.calls[number] = 0

        def seen(*_: Any) -> None:
            with self._lock:
                self.calls[number] += 1
                first = self.calls[number] == 1
            if first:
                self._together.wait()

        network.register_forward_pre_hook(seen)


def two_devices(patched: pytest.MonkeyPatch, *modules: Any) -> None:
    """Let these modules place a model on two devices."""
    placement = Placement((Device("cpu"), Device("cpu")), "a test", explicit=True)
    for module in (runtime, *modules):
        patched.setattr(module, "place_torch", lambda *_: placement)
