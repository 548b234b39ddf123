"""Ray against the local engine: whether rows are equal, the fixed cost, and the overhead for each picture.

    python benchmarks/engines.py --photographs FOLDER [--count 20000] [--actors 2]

The fixed cost is the time of a run over one picture, interpreter and all; the overhead is the difference of the rest.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pictures import make_folder


def timed(*words: object) -> tuple[float, bytes]:
    started = time.perf_counter()
    command = [sys.executable, "-m", "aescli", "score", *map(str, words), "--no-store", "--format", "csv"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "aes-benchmarks")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--actors", type=int, default=2)
    words = parser.parse_args()
    folder = make_folder(words.photographs, "small", words.count, words.scratch)
    one = next(folder.iterdir())
    engines = {"local": (), "ray": ("--engine", "ray", "--actors", words.actors)}
    outputs = {}
    for name, options in engines.items():
        fixed, _ = timed(one, *options)
        whole, outputs[name] = timed(folder, *options)
        each = (whole - fixed) / (words.count - 1) * 1000
        print(
            f"{name:6} fixed {fixed:6.1f} s   {words.count} pictures {whole:7.1f} s   {each:6.2f} ms each", flush=True
        )
    print("rows equal" if outputs["local"] == outputs["ray"] else "ROWS DIFFER")


if __name__ == "__main__":
    main()
