"""Every recipe is run as it stands, in its order, in a folder with pictures."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import photograph

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
RECIPES = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
MODULES, PROGRAMS = ("duckdb", "datasets", "datasette"), ("exiftool", "xargs", "bash")

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="no bash")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and their scores, as the first recipe makes them."""
    found = tmp_path_factory.mktemp("recipes")
    (found / "photos" / "inner").mkdir(parents=True)
    for seed in range(6):
        photograph(seed, (160, 120)).save(found / "photos" / f"{seed}.jpg")
    photograph(0, (80, 60)).save(found / "photos" / "inner" / "copy of 0.jpg")
    photograph(7, (80, 60)).save(found / "photos" / "inner" / "7.jpg")
    return found


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 14


@pytest.mark.parametrize("place", range(len(RECIPES)))
def test_a_recipe_does_what_it_says(folder: Path, place: int) -> None:
    recipe = RECIPES[place]
    for name in MODULES:
        if name in recipe and importlib.util.find_spec(name) is None:
            pytest.skip(f"no {name} is installed")
    for name in PROGRAMS:
        if name in recipe and not shutil.which(name):
            pytest.skip(f"no {name} is installed")
    if place and not (folder / "scores.parquet").exists():
        _run(folder, RECIPES[0])
    if "keep.txt" in recipe and not (folder / "keep.txt").exists():
        _run(folder, RECIPES[2])
    done = _run(folder, recipe)
    assert done.returncode == 0, (recipe, done.stdout, done.stderr)
    assert done.stdout or "-o" in recipe or "aes tag" in recipe, recipe


def _run(folder: Path, recipe: str) -> subprocess.CompletedProcess[str]:
    here = Path(sys.executable).parent
    environment = {
        **os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}", "AES_HOME": str(folder / "home"),
        "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"),
        "PYTHONPATH": os.pathsep.join(str(Path(each).absolute()) for each in sys.path if each),
    }  # fmt: skip
    script = f'set -eo pipefail\naes() {{ python -m aescli "$@"; }}\n{recipe}'
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
