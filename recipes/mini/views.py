"""What the network sees of every photograph, whole and spoilt, computed once and kept in shards.

The network is the eight-bit one that ships, so the heads that are fitted to its features know its rounding. A shard is
written beside its place and renamed: a run that was killed goes on with the next shard, and ends in the same features.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from damage import DAMAGES, Damage
from kept import keep_arrays
from network import SIDE
from PIL import Image

from aescli.images.picture import Decoding, open_picture

SHARD = 100  # photographs
PLAIN = ("whole", "mirrored")
LONG_SIDES = (500, 500, 640)  # px
SMALLEST = 0.35  # of its size that a softened view was brought to
REFRAMED = 2  # views cut mildly and lit a little differently, as another photographer would have


@dataclass(frozen=True)
class Views:
    """Features of photographs, view by view.

    Args:
        features: (photographs, views, FEATURES), half precision.
        strengths: (photographs, views): 0 where nothing was spoilt, 1 at medium strength, .5 mild, 1.5 strong.
        names: of the views.

    """

    features: np.ndarray
    strengths: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Repeats:
    """How often each damage is done to each photograph: those of `technical`, and the others, harder to see.

    Three times may be mild, medium and strong in this order, to measure; else strengths are drawn. `softened` views are
    as soft as a crop of a small photograph becomes: else softness, not framing, would give a crop away.
    """

    technical: int
    others: int
    softened: int = 0
    in_order: bool = False

    def of(self, damage: Damage) -> int:
        return self.technical if damage.technical else self.others


def view_names(repeats: Repeats) -> tuple[str, ...]:
    spoilt = [damage.name for damage in DAMAGES for _ in range(repeats.of(damage))]
    return (*PLAIN, *["reframed"] * REFRAMED, *["softened"] * repeats.softened, *spoilt)


def compute_views(photographs: Sequence[Path], graph: Path, folder: Path, *, repeats: Repeats, processes: int) -> None:
    """Fill `folder` with the shards that it lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = [at for at in range(0, len(photographs), SHARD) if not _shard(folder, at).exists()]
    tasks = [(list(photographs[at : at + SHARD]), graph, _shard(folder, at), repeats) for at in starts]
    with get_context("spawn").Pool(processes) as pool:
        for at, _ in enumerate(pool.imap(_compute, tasks), 1):
            print(f"views: {at} of {len(tasks)} shards", flush=True)


def read_views(folder: Path, repeats: Repeats) -> Views:
    shards = [np.load(file) for file in sorted(folder.glob("*.npz"))]
    joined = {key: np.concatenate([shard[key] for shard in shards]) for key in ("features", "strengths")}
    return Views(**joined, names=view_names(repeats))


def make_views(photograph: Path, repeats: Repeats) -> Iterator[tuple[Image.Image, float]]:
    """Yield every view of one photograph with its strength; the same ones each time."""
    digest = hashlib.sha256(photograph.name.encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    picture = open_photograph(photograph)
    # Damage is done at a common size: three pixels of blur are another thing at 200 px than at 500.
    own, long_side = picture, LONG_SIDES[rng.integers(len(LONG_SIDES))]
    picture = resize(own, long_side)
    yield picture, 0.0
    yield picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0.0
    for _ in range(REFRAMED):
        yield _reframe(picture, rng), 0.0
    for _ in range(repeats.softened):
        small = resize(own, round(min(SIDE, max(own.size)) * rng.uniform(SMALLEST, 1.0)))
        yield resize(small, long_side), 0.0
    for damage in DAMAGES:
        for repeat in range(repeats.of(damage)):
            level = float(repeat) if repeats.in_order else rng.uniform(0.0, 2.0)
            strength = float(np.interp(level, (0.0, 1.0, 2.0), damage.strengths))
            yield damage.make(picture, strength, rng), 0.5 + level / 2


def open_photograph(file: Path) -> Image.Image:
    """Open a photograph as the package does, whole and upright."""
    return Image.fromarray(open_picture(file.read_bytes(), Decoding()).whole(1_000_000))


def squeeze(picture: Image.Image) -> np.ndarray:
    """Return the network's input, as the shipped preprocessing makes it of a small picture."""
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def open_graph(graph: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def resize(picture: Image.Image, long_side: int) -> Image.Image:
    """Return a picture whose long side has so many px."""
    ratio = long_side / max(picture.size)
    size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
    return picture.resize(size, Image.Resampling.BICUBIC)


def _reframe(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = picture.size
    kept = rng.uniform(0.88, 1.0, 2)
    across, down = max(1, round(width * kept[0])), max(1, round(height * kept[1]))
    left, top = rng.integers(0, width - across + 1), rng.integers(0, height - down + 1)
    cut = picture.crop((left, top, left + across, top + down))
    light = rng.uniform(0.92, 1.08)
    mirrored = rng.random() < 0.5
    cut = cut.point(lambda level: round(min(255.0, level * light)))
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else cut


def _compute(task: tuple[list[Path], Path, Path, Repeats]) -> None:
    photographs, graph, shard, repeats = task
    session = open_graph(graph)
    features, strengths = [], []
    for photograph in photographs:
        seen = [
            (session.run(None, {"pixels": squeeze(view)[None]})[0][0], s) for view, s in make_views(photograph, repeats)
        ]
        features.append(np.stack([found for found, _ in seen]).astype(np.float16))
        strengths.append(np.array([strength for _, strength in seen], np.float32))
    keep_arrays(shard, features=np.stack(features), strengths=np.stack(strengths))


def _shard(folder: Path, at: int) -> Path:
    return folder / f"{at:06d}.npz"
