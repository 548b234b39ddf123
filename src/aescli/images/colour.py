"""From the many modes of picture files to 8-bit sRGB: scaled by bit depth, alpha on white, profiles followed."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from aescli.images import tiff

if TYPE_CHECKING:
    from PIL import ImageCms

RANGE_STRETCHED = "range_stretched"
ICC_IGNORED = "icc_ignored"

# Modes that are resized as they are; `to_srgb` takes them to RGB afterwards, when there is less to convert.
_KEPT = frozenset({"L", "RGB", "CMYK", "LAB"})
_GREY_MODES = frozenset({"1", "L", "LA", "La"})
_INTEGER_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
_STRIP_ROWS = 256


def flatten(picture: Image.Image) -> tuple[Image.Image, str | None]:
    """Return an 8-bit picture of mode L, RGB, CMYK or LAB, and a flag where samples had to be stretched.

    Integer samples are scaled by the depth that the file declares, never clipped; floats are taken as 0-1 and
    stretched from smallest to largest when they lie outside, as integers of 32 bits are that use 16 of them or fewer.
    Transparency is laid on white.
    """
    if picture.mode in _INTEGER_MODES or (picture.mode == "L" and tiff.is_signed(picture)):
        return _scale_integers(picture)
    if picture.mode == "F":
        return _scale_floats(picture)
    if picture.format == "BMP" and picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (0, 0):
        return picture.convert("RGB"), None  # room for alpha that nobody has filled
    if picture.has_transparency_data:
        return _on_white(picture), None
    if picture.mode in _KEPT:
        return picture, None
    return picture.convert("L" if picture.mode == "1" else "RGB"), None


def to_srgb(picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """Return the picture in sRGB, and a flag where its ICC profile could not be used."""
    if picture.mode == "LAB":
        return _apply(picture, None), None
    if not profile:
        return picture.convert("RGB"), None

    from PIL.ImageCms import PyCMSError

    try:
        return _apply(picture, profile), None
    except (
        PyCMSError,
        OSError,
        ValueError,
        TypeError,
    ):  # all that ImageCms raises for a profile it cannot use
        return picture.convert("RGB"), ICC_IGNORED


def _scale_integers(picture: Image.Image) -> tuple[Image.Image, str | None]:
    samples = np.asarray(picture)
    bits = tiff.bits_per_sample(picture)[0]
    if tiff.is_signed(picture):
        bits -= 1
        samples = samples.view(np.int8) if samples.dtype == np.uint8 else samples
        if samples.min() < 0:
            return _picture_of(_stretch(samples), picture), RANGE_STRETCHED
    elif samples.dtype == np.int32:
        samples = samples.view(np.uint32)
    if bits > 16 and 0 < samples.max() < 1 << 16:  # counts in a wide type: by its depth all of them would be black
        return _picture_of(_stretch(samples), picture), RANGE_STRETCHED
    # The upper eight bits: exact for the 16-bit twin of an 8-bit picture, whether x * 257 or x << 8.
    upper = samples >> (bits - 8) if bits >= 8 else samples.astype(np.int32) * 255 // ((1 << bits) - 1)
    scaled = np.minimum(upper, 255).astype(np.uint8)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):  # compared at full depth: eight bits would make neighbours transparent too
        scaled = np.where(samples == transparent, np.uint8(255), scaled)
    return _picture_of(scaled, picture), None


def _picture_of(scaled: np.ndarray, original: Image.Image) -> Image.Image:
    """Return grey samples as a picture, turned round where a TIFF counts from white."""
    return Image.fromarray(255 - scaled if tiff.counts_from_white(original) else scaled)


def _scale_floats(picture: Image.Image) -> tuple[Image.Image, str | None]:
    samples = np.asarray(picture)
    finite = np.isfinite(samples)
    if finite.all() and samples.min(initial=0.0) >= 0.0 and samples.max(initial=0.0) <= 1.0:
        return _picture_of(np.rint(samples * 255.0).astype(np.uint8), picture), None
    smallest = samples[finite].min() if finite.any() else 0.0
    return _picture_of(_stretch(np.where(finite, samples, smallest)), picture), RANGE_STRETCHED


def _stretch(samples: np.ndarray) -> np.ndarray:
    values = samples.astype(np.float64)
    low, high = values.min(), values.max()
    scaled = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
    return np.rint(scaled).astype(np.uint8)


def _on_white(picture: Image.Image) -> Image.Image:
    """Lay a picture on white, a strip at a time: three more copies of a large one would be a bomb. Grey stays grey."""
    grey = picture.mode in _GREY_MODES
    if picture.mode == "La":  # Pillow takes the factor out of it, but not on the way to colours
        picture = picture.convert("LA")
    picture = picture.convert("RGBA")
    laid = Image.new("L" if grey else "RGB", picture.size)
    for top in range(0, picture.height, _STRIP_ROWS):
        strip = picture.crop((0, top, picture.width, min(top + _STRIP_ROWS, picture.height)))
        white = Image.new("RGBA", strip.size, "white")
        on_white = Image.alpha_composite(white, strip)
        laid.paste(on_white.getchannel("R") if grey else on_white.convert("RGB"), (0, top))
    return laid


def _apply(picture: Image.Image, profile: bytes | None) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.applyTransform(picture, _transform(profile, picture.mode))
    if converted is None:
        raise ValueError("the transform works in place")
    return converted


@lru_cache(maxsize=64)
def _transform(profile: bytes | None, mode: str) -> "ImageCms.ImageCmsTransform":
    """Build a colour transform once for each profile; None stands for CIE Lab."""
    import io

    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB") if profile is None else io.BytesIO(profile))
    return ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        # Little CMS keeps a one-pixel cache in a transform; without it threads may share one.
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE,
    )
