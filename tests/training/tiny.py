"""Tiny bases and tiny data in the layouts that recipes read."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from aescli.training.questions import NAMES, QUESTIONS
from tests.models.checkpoints import write_backbone

SPREAD = [0.03 + 0.94 * at / 15 for at in range(16)]  # over all five levels
NO_SPLITS = ("--set", "splits.validation=0", "--set", "splits.voter=0", "--set", "splits.test=0")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Tiny products gain nothing from threads, and threads that wait for each other cost much on a busy machine."""
    import torch

    torch.set_num_threads(1)


def portrait(seed: int, side: int = 60) -> Image.Image:
    """Draw a face of its own colours and proportions."""
    chance = np.random.default_rng(seed)
    colours = chance.integers(0, 255, (4, 3))
    skin, hair, ground, eyes = (tuple(int(each) for each in colour) for colour in colours)
    picture = Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(picture)
    width, height = chance.uniform(0.15, 0.4, 2) * side
    x, y = side / 2 + chance.uniform(-6, 6), side / 2 + chance.uniform(-6, 6)
    draw.ellipse((x - width * 1.2, y - height * 1.3, x + width * 1.2, y + height * 0.5), fill=hair)
    draw.ellipse((x - width, y - height, x + width, y + height), fill=skin)
    for at in (-0.4, 0.4):
        draw.ellipse((x + at * width - 3, y - 5, x + at * width + 3, y + 1), fill=eyes)
    draw.arc((x - width / 2, y, x + width / 2, y + height * 0.7), 20, 160, fill=eyes, width=2)
    return picture


def humanbeauty(folder: Path, plain: Sequence[float] = SPREAD, expert: Sequence[float] = SPREAD) -> Path:
    """Write both subsets in the authors' layout; dimensions of the second differ from the whole."""
    chance = np.random.default_rng(0)
    for name, scores, seed in (("HumanBeauty-58K", plain, 0), ("HumanBeauty-50K", expert, 100)):
        if not scores:
            continue
        (folder / name / "images").mkdir(parents=True)
        lines = []
        for at, score in enumerate(scores):
            portrait(seed + at).save(folder / name / "images" / f"{at}.png")
            twelve = np.clip(score + chance.uniform(-0.06, 0.06, 12), 0, 1).round(4).tolist()
            twelve[-1] = score
            value = score if seed == 0 else twelve
            lines.append(
                json.dumps({"image_name": f"{at}.png", "source": "AVA" if at % 2 else "TAD66K", "score": value})
            )
        (folder / name / "label.jsonl").write_text("\n".join(lines))
    return folder


def internvl2(folder: Path, kind: str = "qwen2") -> Path:
    """Write a base without heads, as InternVL2 is released."""
    folder.mkdir(parents=True)
    write_backbone(folder, kind, 0, heads=None, words=" : ".join((*NAMES, *QUESTIONS, "You judge pictures.")))
    return folder
