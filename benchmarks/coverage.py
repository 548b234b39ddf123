"""How often a 95% interval holds the truth: samples from a population whose numbers are known, again and again.

    python benchmarks/coverage.py --trials 3000
    python benchmarks/coverage.py --trials 1000 --metrics krcc --sizes 50
    python benchmarks/coverage.py --trials 2000 --lines runs/scores-mebeauty-mini-*.jsonl

Populations: `normal` scores and labels; `ties`, the same with labels of five levels; `skewed`, where a few labels stand
far out and errors with them; with --lines the scores and labels of real pictures. Differences are paired, of two models
whose errors go together. Seeded: the same numbers every time.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aescli import metrics
from aescli.benchmarking.lines import read_lines
from aescli.benchmarking.scores import COMPARED, CORRELATIONS, Judged, measure, statistic
from aescli.benchmarking.statistics import paired

SIZES = (30, 50, 100, 300)
METRICS = ("srcc", "plcc", "mae", "rmse", "mse")  # krcc takes a hundred times as long
POPULATION, SEED = 2_000_000, 7
RHO = 0.5

Values = np.ndarray[tuple[int], np.dtype[np.float64]]
Population = tuple[Values, Values, Values]  # scores of two models, labels


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=3000)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--metrics", nargs="+", default=METRICS)
    parser.add_argument("--kinds", nargs="+", default=("normal", "ties", "skewed"))
    parser.add_argument("--lines", type=Path, nargs="+")
    options = parser.parse_args()
    populations = dict(real(options.lines)) if options.lines else {kind: made(kind) for kind in options.kinds}
    print("population  metric             n  trials  covers  mean width")
    for name, population in populations.items():
        for n in options.sizes:
            for metric in options.metrics:
                show(name, metric, n, [trial(metric, *some) for some in samples(population, n, options.trials)],
                     truth(metric, *population[::2]))  # fmt: skip
            for metric in COMPARED if not options.lines else ():
                gap = truth(metric, *population[::2]) - truth(metric, *population[1:])
                found = [difference(metric, *some) for some in samples(population, n, options.trials)]
                show(name, f"{metric}_difference", n, found, gap)


def made(kind: str) -> Population:
    chance = np.random.default_rng(SEED)
    labels, shared, one, two = chance.normal(size=(4, POPULATION))
    scores = [RHO * labels + math.sqrt(1 - RHO**2) * (0.7 * shared + 0.714 * own) for own in (one, two)]
    if kind == "skewed":
        scores, labels = [np.exp(each / 2) for each in scores], np.exp(labels / 2)
    if kind == "ties":
        labels = np.clip(np.round(labels), -2, 2)
    return scores[0], scores[1], labels


def real(files: list[Path]) -> Iterator[tuple[str, Population]]:
    for file in files:
        lines = [line for line in read_lines([file]) if line.overall is not None]
        low, high = lines[0].label_range or (0.0, 10.0)
        labels = np.array([(line.labels["overall"] - low) / (high - low) * 10 for line in lines])
        scores = np.array([line.overall or 0.0 for line in lines])
        yield f"{lines[0].split}", (scores, scores, labels)


def samples(population: Population, n: int, trials: int) -> Iterator[Population]:
    chance = np.random.default_rng(SEED)
    for _ in range(trials):
        places = chance.integers(0, len(population[0]), n)
        one, two, labels = (each[places] for each in population)
        yield one, two, labels


def truth(metric: str, predicted: Values, actual: Values) -> float:
    if metric in CORRELATIONS:
        some = slice(None) if metric != "krcc" else slice(200_000)
        return float(getattr(metrics, metric)(predicted[some], actual[some]))
    return float(getattr(metrics, metric)(predicted, actual))


def trial(metric: str, predicted: Values, _: Values, actual: Values) -> tuple[float, float]:
    _, interval = measure(judged(predicted, actual), metric)
    return (interval.low, interval.high) if interval else (math.nan, math.nan)


def difference(metric: str, one: Values, two: Values, actual: Values) -> tuple[float, float]:
    finds = [statistic(judged(each, actual), metric) for each in (one, two)]
    found = paired(finds[0], finds[1], len(actual))
    return (found.interval.low, found.interval.high) if found else (math.nan, math.nan)


def judged(predicted: Values, actual: Values) -> Judged:
    return Judged((), predicted, predicted, actual, 0, 10, 0)


def show(population: str, metric: str, n: int, found: list[tuple[float, float]], value: float) -> None:
    held = sum(low <= value <= high for low, high in found) / len(found)
    width = float(np.nanmean([high - low for low, high in found]))
    print(f"{population:<11} {metric:<15} {n:>4}  {len(found):>6}  {held:.3f}  {width:.3f}", flush=True)


if __name__ == "__main__":
    main()
