"""Borders of one colour round a picture: a frame, bars above and below, room at the sides."""

import numpy as np

from aescli.images.view import Pixels

_FAR, _MOST = 24, 0.5  # levels of 255 from a border's colour, and how many pixels of the row beside it are so far
_STRIDE = 16  # one pixel in so many is looked at first


def find_border(pixels: Pixels, even: int) -> tuple[int, int, int, int]:
    """Return how many rows and columns at the top, bottom, left and right of a picture are of one colour.

    Args:
        pixels: of a small picture, (height, width, 3).
        even: levels of 255 by which the pixels of a row, or a column, may differ.

    Returns:
        Numbers of pixels; all are 0 where the whole picture is of one colour.

    """
    top = _count_even(pixels, even)
    if top == len(pixels):
        return 0, 0, 0, 0
    bottom = _count_even(pixels[::-1], even)
    columns = np.swapaxes(pixels[top : len(pixels) - bottom], 0, 1)  # (width, height, 3)
    left = _count_even(columns, even)
    if left == len(columns):  # each is of one colour, for itself
        return top, bottom, 0, 0
    return top, bottom, left, _count_even(columns[::-1], even)


def find_inside(lines: Pixels, even: int, reach: int) -> int:
    """Return how many rows a border has, with those that bleed; 0 where it does not end along a line.

    Ground behind a flower is of one colour, too, but goes on beside the flower: of a border's neighbour most pixels are
    of other colours.

    Args:
        lines: rows of a picture from one edge on, (rows, width, 3).
        even: how many of them are of one colour.
        reach: rows behind these that JPEG, or a resize, may have left traces in.

    """
    if not even:
        return 0
    colour = lines[:even].mean((0, 1))
    far = (np.abs(lines[even : even + reach + 2] - colour).max(-1) > _FAR).mean(-1)  # (rows,), shares of their pixels
    inside = np.flatnonzero(far >= _MOST)
    return even + int(inside[0]) + 1 if len(inside) else 0


def _count_even(lines: Pixels, even: int) -> int:
    """Return how many rows from the first one on are of one colour, each for itself."""
    few = lines[0, ::_STRIDE]  # (few, 3)
    if (few.max(0) - few.min(0)).max() > even:  # so nearly every photograph, in a tenth of the time
        return 0
    planes = np.ascontiguousarray(np.moveaxis(lines, -1, 0))  # (3, rows, width): reduced along memory
    spreads = (planes.max(-1) - planes.min(-1)).max(0)  # (rows,)
    uneven = np.flatnonzero(spreads > even)
    return int(uneven[0]) if len(uneven) else len(lines)
