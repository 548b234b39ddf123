"""How a picture becomes the rectangle that a network sees; a card's `fit` names it."""

import math

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
    top, bottom, left, right = _find_sides(whole, *picture.size())
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


def _find_sides(whole: Pixels, width: int, height: int) -> tuple[int, int, int, int]:
    """Return how many pixels at the top, bottom, left and right are a border's; the file has width x height px."""
    found = list(find_border(whole, _EVEN))
    for at, (side, pixels) in enumerate(((len(whole), height), (whole.shape[1], width))):
        block = 1 + math.ceil(_BLOCK * side / pixels)
        lines = np.swapaxes(whole, 0, 1) if at else whole
        both = [
            find_inside(turned, count, block)
            for turned, count in ((lines, found[2 * at]), (lines[::-1], found[2 * at + 1]))
        ]
        found[2 * at : 2 * at + 2] = both if min(both) >= _NARROWEST * side else (0, 0)
    return found[0], found[1], found[2], found[3]


def crop(picture: View, side: int) -> Pixels:
    """Return the middle of a picture whose short side is resized to `side`, bicubic, as OpenAI's CLIP does."""
    width, height = picture.size()
    short = min(width, height)
    size = (int(side * width / short), int(side * height / short))
    pixels = picture.squeeze(*size)
    left, top = (round((each - side) / 2) for each in size)
    return pixels[top : top + side, left : left + side]
