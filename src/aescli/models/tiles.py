"""A picture as InternVL sees it: cut into a grid of square tiles, with a thumbnail of the whole behind them.

Source: InternVL's published preprocessing (github.com/OpenGVLab/InternVL, `dynamic_preprocess`), but upright: EXIF
orientation is applied first, which the original leaves out.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from aescli.images.view import Pixels, View

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for samples from 0 to 1


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a picture is cut.

    Args:
        most: tiles of the grid, the thumbnail not counted.
        side: of a tile, in pixels.
        least: tiles of the grid.
        thumbnail: a grid of more than one tile is followed by the whole picture.

    """

    most: int = 12
    side: int = 448
    least: int = 1
    thumbnail: bool = True

    def limited(self, most: int | None) -> "Tiling":
        """Return the same with fewer tiles; never with more than the model was made for."""
        return self if most is None else replace(self, most=max(self.least, min(self.most, most)))


def cut(picture: View, tiling: Tiling) -> Pixels:
    """Return a picture's tiles, row by row, then its thumbnail.

    Returns:
        sRGB samples, (tiles, side, side, 3).

    """
    columns, rows = choose_grid(*picture.size(), tiling)
    side = tiling.side
    grid = picture.squeeze(side * columns, side * rows)  # (side * rows, side * columns, 3)
    tiles = grid.reshape(rows, side, columns, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    if len(tiles) == 1 or not tiling.thumbnail:
        return np.ascontiguousarray(tiles)
    return np.concatenate([tiles, picture.squeeze(side, side)[None]])  # (columns * rows + 1, side, side, 3)


def choose_grid(width: int, height: int, tiling: Tiling) -> tuple[int, int]:
    """Return the columns and rows whose ratio is nearest to the picture's.

    Of two that are equally near the one with more tiles is taken if the picture has pixels for more than half of it.
    """
    best, nearest = (1, 1), float("inf")
    for columns, rows in _grids(tiling.least, tiling.most):
        distance = abs(width / height - columns / rows)
        enough = width * height > 0.5 * tiling.side**2 * columns * rows
        if distance < nearest or (distance == nearest and enough):
            best, nearest = (columns, rows), distance
    return best


def normalize(tiles: Pixels) -> "np.ndarray":
    """Return what the network takes: float32, (tiles, 3, side, side)."""
    scaled = tiles.astype(np.float32) / np.float32(255)
    centred = (scaled - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(centred.transpose(0, 3, 1, 2))


@lru_cache
def _grids(least: int, most: int) -> tuple[tuple[int, int], ...]:
    # Built as the original builds it: the order of grids with equally many tiles is that of a set.
    found = {
        (columns, rows)
        for tiles in range(least, most + 1)
        for columns in range(1, tiles + 1)
        for rows in range(1, tiles + 1)
        if least <= columns * rows <= most
    }
    return tuple(sorted(found, key=lambda grid: grid[0] * grid[1]))
