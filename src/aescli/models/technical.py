"""Technical dimensions, measured on the picture rather than learnt: each 0 to 10, higher is better.

Tone and colour are measured on the picture as the network sees it; sharpness and noise on its luma at a viewing size
of 1,536 px on the long side. `docs/mini.md` shows how real photographs are distributed.
"""

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from aescli.dimensions import Dimension
from aescli.images.picture import Picture, Pixels

Samples = np.ndarray[Any, np.dtype[Any]]

VIEWING_SIZE = 1536  # px on the long side
VERSION = 1  # part of the fingerprint: raise it whenever a formula changes

DIMENSIONS = (
    Dimension("sharpness", "the sharpest tenth of the picture, so that bokeh is no fault; measured"),
    Dimension("exposure", "light in the brighter half, less what is burnt out; measured"),
    Dimension("contrast", "root-mean-square contrast; measured"),
    Dimension("colorfulness", "Hasler and Suesstrunk's M3; measured"),
    Dimension("noise", "freedom from noise; measured"),
)
_ON_LUMA = frozenset({"sharpness", "noise"})

_TILE = 32  # px
_REBLUR_RADIUS = 4  # px: a box of nine, as in Crete et al.


def measure(picture: Picture, seen: Pixels, names: Collection[str]) -> dict[str, float]:
    """Measure the dimensions `names` of one picture.

    Args:
        picture: decoded in full only when a dimension needs fine detail.
        seen: the picture as the network sees it, sRGB, (height, width, 3).
        names: of DIMENSIONS.

    """
    values: dict[str, float] = {}
    if not _ON_LUMA.isdisjoint(names):
        luma = picture.luma(VIEWING_SIZE)
        deviation = noise_deviation(luma)
        values["sharpness"] = sharpness(luma, deviation)
        values["noise"] = 10.0 * math.exp(-deviation / 8.0)
    values["exposure"] = exposure(seen)
    values["contrast"] = contrast(seen)
    values["colorfulness"] = colorfulness(seen)
    return {dimension.name: values[dimension.name] for dimension in DIMENSIONS if dimension.name in names}


