"""Judge photographs that nothing was fitted to, and their spoilt copies, as `aes score` does.

python recipes/mini/unseen.py --photographs FOLDER [--spoilt 600] [--json FILE]

FOLDER holds `images/` and, for a rank correlation, labels that `aes train` reads. Copies are of medium damage, done at
500 px; mild and strong ones join them with `--all`.
"""

import argparse
import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
from damage import DAMAGES, Damage
from PIL import Image
from scipy.stats import spearmanr
from views import open_photograph, resize

from aescli import Score, score_images
from aescli.errors import NothingMatched
from aescli.labels.reading import read_labels
from aescli.labels.values import OVERALL

LONG_SIDE = 500  # px
DIMENSIONS = ("overall", "technical")
NAMES = ("mild", "medium", "strong")


def turn_whole(picture: Image.Image, degrees: float, rng: np.random.Generator) -> Image.Image:
    """Turn, on a canvas that grows with the picture, black or white."""
    angle, level = (degrees if rng.random() < 0.5 else -degrees), 255 * int(rng.integers(2))
    return picture.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=(level, level, level))


# What no head has learnt from, beside the damages of the recipe.
JUDGED = (*DAMAGES, Damage("tilt, larger canvas", (6.0, 12.0, 20.0), technical=False, make=turn_whole))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--spoilt", type=int, default=600, metavar="N", help="of how many copies are made")
    parser.add_argument("--all", action="store_true", help="copies of mild and strong damage, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything, beside the table")
    words = parser.parse_args()
    images = sorted(file for file in (words.photographs / "images").iterdir() if file.is_file())
    taken = [images[at] for at in np.unique(np.linspace(0, len(images) - 1, words.spoilt).astype(int))]
    strengths = NAMES if words.all else NAMES[1:2]
    found = {"ranks": rank(words.photographs), "copies": compare(taken, strengths)}
    print_copies(found["copies"])
    print(json.dumps(found["ranks"]))
    if words.json:
        words.json.write_text(json.dumps(found, indent=2) + "\n")


def rank(folder: Path) -> dict[str, object]:
    """Return the rank correlation of `overall` with the ratings, and its 95% interval by a bootstrap."""
    try:
        labelled = read_labels(folder).pictures
    except NothingMatched:
        return {}
    said = {Path(each.path).name: each.scores[OVERALL] for each in labelled}
    judged = {name: each["overall"] for name, each in judge(folder / "images").items()}
    names = sorted(said.keys() & judged.keys())
    pairs = np.array([(judged[name], said[name]) for name in names])  # (photographs, 2)
    rng = np.random.default_rng(0)
    drawn = [spearmanr(*pairs[rng.integers(0, len(pairs), len(pairs))].T).statistic for _ in range(1000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "photographs": len(names),
        "srcc": round(float(spearmanr(*pairs.T).statistic), 4),
        "interval_95": [round(float(low), 4), round(float(high), 4)],
    }


def compare(photographs: list[Path], strengths: tuple[str, ...]) -> dict[str, dict[str, dict[str, float]]]:
    """Return, for each damage and strength, which share of copies lies below, and the medians of `technical`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for at, photograph in enumerate(photographs):
            for view, picture in spoil(photograph, strengths):
                picture.save(folder / f"{at:05d}-{view}.png", compress_level=1)
        judged = judge(folder)
    whole = [judged[f"{at:05d}-whole.png"] for at in range(len(photographs))]
    found: dict[str, dict[str, dict[str, float]]] = {"whole": {"": _medians(whole)}}
    for damage in JUDGED:
        for strength in strengths:
            copies = [judged[f"{at:05d}-{damage.name}-{strength}.png"] for at in range(len(photographs))]
            below = {
                dimension: float(np.mean([a[dimension] > b[dimension] for a, b in zip(whole, copies, strict=True)]))
                for dimension in DIMENSIONS
            }
            found.setdefault(damage.name, {})[strength] = {**below, **_medians(copies)}
    return found


def spoil(photograph: Path, strengths: tuple[str, ...]) -> list[tuple[str, Image.Image]]:
    """Return a photograph at 500 px and its copies; the same ones each time."""
    picture = resize(open_photograph(photograph), LONG_SIDE)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(photograph.name.encode()).digest()[:8], "big"))
    copies = [
        (f"{damage.name}-{name}", damage.make(picture, damage.strengths[NAMES.index(name)], rng))
        for damage in JUDGED
        for name in strengths
    ]
    return [("whole", picture), *copies]


def judge(folder: Path, dimensions: str | tuple[str, ...] = DIMENSIONS) -> dict[str, dict[str, float]]:
    """Return `overall` and other dimensions of every picture that has a score, by file name."""
    rows = score_images(folder, dims=dimensions)
    return {Path(row.path).name: {"overall": row.overall, **row.dims} for row in rows if isinstance(row, Score)}


def print_copies(copies: dict[str, dict[str, dict[str, float]]]) -> None:
    print("| damage | strength | `overall` below | `technical` below | median of `technical` |\n|---|---|---|---|---|")
    for name, by_strength in copies.items():
        for strength, each in by_strength.items():
            below = [f"{100 * each[dimension]:.1f}%" if dimension in each else "" for dimension in DIMENSIONS]
            print(f"| {name} | {strength} | {below[0]} | {below[1]} | {each['median technical']:.1f} |")


def _medians(judged: list[dict[str, float]]) -> dict[str, float]:
    return {"median technical": float(np.median([each["technical"] for each in judged]))}


if __name__ == "__main__":
    main()
