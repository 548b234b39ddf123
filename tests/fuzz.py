"""A fuzz target: bytes to a picture, which may raise PictureError and nothing else.

python -m tests.fuzz [FOLDER OF FILES TO START FROM]     guided by coverage where atheris is installed
python -m tests.fuzz --seconds 600 --seed 1              else a seeded loop of mutations
"""

import argparse
import importlib.util
import random
import sys
import time
from pathlib import Path

from aescli.errors import PictureError
from aescli.images.picture import Decoding, open_picture, take_over_pillow
from tests.torture import encodings

_DECODING = Decoding(max_pixels=2_000_000)


def decode(data: bytes) -> bool:
    """Decode as a model would; False when the bytes are refused. Any exception but PictureError is a finding."""
    try:
        picture = open_picture(data, _DECODING)
        picture.squeeze(16, 16)
        picture.luma(64)
    except PictureError:
        return False
    return True


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Flip, cut, repeat, or overwrite a few stretches."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(changed) or 1)
        match chance.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[at : at + chance.randint(1, 64)]
            case 2:
                changed[at:at] = changed[at : at + chance.randint(1, 64)]
            case 3:
                changed[at : at + 4] = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"))
            case 4:
                changed[at : at + 8] = chance.randbytes(8)
            case _ if chance.random() < 0.2:
                del changed[at:]
    return bytes(changed)


def loop(seconds: float, seed: int, most: int = sys.maxsize) -> tuple[int, int]:
    """Mutate until the time or the number is up; return how many inputs were tried and how many were decoded."""
    chance = random.Random(seed)
    seeds = list(encodings(seed).values())
    tried = decoded = 0
    until = time.monotonic() + seconds
    while tried < most and time.monotonic() < until:
        decoded += decode(mutate(chance.choice(seeds), chance))
        tried += 1
    return tried, decoded


def guided(corpus: Path, seconds: float, seed: int) -> None:
    """Let libFuzzer look for new paths through Pillow's Python and ours; it ends the process."""
    import atheris

    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in encodings(seed).items():
        (corpus / name).write_bytes(data)
    atheris.instrument_all()
    limits = [
        f"-max_total_time={seconds:.0f}",
        f"-seed={seed + 1}",
        "-rss_limit_mb=4096",
        "-timeout=20",
        "-verbosity=0",
    ]
    atheris.Setup(
        [sys.argv[0], *limits, "-print_final_stats=1", f"-artifact_prefix={corpus}/finding-", str(corpus)], _target
    )
    atheris.Fuzz()


def _target(data: bytes) -> None:
    decode(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    take_over_pillow()
    if words.corpus and importlib.util.find_spec("atheris"):
        guided(words.corpus, words.seconds, words.seed)
        return
    tried, decoded = loop(words.seconds, words.seed)
    sys.stdout.write(f"{tried} inputs, {decoded} decoded, no exception of another class\n")


if __name__ == "__main__":
    main()
