"""How fast `aes score` is: whole processes in turn, against a plain loop and against the bare pipeline.

    python benchmarks/throughput.py --photographs FOLDER [--rounds 3] [--kinds 12mp,24mp,small]

plain       Pillow full decode, resize, one session at batch 1 with one intra-op thread
limit       decode and network in as many threads as `aes` uses, no walk, no rows, no store, no writer
aes         `aes score --no-store -o out.csv`
aes store   the same with the store on
aes dims    the same with `--dims all`

Printed are medians of wall seconds and the ratios of interest, of runs taken in turn. Run it on an idle machine.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pictures import make_folder

COUNTS = {"12mp": 300, "24mp": 150, "small": 2000}
CONTENDERS = ("plain", "limit", "aes", "aes store", "aes dims")


def run_plain(folder: Path) -> None:
    import numpy as np
    import onnxruntime
    from PIL import Image

    from aescli.registry import BUILT_IN

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(BUILT_IN / "model.onnx", options, providers=["CPUExecutionProvider"])
    for file in sorted(folder.iterdir()):
        picture = Image.open(file).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)
        session.run(None, {"pixels": np.asarray(picture)[None]})


def run_limit(folder: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from aescli.images.picture import Decoding, open_picture
    from aescli.models.base import LoadOptions
    from aescli.models.loading import load_scorer
    from aescli.registry import find_card
    from aescli.runtime import usable_cpus

    scorer = load_scorer(find_card("mini"), (), LoadOptions(device="cpu"))

    def rate(files: list[Path]) -> list[float]:
        prepared = [scorer.prepare(open_picture(file.read_bytes(), Decoding())) for file in files]
        return [rating.raw for rating in scorer.rate(prepared)]

    files, count = sorted(folder.iterdir()), scorer.batch_size
    with ThreadPoolExecutor(usable_cpus()) as pool:
        list(pool.map(rate, [files[at : at + count] for at in range(0, len(files), count)]))


def command_of(contender: str, folder: Path, scratch: Path) -> list[str]:
    if contender in ("plain", "limit"):
        return [sys.executable, __file__, "--contender", contender, str(folder)]
    command = [sys.executable, "-m", "aescli", "score", str(folder), "-o", str(scratch / "out.csv")]
    match contender:
        case "aes store":
            return [*command, "--store", str(scratch / f"{time.monotonic_ns()}.db")]
        case "aes dims":
            return [*command, "--no-store", "--dims", "all"]
        case _:
            return [*command, "--no-store"]


def measure(command: list[str]) -> tuple[float, float]:
    """Return wall and CPU seconds of a whole process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, cpu


def compare(kind: str, folder: Path, rounds: int, scratch: Path) -> None:
    walls: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    cpus: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name in CONTENDERS:
            wall, cpu = measure(command_of(name, folder, scratch))
            walls[name].append(wall)
            cpus[name].append(cpu)
    count = len(list(folder.iterdir()))
    print(f"\n{kind}: {count} files, {rounds} rounds in turn")
    for name in CONTENDERS:
        wall, cpu = statistics.median(walls[name]), statistics.median(cpus[name])
        listed = " ".join(f"{each:.2f}" for each in walls[name])
        print(f"  {name:<10} {wall:7.2f} s wall  {count / wall:7.1f} pictures/s  {cpu:7.2f} s CPU   ({listed})")
    print(f"  aes is {ratio(walls, 'plain', 'aes'):.2f}x the plain loop")
    print(f"  and reaches {ratio(walls, 'limit', 'aes'):.2f} of the limit")
    print(f"  with the store {ratio(walls, 'aes', 'aes store'):.2f} of its speed without")
    print(f"  with --dims all {ratio(walls, 'plain', 'aes dims'):.2f}x the plain loop", flush=True)


def ratio(walls: dict[str, list[float]], slow: str, fast: str) -> float:
    """Return the median of the ratios of neighbours in time."""
    return statistics.median(one / other for one, other in zip(walls[slow], walls[fast], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--contender", choices=["plain", "limit"])
    parser.add_argument("--photographs", type=Path, help="real photographs to make the files from")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "aes-benchmarks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default=",".join(COUNTS))
    words = parser.parse_args()
    if words.contender:
        {"plain": run_plain, "limit": run_limit}[words.contender](words.folder)
        return
    for kind in words.kinds.split(","):
        folder = make_folder(words.photographs, kind, COUNTS[kind], words.scratch)
        compare(kind, folder, words.rounds, words.scratch)


if __name__ == "__main__":
    main()
