"""The old libraries that HumanAesExpert's own code needs, in a folder of their own beside the torch that is here.

Its code is written for transformers 4.44.2; from 4.50 its language model has no `generate` any more. The packages are
installed without their dependencies, which would replace torch, and stand first on the worker's PYTHONPATH.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from aescli.errors import AesError, WeightsUnavailable
from aescli.home import aes_home

PACKAGES = (
    "transformers==4.44.2", "tokenizers==0.19.1", "sentencepiece==0.2.0", "einops==0.8.1", "huggingface-hub==0.36.0",
    "requests==2.32.5", "urllib3==2.5.0", "idna==3.11", "certifi==2025.10.5", "charset-normalizer==3.4.4",
)  # fmt: skip
_TIMM = "timm==1.0.9"
_PYTHONS = ((3, 11), (3, 12))  # for which tokenizers 0.19.1 has wheels
_MARK = "aes-side.json"  # written last: a folder without it is half an installation

# timm cannot be imported without torchvision, and all that InternVL's code takes from it does nothing in inference.
_TIMM_STAND_IN = '''"""What InternVL's code needs of timm, where timm cannot be imported: it needs torchvision."""
from torch import nn


class DropPath(nn.Module):
    """Stochastic depth, which drops nothing when a model is not trained."""

    def __init__(self, drop_prob=0.0, scale_by_keep=True):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x):
        if self.training and self.drop_prob:
            raise NotImplementedError("training needs timm itself")
        return x
'''


def side_folder() -> Path:
    """Return where the packages are or will be; other pins have another folder."""
    pins = "\n".join((*PACKAGES, _TIMM)).encode()
    return aes_home() / "side" / hashlib.sha256(pins).hexdigest()[:12]


def installation(python: Path) -> list[str]:
    """Return the command that fills the folder."""
    timm = [_TIMM] if _imports(python, "torchvision") else []
    return [
        str(python), "-m", "pip", "install", "--no-deps", "--disable-pip-version-check", "--quiet",
        "--target", str(side_folder()), *PACKAGES, *timm,
    ]  # fmt: skip


def install(python: Path, tell: Callable[[str], None]) -> Path:
    """Fill the folder and return it; one that is complete stays.

    Raises:
        AesError: pip fails.

    """
    folder = side_folder()
    if is_installed():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = installation(python)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["pip said nothing"]
        raise AesError(f"the side environment cannot be installed: {said[0]}", hint=" ".join(command))
    if _TIMM not in command:
        layers = folder / "timm" / "models"
        layers.mkdir(parents=True)
        (folder / "timm" / "__init__.py").write_text("")
        (layers / "__init__.py").write_text("")
        (layers / "layers.py").write_text(_TIMM_STAND_IN)
        (folder / "timm" / "layers.py").write_text(_TIMM_STAND_IN)
        tell(
            "torchvision is not here, without which timm cannot be imported: a stand-in has the one class that is used"
        )
    (folder / _MARK).write_text(json.dumps({"python": _version(python), "packages": list(PACKAGES)}))
    return folder


def is_installed() -> bool:
    """Tell whether the folder is complete, for the Python that would run it: wheels are made for one version."""
    try:
        made_for = json.loads((side_folder() / _MARK).read_text(encoding="utf-8"))["python"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(made_for == _version(find_python()))


def find_python() -> Path:
    """Return a Python that the pinned wheels exist for and that has torch: this one, or another on the path.

    Raises:
        WeightsUnavailable: there is none.

    """
    if sys.version_info[:2] in _PYTHONS and _imports(Path(sys.executable), "torch"):
        return Path(sys.executable)
    for version in _PYTHONS:
        found = shutil.which(f"python{version[0]}.{version[1]}")
        if found and _imports(Path(found), "torch"):
            return Path(found)
    versions = " or ".join(f"{major}.{minor}" for major, minor in _PYTHONS)
    raise WeightsUnavailable(
        f"the checkpoint's own code needs Python {versions} with torch, and none is on the path",
        hint=f"this is {sys.version.split()[0]}; tokenizers 0.19.1 has no wheels for it",
    )


def _version(python: Path) -> str:
    code = "import platform; print(platform.python_implementation(), *platform.python_version_tuple()[:2])"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def _imports(python: Path, module: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([str(python), "-c", code], capture_output=True, check=False).returncode == 0