def sharpness(luma: Pixels, noise: float = 0.0) -> float:
    """Say how much detail a further blur would destroy, in the tiles that have most of it.

    After Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual blur metric"
    (SPIE 6492, 2007): differences of neighbours before and after a box blur of nine. Here their squares are summed
    over tiles of 32 px, what noise of deviation `noise` adds is taken off, and only the tenth of the tiles that lose
    most counts.

    Args:
        luma: (height, width), 0-255.
        noise: standard deviation, in levels of 255.

    """
    from PIL import Image, ImageFilter

    if min(luma.shape) < 3:
        return 0.0  # no neighbours, no detail
    picture = Image.fromarray(luma)
    # Noise adds 2 sigma^2 to the squared differences along each axis.
    before: Samples = np.array(-4.0 * noise**2)
    after: Samples = before / (2 * _REBLUR_RADIUS + 1) ** 2
    for axis, radius in ((1, (_REBLUR_RADIUS, 0)), (0, (0, _REBLUR_RADIUS))):
        before = before + _energy(luma, axis)
        after = after + _energy(np.asarray(picture.filter(ImageFilter.BoxBlur(radius))), axis)
    before, after = np.maximum(before, 0.0).ravel(), np.maximum(after, 0.0).ravel()
    lost = before - after
    best = np.argsort(lost, kind="stable")[-max(1, lost.size // 10) :]
    # One is the energy of rounding to whole levels: where there is no more than that, there is no detail.
    kept = math.sqrt((after[best].mean() + 1.0) / (before[best].mean() + 1.0))
    return 10.0 * min(max((1.0 - kept) / 0.9, 0.0), 1.0)


def noise_deviation(luma: Pixels) -> float:
    """Estimate the standard deviation of noise, in levels of 255.

    Immerkaer, "Fast noise variance estimation" (Computer Vision and Image Understanding 64, 1996): the mean absolute
    response to a mask that cancels constant and linear structure. Taken in tiles of 32 px that are not clipped; the
    tile at the lowest tenth stands for the picture, since texture only ever adds.
    """
    height, width = luma.shape
    if min(height, width) < 3:
        return 0.0
    # [1 -2 1] along both axes, in place: these arrays are the largest of the whole program.
    rows = luma.astype(np.int16)
    across = rows[:, :-2] + rows[:, 2:]
    across -= 2 * rows[:, 1:-1]
    response = across[:-2] + across[2:]
    response -= 2 * across[1:-1]
    np.abs(response, out=response)
    levels = _tile_means(luma[1:-1, 1:-1])
    deviations = _tile_means(response) * (math.sqrt(math.pi / 2.0) / 6.0)
    usable = deviations[(levels > 8.0) & (levels < 247.0)]
    return float(np.quantile(usable if usable.size else deviations, 0.1))


def exposure(seen: Pixels) -> float:
    """Judge light: the mean luma of the brighter half, less the square of the share that is burnt out.

    A dark background is no fault, and neither is a small lamp. Burnt out is what lies within 2% of the brightest
    level (counted in part from 10% on): that share does not change when the whole picture is darkened, so darkening
    never helps. The level that 2% of the picture reach stands for the brightest, since resizing overshoots at edges.
    Our own formula.
    """
    luma = _luma(seen).ravel()
    ordered = np.sort(luma)
    brightest = float(ordered[int(0.98 * (luma.size - 1))])
    if brightest == 0.0:
        return 0.0
    bright = float(ordered[luma.size // 2 :].mean()) / 255.0
    light = 1.0 - (1.0 - bright) ** 2
    burnt = float(np.square(np.clip((luma / brightest - 0.9) / 0.08, 0.0, 1.0)).mean())
    return 10.0 * light * (1.0 - burnt**2)


def contrast(seen: Pixels) -> float:
    """Return the root-mean-square contrast of Peli, "Contrast in complex images" (JOSA A 7, 1990): 10 at 0.33."""
    return 10.0 * min(float(_luma(seen).std()) / 255.0 / 0.33, 1.0)


def colorfulness(seen: Pixels) -> float:
    """Return M3 of Hasler and Suesstrunk, "Measuring colourfulness in natural images" (SPIE 5007, 2003): 10 at 109.

    109 is what their observers called extremely colourful, 0 not colourful.
    """
    red, green, blue = (seen[..., channel].astype(np.float64) for channel in range(3))
    red_green, yellow_blue = red - green, 0.5 * (red + green) - blue
    spread = math.hypot(red_green.std(), yellow_blue.std())
    distance = math.hypot(red_green.mean(), yellow_blue.mean())
    return 10.0 * min((spread + 0.3 * distance) / 109.0, 1.0)


def _luma(seen: Pixels) -> Samples:
    return np.asarray(seen @ np.array([0.299, 0.587, 0.114]))


def _energy(luma: Pixels, axis: int) -> Samples:
    """Return the mean squared difference of neighbours along `axis` in each tile."""
    samples = luma.astype(np.int16)
    difference = samples[1:, 1:] - (samples[1:, :-1] if axis == 1 else samples[:-1, 1:])
    # 255 squared does not fit int16, but its wrapped bits are those of uint16: no wider array is needed.
    return _tile_means(np.multiply(difference, difference, out=difference).view(np.uint16))


def _tile_means(samples: Samples) -> Samples:
    """Return the means of whole tiles; a picture smaller than a tile is one tile."""
    height, width = samples.shape
    tall, wide = min(_TILE, height), min(_TILE, width)
    down, across = height // tall, width // wide
    tiles = samples[: down * tall, : across * wide].reshape(down, tall, across, wide)
    return np.asarray(tiles.mean(axis=(1, 3), dtype=np.float64))
