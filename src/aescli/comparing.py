"""Our code beside a checkpoint's own, head by head, on the same pictures: the verdict decides which one scores."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from aescli.cards import ModelCard
from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import UsageError
from aescli.images.view import Pixels
from aescli.models.base import LoadOptions
from aescli.models.choosing import record_verdict, states_its_choices
from aescli.models.tiles import Tiling, cut
from aescli.picturing import prepare_files
from aescli.runtime import need_torch

TOLERANCE = 1e-3  # of the native range, 0 to 1; both run in fp32


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found.

    Attributes:
        commit: of the checkpoint, by which the verdict is kept.
        pictures: how many were compared.
        differences: largest absolute difference of each head, in the native range.
        same: none is larger than the tolerance.

    """

    commit: str
    pictures: int
    differences: dict[str, float]
    same: bool


def compare(
    card: ModelCard, folder: Path, pictures: Sequence[Path], options: LoadOptions,
    tell: Callable[[str], None] = lambda _: None,
) -> Comparison:  # fmt: skip
    """Run the worker and our code side by side, and keep the verdict under the checkpoint's commit.

    Args:
        card: the model.
        folder: of its weights.
        pictures: to compare on; drawn ones, of several shapes, where there are none.
        options: as for scoring.
        tell: is told what takes long.

    Raises:
        UsageError: the checkpoint has no code of its own, or it was not agreed to.
        WeightsUnavailable: one of the two cannot be loaded: the heads' layout may be one that is not known.

    """
    torch = need_torch()
    from aescli.models import remote_code
    from aescli.models.humanaesexpert import load_judge

    if states_its_choices(folder):
        raise UsageError(f"{card.id} brings no code of its own to compare with")
    tiling = remote_code.read_tiling(folder)
    tiles = prepare_files(pictures, lambda view: cut(view, tiling)) if pictures else _drawn(tiling)
    worker = remote_code.open_worker(card, folder, options)
    tell("loading our code")
    judge = load_judge(card, folder, worker.device, torch.float32)
    worker.data_type = "fp32"
    tell("loading the checkpoint's own")
    largest = dict.fromkeys(("regression", *HUMAN_DIMENSIONS, "metavoter"), 0.0)
    try:
        for at, picture in enumerate(tiles, 1):
            tell(f"picture {at} of {len(tiles)}")
            ours = judge.read([picture], ("plain", "expert"))
            theirs = {
                "regression": remote_code.read_score(worker, picture),
                **remote_code.read_twelve(worker, picture),
                "metavoter": remote_code.read_metavoter(worker, picture),
            }
            twelve = ours.expert[0].tolist() if ours.expert is not None else []
            found = {
                "regression": float(ours.chosen("regression")),
                **dict(zip(HUMAN_DIMENSIONS, twelve, strict=True)),
                "metavoter": float(ours.chosen("metavoter")),
            }
            for name, value in theirs.items():
                largest[name] = float(np.maximum(largest[name], abs(value - found[name])))  # a NaN stays one
    finally:
        worker.close()
    same = all(difference <= TOLERANCE for difference in largest.values())
    comparison = Comparison(remote_code.commit_of(card, folder), len(tiles), largest, same)
    record_verdict(comparison.commit, {**asdict(comparison), "versions": worker.versions, "tolerance": TOLERANCE})
    return comparison


def _drawn(tiling: Tiling) -> list[Pixels]:
    """Return pictures of one, two and more tiles: smooth, striped and noisy, which numbers do not mind."""
    from PIL import Image

    chance, side = np.random.default_rng(0), tiling.side
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for at, (columns, rows) in enumerate(((1, 1), (2, 1), (2, 2))):
            y, x = np.mgrid[0 : side * rows, 0 : side * columns]
            waves = np.stack([np.sin(x / (9 + 5 * at)), np.cos(y / (7 + 3 * at)), (x + y) / (x + y).max()], -1)
            picture = (waves * 80 + 128 + chance.normal(0, 12, waves.shape)).clip(0, 255).astype(np.uint8)
            paths.append(Path(folder) / f"{at}.png")
            Image.fromarray(picture).save(paths[-1])
        return prepare_files(paths, lambda view: cut(view, tiling))
