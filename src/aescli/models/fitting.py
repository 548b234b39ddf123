"""How a picture becomes the rectangle that a network sees; a card's `fit` names it."""

import math
from collections.abc import Callable

import numpy as np

from aescli.images.borders import find_border, find_inside
from aescli.images.view import Pixels, View

SQUEEZE, INSIDE, CROP, PAD = "squeeze", "inside", "crop", "pad"
FITS = (SQUEEZE, CROP, PAD, INSIDE)
_EVEN, _BLOCK = 16, 8  # levels of 255 by which a border's pixels differ at most, and pixels that JPEG takes at once
_NARROWEST, _INSIDE = 0.005, 0.25  # of a side: of a border, and of what is inside it
PADDING = (122, 116, 104)  # CLIP's mean as samples: what LLaVA-1.5 pads a picture with to a square


def fit(picture: View, how: str, width: int, height: int) -> Pixels:
    """Return samples of a picture, uint8 (height, width, 3).

    The whole squeezed or padded, what is inside its border squeezed, or the middle cropped.
    """
    if how == CROP:
        return crop(picture, width)
    if how == PAD:
        return picture.square(width, PADDING)
    return squeeze_inside(picture, width, height) if how == INSIDE else picture.squeeze(width, height)


def squeeze_inside(picture: View, width: int, height: int) -> Pixels:
    """Return a picture squeezed to a size, without a border of one colour if it has one.

    A frame or bars are no part of a photograph: they would please, or hide what is wrong with it. A border is on two
    sides that face each other, at least, each of them a two-hundredth of the picture wide, and ends along a line.
    """
    whole = picture.squeeze(width, height)
    top, bottom, left, right = _find_sides(whole, picture.size)
    rows, columns = height - top - bottom, width - left - right
    if (rows, columns) == (height, width) or min(rows / height, columns / width) < _INSIDE:
        return whole
    # So large that what is inside comes to the size.
    larger = picture.squeeze(round(width * width / columns), round(height * height / rows))
    first = (
        min(round(top * height / rows), len(larger) - height),
        min(round(left * width / columns), larger.shape[1] - width),
    )
    return larger[first[0] : first[0] + height, first[1] : first[1] + width]


def _find_sides(whole: Pixels, size: Callable[[], tuple[int, int]]) -> tuple[int, int, int, int]:
    """Return how many pixels at the top, bottom, left and right are a border's.

    Args:
        whole: the squeezed picture, (height, width, 3).
        size: tells width and height of the file; another process is asked, so only where it matters.

    """
    top, bottom, left, right = find_border(whole, _EVEN)
    if not ((top and bottom) or (left and right)):
        return 0, 0, 0, 0
    width, height = size()
    rows = _find_both(whole, top, bottom, height)
    return *rows, *_find_both(np.swapaxes(whole, 0, 1), left, right, width)


def _find_both(lines: Pixels, first: int, last: int, pixels: int) -> tuple[int, int]:
    """Return how many rows at either end are a border's, of which so many are of one colour; the file has `pixels`."""
    if not (first and last):
        return 0, 0
    block = 1 + math.ceil(_BLOCK * len(lines) / pixels)
    first, last = find_inside(lines, first, block), find_inside(lines[::-1], last, block)
    return (first, last) if min(first, last) >= _NARROWEST * len(lines) else (0, 0)


def crop(picture: View, side: int) -> Pixels:
    """Return the middle of a picture whose short side is resized to `side`, bicubic, as OpenAI's CLIP does."""
    width, height = picture.size()
    short = min(width, height)
    size = (int(side * width / short), int(side * height / short))
    pixels = picture.squeeze(*size)
    left, top = (round((each - side) / 2) for each in size)
    return pixels[top : top + side, left : left + side]
