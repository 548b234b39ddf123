"""Print the tables of docs/mini.md: how each dimension is distributed, and how it agrees with OASIS's raters.

python recipes/mini/describe.py --oasis FOLDER [--photographs FOLDER ...]
"""

import argparse
from pathlib import Path

import numpy as np
from ratings import interval, read_oasis
from scipy.stats import spearmanr
from unseen import judge

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def print_distribution(title: str, found: dict[str, dict[str, float]]) -> None:
    print(f"\n{title}, {len(found)} pictures\n\n| dimension | 5% | 25% | 50% | 75% | 95% |\n|---|---|---|---|---|---|")
    for name in next(iter(found.values())):
        cuts = np.quantile([each[name] for each in found.values()], QUANTILES)
        print(f"| `{name}` | " + " | ".join(f"{cut:.1f}" for cut in cuts) + " |")


def print_agreement(found: dict[str, dict[str, float]], oasis: Path) -> None:
    ratings = read_oasis(oasis)
    print("\n| dimension | SRCC with the mean beauty rating | 95% interval, over themes |\n|---|---|---|")
    for name in next(iter(found.values())):
        if name == "overall":
            continue  # learnt from these very pictures
        values = np.array([found[image.name][name] for image in ratings.images])
        low, high = interval(values, ratings)
        print(f"| `{name}` | {spearmanr(values, ratings.scores).statistic:+.2f} | {low:+.2f} to {high:+.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--oasis", type=Path, required=True)
    parser.add_argument("--photographs", type=Path, nargs="*", default=[])
    words = parser.parse_args()
    found = judge(words.oasis / "images", "all")
    print_distribution("OASIS", found)
    print_agreement(found, words.oasis)
    for folder in words.photographs:
        print_distribution(str(folder.name), judge(folder, "all"))


if __name__ == "__main__":
    main()
