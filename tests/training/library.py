"""A folder of small pictures whose ratings can be learnt: people here like it bright."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS = ("image", "score", "redness", "h1", "h2", "h3", "h4", "h5", "theme")


def write_library(folder: Path, count: int = 48, *, shuffled: bool = False) -> Path:
    """Write pictures and `labels.csv` with scores, a dimension, votes and themes of three pictures each."""
    chance = np.random.default_rng(5)
    (folder / "images").mkdir(parents=True)
    rows = []
    for at in range(count):
        light, red = chance.uniform(40, 215, 2)
        noise = chance.normal(0, 12, (48, 64, 3))
        pixels = np.clip(noise + np.array([red, light, light]), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{at}.png")
        score = 1 + 4 * light / 255
        votes = np.maximum(0, 3 - 2 * np.abs(np.arange(1, 6) - score)) + 0.01
        mean = votes @ np.arange(1, 6) / votes.sum()
        rows.append(
            [f"{at}.png", f"{mean:.4f}", f"{red / 25.5:.3f}", *(f"{each:.5f}" for each in votes), f"t{at // 3}"]
        )
    if shuffled:
        order = chance.permutation(count)
        rows = [[row[0], *rows[other][1:8], row[8]] for row, other in zip(rows, order, strict=True)]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return folder


def keep_columns(folder: Path, *names: str) -> Path:
    """Write the labels again with some columns only."""
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    target = folder / "some.csv"
    with target.open("w", newline="") as file:
        csv.writer(file).writerows([names, *([row[name] for name in names] for row in rows)])
    return target


def write_pairs(folder: Path, count: int = 150, *, within: str = "") -> Path:
    """Write `compared.csv`: whoever has the higher score wins; of pictures with one cell `within` a column alone."""
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chance, target = np.random.default_rng(0), folder / "compared.csv"
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["winner", "loser", *filter(None, [within])])
        for _ in range(count):
            cell = rows[chance.integers(len(rows))][within] if within else ""
            among = [row for row in rows if not within or row[within] == cell]
            drawn = [among[at] for at in chance.choice(len(among), 2, replace=False)]
            ranked = sorted(drawn, key=lambda row: -float(row["score"]))
            writer.writerow([row["image"] for row in ranked] + [cell] * bool(within))
    return target
