"""What a model sees of a picture, wherever its decoder runs."""

from typing import Any, Protocol

import numpy as np

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


class View(Protocol):
    """An opened picture.

    Attributes:
        flags: what had to be done to it that the user should know; complete after the last call.
        footprint: bytes of memory that decoding it takes, estimated.

    """

    flags: set[str]
    footprint: int

    def size(self) -> tuple[int, int]:
        """Return width and height of the upright picture, in its own pixels."""
        ...

    def squeeze(self, width: int, height: int) -> Pixels:
        """Return the whole picture resized, its aspect ratio given up: sRGB samples, (height, width, 3)."""
        ...

    def square(self, side: int, fill: tuple[int, int, int]) -> Pixels:
        """Return the whole picture in the middle of a square of one colour, resized: sRGB samples, (side, side, 3)."""
        ...

    def whole(self, longest: int) -> Pixels:
        """Return the picture in its own size, or its long side reduced by area to `longest`: (height, width, 3)."""
        ...

    def luma(self, long_side: int) -> Pixels:
        """Return the luma of a full decode, reduced by area: samples, (height, width)."""
        ...
