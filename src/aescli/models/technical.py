"""Technical dimensions, measured on the picture rather than learnt: each 0 to 10, higher is better.

Tone and colour are measured on the picture as the network sees it; sharpness and noise on its luma at a viewing size
of 1,536 px on the long side. `docs/mini.md` shows how real photographs are distributed.
"""

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from aescli.dimensions import Dimension
from aescli.images.view import Pixels, View

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
_LEVELS = np.arange(256, dtype=np.float64)
_BOX = 9  # px: the blur of Crete et al.


def measure(picture: View, seen: Pixels, names: Collection[str]) -> dict[str, float]:
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
    if "exposure" in names:
        values["exposure"] = exposure(seen)
    if "contrast" in names:
        values["contrast"] = contrast(seen)
    if "colorfulness" in names:
        values["colorfulness"] = colorfulness(seen)
    return {dimension.name: values[dimension.name] for dimension in DIMENSIONS if dimension.name in names}


def sharpness(luma: Pixels, noise: float = 0.0) -> float:
    """Say how much detail a further blur would destroy, in the tiles that have most of it.

    After Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual blur metric"
    (SPIE 6492, 2007): differences of neighbours before and after a box blur of nine. Here their squares are summed
    over tiles of 32 px, what noise of deviation `noise` adds is taken off, and only the tenth of the tiles that lose
    most counts. Nothing needs to be blurred: neighbours in a box blur of nine differ by a ninth of what two samples
    differ that lie nine apart.

    Args:
        luma: (height, width), 0-255.
        noise: standard deviation, in levels of 255.

    """
    reach = min(_BOX, (min(luma.shape) - 1) // 2 * 2 - 1)
    if reach < 3:
        return 0.0  # too small for detail that a blur could take
    samples = luma.astype(np.int16)
    # Noise adds 2 sigma^2 to the squared differences along each axis.
    before = np.maximum(_energy(samples, 1, reach) - 4.0 * noise**2, 0.0).ravel()
    after = np.maximum(_energy(samples, reach, reach) - 4.0 * noise**2, 0.0).ravel() / reach**2
    best = np.argsort(before - after, kind="stable")[-max(1, before.size // 10) :]
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
    counts = _histogram(seen)
    below = np.cumsum(counts)
    total = int(below[-1])
    level = int(np.searchsorted(below, 0.98 * total))
    # Between this level and the one below: a whole level is much in a dark picture.
    brightest = level - float(below[level] - 0.98 * total) / float(counts[level])
    if level == 0:
        return 0.0
    # The brighter half: all that lies above the median's level, and as much of that level as makes it half.
    upper = np.clip(below - total / 2, 0, counts)
    light = 1.0 - (1.0 - float(upper @ _LEVELS / upper.sum()) / 255.0) ** 2
    near = np.square(np.clip((_LEVELS / brightest - 0.9) / 0.08, 0.0, 1.0))
    burnt = float(counts @ near) / total
    return 10.0 * light * (1.0 - burnt**2)


def contrast(seen: Pixels) -> float:
    """Return the root-mean-square contrast of Peli, "Contrast in complex images" (JOSA A 7, 1990): 10 at 0.33."""
    counts = _histogram(seen)
    shares = counts / counts.sum()
    mean = float(shares @ _LEVELS)
    deviation = math.sqrt(float(shares @ np.square(_LEVELS - mean)))
    return 10.0 * min(deviation / 255.0 / 0.33, 1.0)


def colorfulness(seen: Pixels) -> float:
    """Return M3 of Hasler and Suesstrunk, "Measuring colourfulness in natural images" (SPIE 5007, 2003): 10 at 109.

    109 is what their observers called extremely colourful, 0 not colourful.
    """
    red, green, blue = (seen[..., channel].ravel().astype(np.int16) for channel in range(3))
    red_green, twice_yellow_blue = red - green, red + green - 2 * blue
    spread = math.hypot(_deviation(red_green), _deviation(twice_yellow_blue) / 2)
    distance = math.hypot(float(red_green.mean()), float(twice_yellow_blue.mean()) / 2)
    return 10.0 * min((spread + 0.3 * distance) / 109.0, 1.0)


def _deviation(samples: Samples) -> float:
    """Return the standard deviation; numpy's own takes four times as long on these."""
    centred = samples.astype(np.float32) - np.float32(samples.mean())
    return math.sqrt(float(centred @ centred) / len(centred))


def _histogram(seen: Pixels) -> Samples:
    """Count the levels of luma (ITU-R BT.601), 0 to 255."""
    from PIL import Image

    return np.array(Image.fromarray(seen).convert("L").histogram(), np.float64)


def _energy(samples: Samples, apart: int, margin: int) -> Samples:
    """Return for each tile the mean squared differences of samples `apart` along rows plus along columns.

    Tiles lie at the same place for every odd `apart` up to `margin`, around the middle between the two samples.
    """
    height, width = samples.shape
    first, second = (margin - apart) // 2, (margin + apart) // 2
    rows, columns = height - margin, width - margin
    inside = margin // 2
    across = (
        samples[inside : inside + rows, second : second + columns]
        - samples[inside : inside + rows, first : first + columns]
    )
    down = (
        samples[second : second + rows, inside : inside + columns]
        - samples[first : first + rows, inside : inside + columns]
    )
    # 255 squared does not fit int16, but its wrapped bits are those of uint16: no wider array is needed.
    return sum(
        (_tile_means(np.multiply(each, each, out=each).view(np.uint16)) for each in (across, down)), np.zeros(())
    )


def _tile_means(samples: Samples) -> Samples:
    """Return the means of whole tiles; a picture smaller than a tile is one tile."""
    height, width = samples.shape
    tall, wide = min(_TILE, height), min(_TILE, width)
    down, across = height // tall, width // wide
    # Rows first, along whole lines of memory: four times as fast as a mean over both axes at once.
    columns = samples[: down * tall, : across * wide].reshape(down, tall, across * wide).sum(axis=1, dtype=np.int32)
    return np.asarray(columns.reshape(down, across, wide).sum(axis=2, dtype=np.float64) / (tall * wide))
