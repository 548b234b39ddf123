"""A million names: when the first row comes, and whether memory stays flat while they are listed and scored.

    python benchmarks/listing.py --photograph FILE [--count 1000000] [--flat]

The tree is made up: one photograph, and empty files, each of which is a row too. `--flat` puts all into one folder,
otherwise a thousand are in each; a list of the same names is read as well.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from memory import resident_mb


def make_tree(photograph: Path, target: Path, count: int, each: int) -> Path:
    if target.exists():
        return target
    for at in range(count):
        folder = target / f"{at // each:04}"
        if at % each == 0:
            folder.mkdir(parents=True)
        (folder / f"{at:07}.jpg").touch()
    (target / "0000" / "0000000.jpg").write_bytes(photograph.read_bytes())
    return target


def watch(name: str, *words: str) -> None:
    command = [sys.executable, "-m", "aescli", "score", *words, "--no-store", "--fail-on", "none", "--format", "csv"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    first, samples = 0.0, []
    for row, _ in enumerate(process.stdout):
        if row == 1:
            first = time.perf_counter() - started
        if row and row % 10_000 == 0:
            samples.append((row, resident_mb(process.pid)))
    process.wait()
    rows, sizes = np.array(samples).T
    warm = rows >= rows.max() / 10
    slope = np.polyfit(rows[warm], sizes[warm], 1)[0] * 100_000
    print(
        f"{name}: {row} rows in {time.perf_counter() - started:.0f} s, first after {first:.1f} s, "
        f"peak {sizes.max():.0f} MB, slope {slope:+.2f} MB for each 100,000",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photograph", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "aes-benchmarks")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--flat", action="store_true")
    words = parser.parse_args()
    each = words.count if words.flat else 1000
    tree = make_tree(words.photograph, words.scratch / f"names-{words.count}-{each}", words.count, each)
    watch("folder", str(tree))
    names = words.scratch / "names.txt"
    with names.open("w") as stream:
        stream.writelines(f"{path}\n" for path in sorted(tree.rglob("*.jpg")))
    watch("list", "--files-from", str(names))


if __name__ == "__main__":
    main()
