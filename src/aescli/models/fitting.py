"""How a picture becomes the rectangle that a network sees; a card's `fit` names it."""

from aescli.images.view import Pixels, View

SQUEEZE, CROP, PAD = "squeeze", "crop", "pad"
FITS = (SQUEEZE, CROP, PAD)
PADDING = (122, 116, 104)  # CLIP's mean as samples: what LLaVA-1.5 pads a picture with to a square


def fit(picture: View, how: str, width: int, height: int) -> Pixels:
    """Return samples of a picture, uint8 (height, width, 3): the whole squeezed or padded, or the middle cropped."""
    if how == CROP:
        return crop(picture, width)
    return picture.square(width, PADDING) if how == PAD else picture.squeeze(width, height)


def crop(picture: View, side: int) -> Pixels:
    """Return the middle of a picture whose short side is resized to `side`, bicubic, as OpenAI's CLIP does."""
    width, height = picture.size()
    short = min(width, height)
    size = (int(side * width / short), int(side * height / short))
    pixels = picture.squeeze(*size)
    left, top = (round((each - side) / 2) for each in size)
    return pixels[top : top + side, left : left + side]
