"""From the many modes of picture files to 8-bit sRGB: scaled by bit depth, alpha on white, profiles followed."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL import ImageCms

RANGE_STRETCHED = "range_stretched"
ICC_IGNORED = "icc_ignored"

# Modes that are resized as they are; `to_srgb` takes them to RGB afterwards, when there is less to convert.
_KEPT = frozenset({"L", "RGB", "CMYK", "LAB"})
_INTEGER_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
_BITS_PER_SAMPLE = 258


def flatten(picture: Image.Image) -> tuple[Image.Image, str | None]:
    """Return an 8-bit picture of mode L, RGB, CMYK or LAB, and a flag where samples had to be stretched.

    Integer samples are scaled by the depth that the file declares, never clipped; floats are taken as 0-1 and
    stretched from smallest to largest when they lie outside. Transparency is laid on white.
    """
    if picture.mode in _INTEGER_MODES:
        return _scale_integers(picture)
    if picture.mode == "F":
        return _scale_floats(picture)
    if picture.has_transparency_data:
        return _on_white(picture.convert("RGBA")), None
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
    bits = _declared_bits(picture)
    if samples.min(initial=0) < 0:
        return _stretch(samples)
    # The upper eight bits: exact for the 16-bit twin of an 8-bit picture, whether x * 257 or x << 8.
    scaled = samples >> (bits - 8) if bits > 8 else samples
    return Image.fromarray(np.minimum(scaled, 255).astype(np.uint8)), None


def _declared_bits(picture: Image.Image) -> int:
    tags = getattr(picture, "tag_v2", None)
    if tags is not None:  # TIFF keeps 12, 16 or 32 bits in these modes
        declared = tags.get(_BITS_PER_SAMPLE, (16,))
        return int(declared[0] if isinstance(declared, tuple) else declared)
    return 16


def _scale_floats(picture: Image.Image) -> tuple[Image.Image, str | None]:
    samples = np.asarray(picture)
    finite = np.isfinite(samples)
    if finite.all() and samples.min(initial=0.0) >= 0.0 and samples.max(initial=0.0) <= 1.0:
        return Image.fromarray(np.rint(samples * 255.0).astype(np.uint8)), None
    smallest = samples[finite].min() if finite.any() else 0.0
    return _stretch(np.where(finite, samples, smallest))


def _stretch(samples: np.ndarray) -> tuple[Image.Image, str | None]:
    values = samples.astype(np.float64)
    low, high = values.min(), values.max()
    scaled = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(np.rint(scaled).astype(np.uint8)), RANGE_STRETCHED


def _on_white(picture: Image.Image) -> Image.Image:
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


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
