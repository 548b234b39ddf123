"""Whether the same picture has the same score: decoded smaller, batched, threaded, shuffled, turned, in 16 bits.

    python benchmarks/consistency.py --photographs FOLDER [--count 200]

Enlarged photographs (12 megapixels) compare reduced with exact decoding; the photographs themselves compare the rest.
"""

import argparse
import csv
import io
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from pictures import make_folder
from PIL import Image

TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def scores(*words: object) -> dict[str, float]:
    command = [sys.executable, "-m", "aescli", "score", "--no-store", *map(str, words)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {row["path"]: float(row["overall"]) for row in csv.DictReader(io.StringIO(done.stdout))}


def ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values)).astype(float)


def compare_decoding(folder: Path) -> None:
    reduced, exact = scores(folder), scores(folder, "--exact-decode")
    one, other = np.array([(reduced[path], exact[path]) for path in exact]).T
    correlation = np.corrcoef(ranks(one), ranks(other))[0, 1]
    difference = np.abs(one - other)
    print(
        f"reduced against exact decoding, {len(one)} pictures of 12 MP: rank correlation {correlation:.5f}, "
        f"largest difference {difference.max():.4f}, mean {difference.mean():.4f}"
    )


def compare_runs(folder: Path) -> None:
    base = scores(folder)
    shuffled = list(base)
    random.Random(0).shuffle(shuffled)
    cases = {
        "batch 7": (folder, "--batch-size", 7),
        "batch 64": (folder, "--batch-size", 64),
        "1 thread": (folder, "--workers", 1),
        "8 threads": (folder, "--workers", 8),
        "shuffled": tuple(shuffled),
        "twice": (folder,),
    }
    for name, words in cases.items():
        found = scores(*words)
        print(f"{name}: largest difference {max(abs(found[path] - base[path]) for path in base):.7f} of {len(base)}")


def compare_twins(photographs: list[Path], scratch: Path) -> None:
    with tempfile.TemporaryDirectory(dir=scratch) as made:
        folder = Path(made)
        for path in photographs:
            picture = Image.open(path).convert("RGB")
            for orientation, undo in TURNS.items():
                exif = Image.Exif()
                exif[0x0112] = orientation
                stored = picture if undo is None else picture.transpose(undo)
                stored.save(folder / f"{path.stem} turn {orientation}.png", exif=exif, compress_level=1)
            grey = picture.convert("L")
            grey.save(folder / f"{path.stem} depth 8.png")
            Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(folder / f"{path.stem} depth 16.png")
        found = {Path(path).stem: score for path, score in scores(folder).items()}
    turns = max(abs(found[f"{p.stem} turn {o}"] - found[f"{p.stem} turn 1"]) for p in photographs for o in TURNS)
    depths = max(abs(found[f"{p.stem} depth 16"] - found[f"{p.stem} depth 8"]) for p in photographs)
    print(f"eight orientations of {len(photographs)} lossless pictures: largest difference {turns:.6f}")
    print(f"16-bit twins of {len(photographs)} pictures: largest difference {depths:.6f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "aes-benchmarks")
    parser.add_argument("--count", type=int, default=200)
    words = parser.parse_args()
    words.scratch.mkdir(parents=True, exist_ok=True)
    compare_runs(words.photographs)
    compare_twins(sorted(words.photographs.rglob("*.jpg"))[::20], words.scratch)
    compare_decoding(make_folder(words.photographs, "12mp", words.count, words.scratch, distinct=words.count))


if __name__ == "__main__":
    main()
