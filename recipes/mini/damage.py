"""Spoil a photograph in known ways, at known strengths, so that a network can learn what is worse without a rating.

Every damage works on whole pictures in their own size, before they are squeezed to the network's input: a network must
learn what a spoilt file looks like, not what a spoilt input tensor looks like.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

Make = Callable[[Image.Image, float, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Damage:
    """One way to spoil a picture.

    Args:
        name: as the tables call it.
        strengths: mild, medium and strong; `make` takes any number between.
        technical: whether `technical` must fall; `overall` must otherwise.
        make: spoils a picture; its generator decides what the strength leaves open (a direction, a corner).

    """

    name: str
    strengths: tuple[float, float, float]
    technical: bool
    make: Make


def blur(picture: Image.Image, sigma: float, _: np.random.Generator) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(sigma))  # sigma in px


def add_noise(picture: Image.Image, sigma: float, rng: np.random.Generator) -> Image.Image:
    """Add grain: of each channel by itself, or as often the same in all, as film and black and white have it."""
    samples = np.asarray(picture, np.float32)  # (height, width, 3)
    grain = rng.normal(0.0, sigma, samples.shape)
    if grain[0, 0, 0] > 0.0:  # drawn already: what comes next is drawn as before
        grain = grain[..., :1]
    return _picture(samples + grain)


def compress(picture: Image.Image, coarseness: float, _: np.random.Generator) -> Image.Image:
    """Encode as JPEG; `coarseness` is 100 less the quality, so that more is worse."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=round(100 - coarseness))
    return Image.open(file).convert("RGB")


def darken(picture: Image.Image, stops: float, _: np.random.Generator) -> Image.Image:
    return _picture(np.asarray(picture, np.float32) * 2.0**-stops)


def brighten(picture: Image.Image, stops: float, _: np.random.Generator) -> Image.Image:
    return _picture(np.asarray(picture, np.float32) * 2.0**stops)


def flatten(picture: Image.Image, loss: float, rng: np.random.Generator) -> Image.Image:
    """Take `loss` (0 to 1) of the distance from mid-grey or from the picture's own mean, as it comes."""
    samples = np.asarray(picture, np.float32)
    middle = samples.mean() if rng.random() < 0.5 else 128.0
    return _picture(middle + (samples - middle) * (1.0 - loss))


def tint(picture: Image.Image, shift: float, rng: np.random.Generator) -> Image.Image:
    """Set the white balance off: a cast of cameras, `shift` in log gain, or as often one of any colour."""
    casts = np.array([(1, 0, -1), (-1, 0, 1), (-0.5, 0.8, -0.5), (0.6, -0.8, 0.6)])
    kind = rng.integers(8)
    cast = casts[kind] if kind < len(casts) else _any_cast(rng.random())
    return _picture(np.asarray(picture, np.float32) * np.exp(shift * cast))


def _any_cast(turn: float) -> np.ndarray:
    """Return a cast as far from grey as the warm one, by its place (0 to 1) on the circle of colours, (3,)."""
    angle = 2 * math.pi * turn
    return math.cos(angle) * np.array([1, 0, -1]) + math.sin(angle) * np.array([-1, 2, -1]) / math.sqrt(3)


def tilt(picture: Image.Image, degrees: float, rng: np.random.Generator) -> Image.Image:
    """Turn; then cut out the largest upright rectangle of the same shape, as an editor does, or leave bare corners."""
    angle = degrees if rng.random() < 0.5 else -degrees
    kind = rng.integers(4)
    if kind >= 2:
        return picture.rotate(angle, Image.Resampling.BICUBIC, fillcolor=((0, 0, 0), (255, 255, 255))[kind - 2])
    width, height = picture.size
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    ratio = min(width / (width * cosine + height * sine), height / (width * sine + height * cosine))
    turned = picture.rotate(angle, Image.Resampling.BICUBIC)
    across, down = max(1, width * ratio), max(1, height * ratio)
    left, top = (width - across) / 2, (height - down) / 2
    return turned.crop((math.ceil(left), math.ceil(top), int(left + across), int(top + down)))


def crop(picture: Image.Image, lost: float, rng: np.random.Generator) -> Image.Image:
    """Keep a window at a corner or an edge that has lost `lost` (0 to 1) of the width and the height."""
    width, height = picture.size
    across, down = max(1, round(width * (1 - lost))), max(1, round(height * (1 - lost)))
    corner = ((0, 0), (0, 1), (1, 0), (1, 1), (0, 0.5), (1, 0.5), (0.5, 0), (0.5, 1))[rng.integers(8)]
    left, top = round(corner[0] * (width - across)), round(corner[1] * (height - down))
    return picture.crop((left, top, left + across, top + down))


DAMAGES = (
    Damage("blur", (1.5, 3.0, 5.0), technical=True, make=blur),
    Damage("noise", (12.0, 25.0, 50.0), technical=True, make=add_noise),
    Damage("jpeg", (75.0, 90.0, 95.0), technical=True, make=compress),
    Damage("dark", (0.9, 1.74, 2.6), technical=True, make=darken),  # 1.74 stops: x0.3
    Damage("bright", (0.7, 1.32, 2.0), technical=True, make=brighten),  # 1.32 stops: x2.5
    Damage("contrast", (0.45, 0.7, 0.85), technical=True, make=flatten),
    Damage("white balance", (0.2, 0.4, 0.6), technical=False, make=tint),
    Damage("tilt", (6.0, 12.0, 20.0), technical=False, make=tilt),
    Damage("crop", (0.25, 0.4, 0.6), technical=False, make=crop),
)


def _picture(samples: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(samples), 0, 255).astype(np.uint8))
