"""What a picture looks like, in 224 bytes, and which pictures look alike.

The difference hash finds candidates; nine by eight colours decide, because every even picture (night, snow, a wall) has
nearly the same hash.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from aescli.errors import PictureError
from aescli.images.borders import find_border
from aescli.images.find import Found
from aescli.images.fingerprints import BITS, find_alike, find_grey, hash_colours, shrink
from aescli.images.opening import Opener
from aescli.images.view import Pixels, View
from aescli.runtime import usable_cpus

USUAL_BITS, MOST_BITS = 6, 7  # that may differ, of 64

# Levels of 255: the mean difference of two pictures' colours once their light is equal, and that of their light.
# Measured: copies that were halved, recompressed, brightened by a fifth or cropped by 2% on each side stay below 13 and
# 32; of 2,169 photographs the nearest two that differ, of the 50 pairs with hashes within 7 bits, are 14 apart.
_NEAR_COLOURS, _NEAR_LIGHT = 13.0, 40.0
_WITH_BORDER = 144  # pixels of each side of what a border is sought in
_EVEN, _BLEEDING = 24, 2  # levels of 255 by which a border's pixels differ at most, and pixels that it bleeds into
_INSIDE = 0.25  # of each side is left at least
_GREY = 6  # levels of 255 by which a pixel's channels differ at most: those of a JPEG in black and white are equal
_AHEAD = 16  # pictures for each thread that are looked at before they are asked for

Looked = TypeVar("Looked")  # a look, or several


@dataclass(frozen=True, slots=True)
class Look:
    """A picture's difference hash, and its colours, (8, 9, 3)."""

    hash: int
    colours: Pixels

    @property
    def is_grey(self) -> bool:
        """Whether it has no colours."""
        return bool(np.ptp(self.colours.astype(int), axis=-1).max() <= _GREY)

    def without_colours(self) -> "Look":
        """Return the look of the picture in black and white."""
        grey = np.round(find_grey(self.colours)).astype(np.uint8)
        return Look(self.hash, np.repeat(grey[..., None], 3, axis=-1))

    def bits_from(self, other: "Look") -> int:
        """Return in how many of 64 bits the hashes differ."""
        return (self.hash ^ other.hash).bit_count()

    def is_near(self, other: "Look") -> bool:
        """Tell whether the colours are the same, but for some light."""
        one, two = self.colours.astype(np.float64), other.colours.astype(np.float64)
        light = one.mean() - two.mean()
        return bool(abs(light) <= _NEAR_LIGHT and np.abs(one - two - light).mean() <= _NEAR_COLOURS)

    def is_like(self, other: "Look", most: int) -> bool:
        """Tell whether two pictures are near-duplicates: at most `most` bits differ, and colours are near."""
        return self.bits_from(other) <= most and self.is_near(other)


def look_at(view: View) -> Look:
    """Return what a picture looks like."""
    return _look_of(shrink(view))


def look_around(view: View) -> tuple[Look, ...]:
    """Return a picture's look, and then eight of what is inside its border: turned by quarters, and mirrored so."""
    inside = cut_border(view.squeeze(_WITH_BORDER, _WITH_BORDER))
    turned = [np.rot90(inside, quarters) for quarters in range(4)]
    return look_at(view), *(_look_of(_shrink(each)) for one in turned for each in (one, one[:, ::-1]))


def cut_border(pixels: Pixels) -> Pixels:
    """Return a small picture, (height, width, 3), without rows and columns of one colour at its edges.

    A frame, bars above and below or room at the sides, with what a resize and JPEG have left beside them. Of a picture
    that has little else the whole is returned.
    """
    height, width = pixels.shape[:2]
    top, bottom, left, right = (each and each + _BLEEDING for each in find_border(pixels, _EVEN))
    if not top + bottom + left + right:
        return pixels
    rows, columns = slice(top, height - bottom), slice(left, width - right)
    inside = pixels[rows, columns]
    return inside if min(inside.shape[0] / height, inside.shape[1] / width) >= _INSIDE else pixels


def look_at_all(
    pictures: Iterable[Found], opener: Opener, look: Callable[[View], Looked]
) -> Generator[Looked | PictureError]:
    """Yield what each picture looks like, in order, or why it cannot be told; pictures are opened in threads.

    Args:
        pictures: that are looked at.
        opener: of them.
        look: `look_at` or `look_around`.

    """
    waiting: deque[Future[Looked | PictureError]] = deque()
    workers = usable_cpus()
    threads = ThreadPoolExecutor(workers)
    try:
        for picture in pictures:
            waiting.append(threads.submit(_open_and_look, picture, opener, look))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


class Index:
    """Looks that were added one by one, and which of them a new one is like."""

    def __init__(self, most: int) -> None:
        """Find looks that differ in at most `most` bits, 0 to MOST_BITS."""
        if not 0 <= most <= MOST_BITS:
            raise ValueError(f"{most} different bits: 0 to {MOST_BITS} are searched for")
        self._most = most
        # Hashes that differ in k bits agree in one of k + 1 bands; fewer and wider bands hold fewer strangers.
        self._width = BITS // 4 if most < 4 else BITS // 8
        self._bands: list[defaultdict[int, list[Look]]] = [defaultdict(list) for _ in range(BITS // self._width)]

    def find(self, look: Look) -> Look | None:
        """Return one that was added and is like this one."""
        for band, places in zip(_cut(look.hash, self._width), self._bands, strict=True):
            for other in places.get(band, ()):
                if look.is_like(other, self._most):
                    return other
        return None

    def add(self, look: Look) -> None:
        for band, places in zip(_cut(look.hash, self._width), self._bands, strict=True):
            places[band].append(look)


def find_pairs(looks: Sequence[Look], most: int) -> Iterator[tuple[int, int]]:
    """Yield pairs of places whose pictures are near-duplicates; of pictures with one hash, each with the first alike.

    Chains are enough to group by: pictures with the same hash are not all paired with each other.
    """
    heads: dict[int, list[int]] = {}  # of pictures with one hash, one of each kind of colours
    for at, look in enumerate(looks):
        kinds = heads.setdefault(look.hash, [])
        same = next((head for head in kinds if look.is_near(looks[head])), None)
        if same is None:
            kinds.append(at)
        else:
            yield same, at
    hashes = list(heads)
    for one, other in find_alike(hashes, most):
        for first in heads[hashes[one]]:
            for second in heads[hashes[other]]:
                if looks[first].is_near(looks[second]):
                    yield min(first, second), max(first, second)


def _open_and_look(picture: Found, opener: Opener, look: Callable[[View], Looked]) -> Looked | PictureError:
    try:
        with opener.open(picture.read().data, picture.path) as view:
            return look(view)
    except PictureError as error:
        return error


def _look_of(colours: Pixels) -> Look:
    return Look(hash_colours(colours), colours)


def _shrink(pixels: Pixels) -> Pixels:
    height, width = 8, 9
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.BOX))


def _cut(value: int, width: int) -> Iterator[int]:
    return (value >> start & (1 << width) - 1 for start in range(0, BITS, width))
