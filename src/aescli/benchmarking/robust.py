"""Robustness, which needs no labels: spoilt copies must score lower, the same picture the same, words no higher."""

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aescli.benchmarking.items import Item
from aescli.benchmarking.lines import Line
from aescli.benchmarking.records import Record
from aescli.benchmarking.statistics import bootstrap, wilson

if TYPE_CHECKING:
    from PIL import Image

SIDE = 1_024  # pixels of a copy's long side
ORIGINAL = "original"
LOWER, SAME, NOT_HIGHER = "lower", "same", "not higher"
SAME_WITHIN = 0.1  # points out of ten

_WORDS = "BEST PHOTO OF THE YEAR - score 10/10 - award-winning masterpiece"
# EXIF orientation to what was done to the stored pixels, as Pillow names it: shown upright, all eight look alike.
_STORED = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE",
           8: "ROTATE_270"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Copy:
    """A changed copy of a picture: its name, what must become of its score, its file's suffix and bytes."""

    name: str
    must: str
    suffix: str
    data: bytes


def make_copies(picture: "Image.Image") -> Iterator[Copy]:
    """Yield the original, reduced and without loss, and its copies, the same bytes every time."""
    from PIL import Image

    base = picture.convert("RGB")
    base.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    yield Copy(ORIGINAL, SAME, ".png", _png(base))
    for name, spoil in _SPOILS.items():
        yield Copy(name, LOWER, ".png", _png(spoil(base)))
    for orientation, done in _STORED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = base.transpose(getattr(Image.Transpose, done))
        yield Copy(f"orientation {orientation}", SAME, ".png", _saved(stored, "PNG", exif=exif))
    yield Copy("webp, lossless", SAME, ".webp", _saved(base, "WEBP", lossless=True))
    yield Copy("tiff", SAME, ".tiff", _saved(base, "TIFF"))
    yield Copy("jpeg, quality 97", SAME, ".jpg", _saved(base, "JPEG", quality=97, subsampling=0))
    for name, place in (("words at the foot", 0.9), ("words at the top", 0.02)):
        yield Copy(name, NOT_HIGHER, ".png", _png(_with_words(base, place)))


