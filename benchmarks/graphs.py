"""Time ONNX graphs of pictures in turn, one thread, on noise, as `aes` opens them: milliseconds for a picture.

python benchmarks/graphs.py OLD.onnx NEW.onnx ...     the first, one picture at a time, is what all is compared with
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from aescli.runtime import open_session, place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graphs", type=Path, nargs="+")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1], help="pictures")
    words = parser.parse_args()
    placement = place("cpu")
    sessions = {graph: open_session(graph.read_bytes(), *placement.devices, placement) for graph in words.graphs}
    rng = np.random.default_rng(0)
    milliseconds: dict[tuple[int, Path], list[float]] = {(n, graph): [] for n in words.at_once for graph in sessions}
    for _ in range(words.runs):
        for (count, graph), found in milliseconds.items():
            _, height, width, _ = sessions[graph].inputs["pixels"].shape
            pixels = rng.integers(0, 256, (count, height, width, 3), np.uint8)
            started = time.perf_counter()
            sessions[graph].run(pixels)
            found.append(1000 * (time.perf_counter() - started) / count)
    first = statistics.median(next(iter(milliseconds.values())))
    for (count, graph), found in milliseconds.items():
        middle, size = statistics.median(found), graph.stat().st_size / 1e6
        print(f"{graph}  {size:.1f} MB  {count} at once  {middle:.2f} ms  {middle / first:.3f}")


if __name__ == "__main__":
    main()
