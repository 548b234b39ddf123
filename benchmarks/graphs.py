"""Time ONNX graphs of pictures in turn, one thread, one picture at a time, on noise.

python benchmarks/graphs.py OLD.onnx NEW.onnx ...     the first is what the others are compared with
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graphs", type=Path, nargs="+")
    parser.add_argument("--runs", type=int, default=300)
    words = parser.parse_args()
    sessions = [open_session(graph) for graph in words.graphs]
    rng = np.random.default_rng(0)
    seconds: list[list[float]] = [[] for _ in sessions]
    for _ in range(words.runs):
        for session, found in zip(sessions, seconds, strict=True):
            _, height, width, _ = session.get_inputs()[0].shape
            pixels = rng.integers(0, 256, (1, height, width, 3), np.uint8)
            started = time.perf_counter()
            session.run(None, {"pixels": pixels})
            found.append(time.perf_counter() - started)
    first = statistics.median(seconds[0])
    for graph, found in zip(words.graphs, seconds, strict=True):
        middle = statistics.median(found)
        print(f"{graph}  {graph.stat().st_size / 1e6:.1f} MB  {1000 * middle:.2f} ms  {middle / first:.3f}")


def open_session(graph: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()
