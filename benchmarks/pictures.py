"""Folders of JPEGs for the benchmarks, made from real photographs.

A camera's file is imitated by enlarging a photograph with Lanczos and adding luma and chroma noise, quality 90, 4:2:0.
"""

import itertools
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = {"12mp": (4000, 3000), "24mp": (6000, 4000), "small": (384, 256)}


def make_folder(photographs: Path, kind: str, count: int, target: Path, *, distinct: int = 20) -> Path:
    """Fill `target/KIND` with `count` files, of which `distinct` differ; the rest are hard links."""
    folder = target / f"{kind}-{count}"
    if folder.exists() and len(list(folder.iterdir())) == count:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(photographs.rglob("*.jpg"))
    step = max(1, len(sources) // distinct)
    made = []
    for at, source in enumerate(sources[::step][:distinct]):
        made.append(folder / f"{at:06}.jpg")
        _write(source, SIZES[kind], made[-1], seed=at)
    for at, source in zip(range(len(made), count), itertools.cycle(made)):
        (folder / f"{at:06}.jpg").hardlink_to(source)
    return folder


def _write(source: Path, size: tuple[int, int], target: Path, seed: int) -> None:
    picture = Image.open(source).convert("RGB").resize(size, Image.Resampling.LANCZOS)
    grain = np.random.default_rng(seed).normal(0, 1, (size[1], size[0], 1)).astype(np.float32)
    tint = np.random.default_rng(seed + 1).normal(0, 1, (size[1] // 2, size[0] // 2, 3)).astype(np.float32)
    noisy = np.asarray(picture) + 3 * grain + 2 * tint.repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(target, quality=90, subsampling=2)
