"""Print the tables of docs/mini.md: how each dimension is distributed, and how it agrees with OASIS's raters.

python recipes/mini/describe.py --oasis FOLDER [--photographs FOLDER ...]
"""

import argparse
import csv
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def score(folder: Path) -> dict[str, dict[str, float]]:
    command = [sys.executable, "-m", "aescli", "score", str(folder), "--dims", "all", "--no-store"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    rows = [row for row in csv.DictReader(io.StringIO(done.stdout)) if row["status"] == "ok"]
    names = [name for name in rows[0] if name not in {"path", "status", "raw", "model", "flags", "error_code", "error"}]
    return {Path(row["path"]).name: {name: float(row[name]) for name in names} for row in rows}


def print_distribution(title: str, found: dict[str, dict[str, float]]) -> None:
    print(f"\n{title}, {len(found)} pictures\n\n| dimension | 5% | 25% | 50% | 75% | 95% |\n|---|---|---|---|---|---|")
    for name in next(iter(found.values())):
        cuts = np.quantile([each[name] for each in found.values()], QUANTILES)
        print(f"| `{name}` | " + " | ".join(f"{cut:.1f}" for cut in cuts) + " |")


def print_agreement(found: dict[str, dict[str, float]], labels: Path) -> None:
    with labels.open(encoding="utf-8", newline="") as file:
        ratings = {row["image"]: float(row["score"]) for row in csv.DictReader(file)}
    images = sorted(ratings)
    target = np.array([ratings[image] for image in images])
    rng = np.random.default_rng(0)
    print("\n| dimension | SRCC with the mean beauty rating | 95% interval |\n|---|---|---|")
    for name in next(iter(found.values())):
        if name == "overall":
            continue  # learnt from these very pictures
        values = np.array([found[image][name] for image in images])
        draws = [
            spearmanr(values[at], target[at]).statistic for at in rng.integers(0, len(images), (1000, len(images)))
        ]
        low, high = np.quantile(draws, (0.025, 0.975))
        print(f"| `{name}` | {spearmanr(values, target).statistic:+.2f} | {low:+.2f} to {high:+.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--oasis", type=Path, required=True)
    parser.add_argument("--photographs", type=Path, nargs="*", default=[])
    words = parser.parse_args()
    found = score(words.oasis / "images")
    print_distribution("OASIS", found)
    print_agreement(found, words.oasis / "labels.csv")
    for folder in words.photographs:
        print_distribution(str(folder.name), score(folder))


if __name__ == "__main__":
    main()
