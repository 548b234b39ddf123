"""A comparison on labelled photographs: the built-in model, its measured dimensions behind a ridge, and a head.

    python benchmarks/labelled.py DATA OUT --head FOLDER

Every third picture, by name, is held out; the ridge is fitted on the others. `--split` only writes the two tables, of
which `aes train --data OUT/train.csv` takes the first. The ridge is a recorded baseline: a file of lines.
"""

import argparse
import csv
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from aescli.benchmarking.lines import Line
from aescli.labels.reading import read_labels
from aescli.labels.values import OVERALL, Labelled, LabelledSet

DIMENSIONS = ("sharpness", "exposure", "contrast", "colorfulness", "noise")
PENALTY = 1.0  # of standardised features
HELD_OUT = 3  # every third


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--head")
    parser.add_argument("--split", action="store_true")
    options = parser.parse_args()
    found = read_labels(options.data)
    train, test = split(found)
    folder = options.out / found.name
    folder.mkdir(parents=True, exist_ok=True)
    for name, pictures in (("train", train), ("test", test)):
        write_table(folder / f"{name}.csv", pictures)
    if options.split:
        return
    ridge = options.out / f"ridge-{found.name}.jsonl"
    write_ridge(ridge, folder, train, test, found)
    models = ["-m", "mini", *(["-m", options.head] if options.head else [])]
    low, high = found.scale or (0.0, 1.0)
    run("bench", "scores", "--data", folder / "test.csv", *models, "--range", f"{low}:{high}", "--baseline", ridge,
        "--runs", options.out / "runs", "-o", options.out / f"{found.name}.csv")  # fmt: skip


def split(found: LabelledSet) -> tuple[list[Labelled], list[Labelled]]:
    pictures = sorted(found.pictures, key=lambda each: each.path)
    held = pictures[::HELD_OUT]
    names = {each.path for each in held}
    return [each for each in pictures if each.path not in names], held


def write_table(file: Path, pictures: list[Labelled]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "score", "source"])
        writer.writerows(
            [Path(each.path).resolve(), each.scores[OVERALL], each.columns.get("source", "")] for each in pictures
        )


def write_ridge(file: Path, folder: Path, train: list[Labelled], test: list[Labelled], found: LabelledSet) -> None:
    """Fit the measured dimensions to the training labels, and record what that says of the rest."""
    inputs, targets = [measure(folder / f"{name}.csv") for name in ("train", "test")], [scores(train), scores(test)]
    mean, spread = inputs[0].mean(0), inputs[0].std(0)
    features = [np.c_[(each - mean) / spread, ((each - mean) / spread) ** 2] for each in inputs]
    centre = features[0].mean(0)
    design = features[0] - centre
    normal = design.T @ design + PENALTY * np.eye(design.shape[1])
    weights = np.linalg.solve(normal, design.T @ (targets[0] - targets[0].mean()))
    said = (features[1] - centre) @ weights + targets[0].mean()
    low, high = found.scale or (0.0, 1.0)
    with file.open("w") as stream:
        for each, value in zip(test, said, strict=True):
            overall = float(np.clip((value - low) / (high - low) * 10, 0, 10))
            line = Line(
                suite="scores", split=found.name, item=Path(each.path).name, path=each.path, model="measured, ridge",
                setup={"features": list(DIMENSIONS), "squares": True, "penalty": PENALTY}, overall=overall,
                labels={OVERALL: each.scores[OVERALL]}, label_range=(low, high), leaks=(found.name,),
            )  # fmt: skip
            stream.write(json.dumps(asdict(line)) + "\n")


def measure(table: Path) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    with table.open(encoding="utf-8") as stream:
        paths = [row["path"] for row in csv.DictReader(stream)]
    done = run("score", "--files-from", "-", "--dims", "all", "--format", "jsonl", text="\n".join(paths))
    rows = [json.loads(line)["dims"] for line in done.splitlines()]
    return np.array([[row[name] for name in DIMENSIONS] for row in rows])


def scores(pictures: list[Labelled]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array([each.scores[OVERALL] for each in pictures])


def run(*words: object, text: str = "") -> str:
    command = [sys.executable, "-m", "aescli", *map(str, words)]
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
