"""What the network sees of every photograph, whole and spoilt, computed once and kept in shards.

The network is the eight-bit one that ships, so the heads that are fitted to its features know its rounding. A shard is
written beside its place and renamed: a run that was killed goes on with the next shard, and ends in the same features.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnx
from damage import DAMAGES
from network import SIDE
from PIL import Image

from aescli.images.picture import Decoding, open_picture

SHARD = 100  # photographs
PLAIN = ("whole", "mirrored")
LONG_SIDES = (500, 500, 640)  # px
KEYS = ("features", "trunks", "strengths")
REFRAMED = 2  # views cut mildly and lit a little differently, as another photographer would have


@dataclass(frozen=True)
class Views:
    """Features of photographs, view by view.

    Args:
        features: (photographs, views, FEATURES), half precision.
        trunks: (photographs, views, 80, SIDE / 16, SIDE / 16): the trunk's map in its eight bits.
        strengths: (photographs, views): 0 where nothing was spoilt, 1 at medium strength, .5 mild, 1.5 strong.
        names: of the views.

    """

    features: np.ndarray
    trunks: np.ndarray
    strengths: np.ndarray
    names: tuple[str, ...]


def view_names(repeats: int) -> tuple[str, ...]:
    return (*PLAIN, *["reframed"] * REFRAMED, *[damage.name for damage in DAMAGES for _ in range(repeats)])


def compute_views(photographs: Sequence[Path], graph: Path, folder: Path, *, repeats: int, processes: int) -> None:
    """Fill `folder` with the shards that it lacks; `repeats` is how often each damage is done to each photograph."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = [at for at in range(0, len(photographs), SHARD) if not _shard(folder, at).exists()]
    tasks = [(list(photographs[at : at + SHARD]), graph, _shard(folder, at), repeats) for at in starts]
    with get_context("spawn").Pool(processes) as pool:
        for at, _ in enumerate(pool.imap(_compute, tasks), 1):
            print(f"views: {at} of {len(tasks)} shards", flush=True)


def read_views(folder: Path, repeats: int) -> Views:
    shards = [np.load(file) for file in sorted(folder.glob("*.npz"))]
    joined = {key: np.concatenate([shard[key] for shard in shards]) for key in KEYS}
    return Views(**joined, names=view_names(repeats))


def make_views(photograph: Path, repeats: int) -> Iterator[tuple[Image.Image, float]]:
    """Yield every view of one photograph with its strength; the same ones each time."""
    digest = hashlib.sha256(photograph.name.encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    picture = Image.fromarray(open_picture(photograph.read_bytes(), Decoding()).whole(1_000_000))
    # Damage is done at a common size: three pixels of blur are another thing at 200 px than at 500.
    ratio = LONG_SIDES[rng.integers(len(LONG_SIDES))] / max(picture.size)
    size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    yield picture, 0.0
    yield picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 0.0
    for _ in range(REFRAMED):
        yield _reframe(picture, rng), 0.0
    for damage in DAMAGES:
        for repeat in range(repeats):
            # The first of several is of medium strength: accuracy is measured on it.
            level = 1.0 if repeat == 0 and repeats > 1 else rng.uniform(0.0, 2.0)
            strength = float(np.interp(level, (0.0, 1.0, 2.0), damage.strengths))
            yield damage.make(picture, strength, rng), 0.5 + level / 2


def squeeze(picture: Image.Image) -> np.ndarray:
    """Return the network's input, as the shipped preprocessing makes it of a small picture."""
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def open_graph(graph: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def trunk_grid(graph: Path) -> tuple[float, int]:
    """Return scale and zero point of the eight bits in which the trunk's map leaves the graph."""
    proto = onnx.load(graph)
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in proto.graph.initializer}
    node = next(node for node in proto.graph.node if "trunk" in node.output)
    return float(constants[node.input[1]]), int(constants[node.input[2]])


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


def _compute(task: tuple[list[Path], Path, Path, int]) -> None:
    photographs, graph, shard, repeats = task
    session, (scale, zero) = open_graph(graph), trunk_grid(graph)
    found: dict[str, list[np.ndarray]] = {key: [] for key in KEYS}
    for photograph in photographs:
        features, trunks, strengths = [], [], []
        for view, strength in make_views(photograph, repeats):
            feature, trunk = session.run(["features", "trunk"], {"pixels": squeeze(view)[None]})
            features.append(feature[0].astype(np.float16))
            trunks.append((np.rint(trunk[0] / scale) + zero).astype(np.uint8))
            strengths.append(np.float32(strength))
        for key, values in zip(KEYS, (features, trunks, strengths), strict=True):
            found[key].append(np.stack(values))
    partial = shard.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(file, **{key: np.stack(values) for key, values in found.items()})
        file.flush()
        os.fsync(file.fileno())
    partial.replace(shard)


def _shard(folder: Path, at: int) -> Path:
    return folder / f"{at:06d}.npz"
