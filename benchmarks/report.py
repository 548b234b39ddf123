"""The page of `aes report` in a headless browser: how long until something is seen, and how long a sort takes.

python benchmarks/report.py --pictures 10000
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.conftest import photograph  # noqa: E402
from tests.devtools import Page, browse  # noqa: E402

DIMENSIONS = ("sharpness", "exposure", "contrast", "colorfulness", "noise", "technical")
DIFFERENT, RUNS = 200, 7

# From before a control changes until the frame after the change was painted.
SORT = """(async name => {
  const control = document.getElementById('sorting'), start = performance.now();
  control.value = name;
  control.dispatchEvent(new Event('change'));
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - start;
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where the pictures are kept for the next time")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = chosen.folder or Path(name)
        if not (folder / "scores.csv").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_scores(folder, chosen.pictures)
        start = time.perf_counter()
        command = [sys.executable, "-m", "aescli", "report", "scores.csv", "-o", "report.html"]
        subprocess.run(command, cwd=folder, check=True)
        print(f"made in {time.perf_counter() - start:.1f} s, with the thumbnails that were not there yet")
        print(f"page {(folder / 'report.html').stat().st_size / 1e6:.2f} MB without thumbnails")
        paints, sorts = [], []
        for run in range(RUNS):
            with browse(Path(name) / f"browser{run}") as page:
                page.open(folder / "report.html")
                paints.append(first_paint(page))
                sorts += [page.evaluate(f"{SORT}({name!r})") for name in ("sharpness", "", "overall")]
        tell("first contentful paint", paints)
        tell("sort and paint", sorts)


def tell(what: str, times: list[float]) -> None:
    """Print the middle and both ends: on a machine that does other things too, the shortest says most."""
    print(
        f"{what}: median {statistics.median(times):.0f} ms, {min(times):.0f} to {max(times):.0f} in {len(times)} runs"
    )


def first_paint(page: Page) -> float:
    """Return milliseconds from the start of the navigation until text or pictures were painted."""
    seen = "performance.getEntriesByName('first-contentful-paint')"
    sleep = "await new Promise(done => setTimeout(done, 20))"
    wait = f"(async () => {{ while (!{seen}.length) {sleep}; return {seen}[0].startTime; }})()"
    return float(page.evaluate(wait))


def write_scores(folder: Path, count: int) -> None:
    """Write pictures, of which a few are different, and scores as `aes score --dims all` would."""
    chance = random.Random(0)
    lines = [f"path,status,overall,{','.join(DIMENSIONS)},raw,model,flags,error_code,error"]
    for at in range(count):
        file = folder / f"2024-05-{at // 400 + 1:02d} wedding" / f"IMG_{at:05d}.jpg"
        file.parent.mkdir(exist_ok=True)
        first = folder / f"{at % DIFFERENT}.jpg"
        if not first.exists():
            photograph(at, (240, 160)).save(first, quality=90)
        os.link(first, file)
        numbers = ",".join(f"{chance.uniform(1, 9.9):.6f}" for _ in range(len(DIMENSIONS) + 2))
        lines.append(f"{file.relative_to(folder)},ok,{numbers},mini,,,")
    (folder / "scores.csv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
