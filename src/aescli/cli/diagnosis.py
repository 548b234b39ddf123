"""What `aes doctor` finds. Nothing heavy is imported here: what could break this process is tried in a child."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

from aescli import __version__
from aescli.cli.config import read_defaults
from aescli.errors import AesError, UsageError, install_line
from aescli.home import aes_home
from aescli.images import formats
from aescli.images.isolation import Limits
from aescli.images.opening import shared_bytes
from aescli.images.picture import MAX_PIXELS
from aescli.models.base import LoadOptions
from aescli.models.loading import load_scorer
from aescli.registry import find_card
from aescli.runtime import place, usable_cpus

_PACKAGES = (
    "numpy", "pillow", "onnxruntime", "onnxruntime-gpu", "huggingface-hub", "safetensors", "typer", "rich",
    "torch", "transformers",
)  # fmt: skip

# Each extra and the module that shows that it is installed.
_EXTRAS = {
    "torch": "transformers",
    "train": "peft",
    "api": "openai",
    "bench": "scipy",
    "export": "onnxscript",
    "parquet": "pyarrow",
    "ray": "ray",
    "s3": "s3fs",
    "raw": "rawpy",
    "heif": "pi_heif",
    "report": "jinja2",
}


def diagnose(commands: TyperGroup) -> dict[str, Any]:
    """Return sections of findings as JSON values; `problems` lists what is broken, each with the line that mends it."""
    session, problem = _session()
    looked_at = (problem, _onnxruntime_clash(), _broken_torchvision(), _broken_home(), _broken_settings(commands))
    problems = [each for each in looked_at if each]
    return {
        "versions": {"aes": __version__, "python": platform.python_version(), **_versions()},
        "device": {**session, "usable_cpus": usable_cpus()},
        "decoders": _decoders(),
        "extras": {name: _extra(name, module) for name, module in _EXTRAS.items()},
        "limits": {
            "max_pixels": MAX_PIXELS,
            "decoder_seconds": Limits().seconds,
            "isolated_decoder_mb": Limits().memory_bytes >> 20,
            "shared_decoding_mb": shared_bytes() >> 20,
        },
        "folders": _folders(),
        "problems": problems,
    }


def _versions() -> dict[str, str | None]:
    return {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _session() -> tuple[dict[str, Any], dict[str, str] | None]:
    """Load `mini` for real: what a session runs on is known only once there is one."""
    try:
        placement = place("auto")
        scorer = load_scorer(find_card("mini"), (), LoadOptions())
    except (AesError, ImportError, AttributeError) as error:
        return {"mini": "cannot be loaded"}, {
            "what": f"mini cannot be loaded: {error}",
            "mend": "pip install --force-reinstall aescli",
        }
    return {"mini": f"{scorer.backend} ({placement.reason})"}, None


def _onnxruntime_clash() -> dict[str, str] | None:
    if _version("onnxruntime") and _version("onnxruntime-gpu"):
        return {
            "what": "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files",
            "mend": "pip uninstall -y onnxruntime onnxruntime-gpu && pip install --force-reinstall aescli",
        }
    return None


def _broken_torchvision() -> dict[str, str] | None:
    """Import torchvision in a child: a build for another torch breaks every transformers import after it."""
    if importlib.util.find_spec("torchvision") is None:
        return None
    child = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    if child.returncode == 0:
        return None
    reason = child.stderr.strip().splitlines()[-1:] or ["no reason given"]
    return {
        "what": f"torchvision does not fit the installed torch: {reason[0]}",
        "mend": "pip uninstall -y torchvision   (aes does not need it)",
    }


def _decoders() -> dict[str, str]:
    from PIL import features

    built_in = {
        "WEBP": "webp",
        "AVIF": "avif",
        "JPEG2000": "jpg_2000",
        "JPEG": "jpg",
        "TIFF": "libtiff",
        "PNG": "zlib",
    }
    found = {
        name: "yes" if name not in built_in or features.check(built_in[name]) else "not in this Pillow"
        for name in formats.PILLOW_PLUGINS
    }
    return {
        **found,
        "HEIC": _extra("heif", "pi_heif"),
        "RAW": _extra("raw", "rawpy"),
        "EPS, SVG, PDF": "never opened",
    }


def _extra(name: str, module: str) -> str:
    return "yes" if importlib.util.find_spec(module) else f"no: {install_line(name)}"


def _broken_home() -> dict[str, str] | None:
    home = _existing(aes_home())
    if home.is_dir() and os.access(home, os.W_OK | os.X_OK):
        return None
    why = "may not be written to" if home.is_dir() else "is no folder"
    return {
        "what": f"{home} {why}: no row is kept, and nothing can be tagged or culled",
        "mend": "export AES_HOME=FOLDER",
    }


def _broken_settings(commands: TyperGroup) -> dict[str, str] | None:
    try:
        read_defaults(commands)
    except UsageError as error:
        return {
            "what": f"no command that heeds settings can start: {error.message}",
            "mend": error.hint or "mend it, or take it away",
        }
    return None


def _folders() -> dict[str, str]:
    cache = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub"
    return {
        "home": _with_space(aes_home()),
        "store": str(aes_home() / "scores.db"),
        "model cache": _with_space(Path(cache).expanduser()),
    }


def _with_space(folder: Path) -> str:
    existing = _existing(folder)
    writable = "" if os.access(existing, os.W_OK) else ", not writable"
    return f"{folder} ({shutil.disk_usage(existing).free / 1e9:.1f} GB free{writable})"


def _existing(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    return next((each for each in (folder, *folder.parents) if os.path.exists(each)), folder)  # noqa: PTH110 - `Path.exists` raises where one may not look
