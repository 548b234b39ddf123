"""Whether memory stays flat: `aes score` over many files, its resident size against the rows it has written.

    python benchmarks/memory.py --photographs FOLDER [--count 20000]

Prints the peak, and the slope after a tenth of the files, in MB for each 10,000.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from pictures import make_folder


def resident_mb(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "aes-benchmarks")
    parser.add_argument("--count", type=int, default=20_000)
    words = parser.parse_args()
    folder = make_folder(words.photographs, "small", words.count, words.scratch)
    store = words.scratch / "memory.db"
    store.unlink(missing_ok=True)
    command = [sys.executable, "-m", "aescli", "score", str(folder), "--store", str(store)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    samples = []
    for row, _ in enumerate(process.stdout):
        if row and row % 100 == 0:
            samples.append((row, resident_mb(process.pid)))
    code = process.wait()
    rows, sizes = np.array(samples).T
    warm = rows >= words.count / 10
    slope = np.polyfit(rows[warm], sizes[warm], 1)[0] * 10_000
    print(f"{words.count} files, exit {code}: peak {sizes.max():.0f} MB, slope {slope:+.2f} MB for each 10,000")


if __name__ == "__main__":
    main()
