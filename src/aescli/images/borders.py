"""Borders of one colour round a picture: a frame, bars above and below, room at the sides."""

import numpy as np

from aescli.images.view import Pixels

_FAR, _MOST = 24, 0.5  # levels of 255 from a border's colour, and how many pixels of the row beside it are so far


def find_border(pixels: Pixels, even: int) -> tuple[int, int, int, int]:
    """Return how many rows and columns at the top, bottom, left and right of a picture are of one colour.

    Args:
        pixels: of a small picture, (height, width, 3).
        even: levels of 255 by which the pixels of a row, or a column, may differ.

    Returns:
        Numbers of pixels; all are 0 where the whole picture is of one colour.

    """
    height, width = pixels.shape[:2]
    top = bottom = left = right = 0
    while top < height and _is_even(pixels[top], even):
        top += 1
    if top == height:
        return 0, 0, 0, 0
    while _is_even(pixels[height - 1 - bottom], even):
        bottom += 1
    between = pixels[top : height - bottom]
    while left < width and _is_even(between[:, left], even):
        left += 1
    if left == width:  # its columns are, each for itself
        return top, bottom, 0, 0
    while _is_even(between[:, width - 1 - right], even):
        right += 1
    return top, bottom, left, right


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


def _is_even(line: Pixels, even: int) -> bool:
    """Tell whether a row or a column, (length, 3), is of one colour."""
    return bool((line.max(0).astype(int) - line.min(0)).max() <= even)