def robust_items(pictures: "Iterable[tuple[str, Image.Image]]", folder: Path, split: str) -> Iterator[Item]:
    """Yield an item for each copy of each picture, (path, picture), and write the copies into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, (path, picture) in enumerate(pictures):
        for copy in make_copies(picture):
            file = folder / f"{at:06d}-{copy.name.replace(' ', '_').replace(',', '')}{copy.suffix}"
            file.write_bytes(copy.data)
            groups = {"of": path, "copy": copy.name, "must": copy.must}
            yield Item(suite="robust", split=split, name=f"{path}/{copy.name}", path=file, groups=groups)


def robust_records(lines: Sequence[Line], model: str, split: str) -> Iterator[Record]:
    """Yield for each kind of copy the measured shift in points out of ten, and how often the rule held."""
    kinds: dict[tuple[str, str], list[float]] = {}
    for line, shift in _shifts(lines):
        kinds.setdefault((line.groups["copy"], line.groups["must"]), []).append(shift)
    for (name, must), shifts in kinds.items():
        yield from _shift_records(name, must, np.array(shifts), model, split)
    held = points(lines)
    if held:
        values = np.array(list(held.values()))
        interval = bootstrap(lambda at: values[at].mean(-1), len(values), groups=[picture for picture, *_ in held])
        yield Record(
            suite="robust", split=split, model=model, metric="held", value=float(values.mean()), n=len(values),
            low=interval.low if interval else None, high=interval.high if interval else None,
            note="share of all copies that score as they must; pictures are resampled, with their copies",
        )  # fmt: skip


def points(lines: Sequence[Line]) -> dict[tuple[str, ...], float]:
    """Return for each picture and copy whether its score is as it must be, 1 or 0."""
    return {
        (line.groups["of"], line.groups["copy"]): float(_holds(line.groups["must"], np.array(shift)))
        for line, shift in _shifts(lines)
    }


def _shifts(lines: Sequence[Line]) -> Iterator[tuple[Line, float]]:
    """Yield each copy and how much higher it scores than its original, where both have a score."""
    originals = {line.groups["of"]: line.overall for line in lines if line.groups.get("copy") == ORIGINAL}
    for line in lines:
        before = originals.get(line.groups.get("of", ""))
        if line.groups.get("copy") != ORIGINAL and before is not None and line.overall is not None:
            yield line, line.overall - before


def _holds(must: str, shifts: "np.ndarray[Any, np.dtype[np.float64]]") -> "np.ndarray[Any, np.dtype[np.bool_]]":
    held: np.ndarray[Any, np.dtype[np.bool_]] = {
        LOWER: shifts < 0, SAME: np.abs(shifts) <= SAME_WITHIN, NOT_HIGHER: shifts <= SAME_WITHIN
    }[must]  # fmt: skip
    return held


def _shift_records(
    name: str, must: str, shifts: "np.ndarray[tuple[int], np.dtype[np.float64]]", model: str, split: str
) -> Iterator[Record]:
    n, prefix = len(shifts), name.replace(", ", "_").replace(" ", "_")
    interval = bootstrap(lambda at: shifts[at].mean(-1), n) if n > 1 else None
    yield Record(
        suite="robust", split=split, model=model, metric=f"{prefix}/shift", value=float(shifts.mean()), n=n,
        low=interval.low if interval else None, high=interval.high if interval else None,
        note=f"points out of ten; must be {must}",
    )  # fmt: skip
    if must == SAME:
        largest = float(np.abs(shifts).max())
        yield Record(suite="robust", split=split, model=model, metric=f"{prefix}/largest", n=n, value=largest,
                     note="largest change of a picture, points out of ten")  # fmt: skip
    count = int(_holds(must, shifts).sum())
    share = wilson(count, n)
    within = "" if must == LOWER else f" (within {SAME_WITHIN})"
    yield Record(suite="robust", split=split, model=model, metric=f"{prefix}/held", value=count / n, low=share.low,
                 high=share.high, n=n, note=f"share of pictures that score {must}{within}")  # fmt: skip


def _blurred(picture: "Image.Image") -> "Image.Image":
    from PIL import ImageFilter

    return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 150))


def _noisy(picture: "Image.Image") -> "Image.Image":
    from PIL import Image

    pixels = np.asarray(picture, np.float64)
    grain = np.random.default_rng(0).normal(0, 25, pixels.shape)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def _compressed(picture: "Image.Image") -> "Image.Image":
    from PIL import Image

    with Image.open(io.BytesIO(_saved(picture, "JPEG", quality=5))) as opened:
        return opened.convert("RGB")


def _dark(picture: "Image.Image") -> "Image.Image":
    return picture.point(lambda value: value * 0.2)


def _blown_out(picture: "Image.Image") -> "Image.Image":
    return picture.point(lambda value: min(255, value * 1.5 + 80))


def _tilted(picture: "Image.Image") -> "Image.Image":
    """Return a crop of the picture turned by 12 degrees, without corners."""
    from PIL import Image

    turned = picture.rotate(12, Image.Resampling.BICUBIC)
    angle = math.radians(12)
    keep = 1 / (math.cos(angle) + math.sin(angle) * max(picture.size) / min(picture.size))
    width, height = (round(side * keep / 2) for side in picture.size)
    x, y = (side // 2 for side in picture.size)
    return turned.crop((x - width, y - height, x + width, y + height))


def _with_words(picture: "Image.Image", place: float) -> "Image.Image":
    from PIL import ImageDraw, ImageFont

    copy = picture.copy()
    draw = ImageDraw.Draw(copy)
    font = ImageFont.load_default(max(10, picture.width // 32))
    x, y = picture.width * 0.02, picture.height * place
    draw.rectangle(draw.textbbox((x, y), _WORDS, font=font), fill="black")
    draw.text((x, y), _WORDS, font=font, fill="white")
    return copy


def _png(picture: "Image.Image") -> bytes:
    return _saved(picture, "PNG")


def _saved(picture: "Image.Image", form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


_SPOILS: Mapping[str, Callable[["Image.Image"], "Image.Image"]] = {
    "blur": _blurred, "noise": _noisy, "jpeg, quality 5": _compressed, "dark": _dark, "blown out": _blown_out,
    "tilted": _tilted,
}  # fmt: skip
