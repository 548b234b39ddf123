"""OASIS with its ratings, and folds that never split a theme."""

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

FOLDS = 5


@dataclass(frozen=True)
class Ratings:
    """OASIS (Kurdi, Lozano and Banaji 2017) with the beauty ratings of Brielmann and Pelli (2019)."""

    images: list[Path]
    scores: np.ndarray  # (pictures,), 1 to 7
    themes: np.ndarray  # (pictures,), names
    sha256: str


def read_oasis(folder: Path) -> Ratings:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    images = [folder / "images" / row["image"] for row in rows]
    digest = hash_files([folder / "labels.csv", *images])
    scores = np.array([float(row["score"]) for row in rows])
    return Ratings(images, scores, np.array([row["theme"] for row in rows]), digest)


def hash_files(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def folds_of(themes: np.ndarray, seed: int) -> np.ndarray:
    """Assign each picture's theme, as a whole, to one of the folds."""
    names = np.random.default_rng(seed).permutation(np.unique(themes))
    place = {name: at % FOLDS for at, name in enumerate(names)}
    return np.array([place[theme] for theme in themes])


def within_themes(predicted: np.ndarray, ratings: Ratings, smallest: int = 8) -> float:
    """Return the mean rank correlation inside themes that have enough pictures: taste without the subject."""
    found = []
    for theme in np.unique(ratings.themes):
        members = ratings.themes == theme
        if members.sum() >= smallest:
            found.append(spearmanr(predicted[members], ratings.scores[members]).statistic)
    return float(np.mean(found))


def interval(predicted: np.ndarray, ratings: Ratings, draws: int = 1000) -> tuple[float, float]:
    """Return the 95% interval of the rank correlation by a bootstrap over themes."""
    rng = np.random.default_rng(0)
    names = np.unique(ratings.themes)
    members = {name: np.flatnonzero(ratings.themes == name) for name in names}
    found = []
    for _ in range(draws):
        taken = np.concatenate([members[name] for name in rng.choice(names, len(names))])
        found.append(spearmanr(predicted[taken], ratings.scores[taken]).statistic)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
