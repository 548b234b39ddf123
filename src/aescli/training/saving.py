"""Where a training is, in a folder that is whole or not there: written under another name, then renamed.

Only what is trained is kept, with the optimiser's moments of it. Order, dropout and rate are functions of seed and
step, so there is no other state to keep.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from aescli.errors import AesError, OutputFailed
from aescli.names import escape
from aescli.output import replace_file, sync_file

FOLDER, BEST_FILE = "checkpoints", "best.safetensors"

_KEPT = 2  # of the last checkpoints: a disk that fails in the second leaves the first
_NAME = re.compile(r"^step-(\d{6,})$")
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of AdamW


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a training was.

    Args:
        step: steps that are done.
        folder: what it is kept in.
        state: other JSON values.

    """

    step: int
    folder: Path
    state: Mapping[str, Any]


def save_checkpoint(
    run: Path, step: int, parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> Path:
    """Write a checkpoint, and remove those before the last but one.

    Raises:
        OutputFailed: the folder cannot be written.

    """
    from safetensors.torch import save_file

    def write(part: Path) -> None:
        held = {name: each.detach().cpu().contiguous() for name, each in parameters.items()}
        save_file(held, part / "trained.safetensors", {"format": "pt"})
        moments = {
            f"{kind}.{name}": optimizer.state[each][kind].detach().cpu().contiguous()
            for name, each in parameters.items()
            for kind in _MOMENTS
            if each in optimizer.state
        }
        save_file(moments, part / "moments.safetensors", {"format": "pt"})

    return write_checkpoint(run, step, write, state)


def write_checkpoint(run: Path, step: int, write: Any, state: Mapping[str, Any]) -> Path:
    """Let `write(folder)` fill a checkpoint's folder, then give it its name."""
    target = run / FOLDER / f"step-{step:06}"
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        write(part)
        (part / "state.json").write_text(json.dumps({**state, "step": step}, indent=1), encoding="utf-8")
        for file in part.rglob("*"):
            if file.is_file():
                sync_file(file)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    except (OSError, SafetensorError) as error:
        raise OutputFailed(f"{escape(str(target))} cannot be written: {error}") from error
    for old in _checkpoints(run)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def find_checkpoint(run: Path) -> Checkpoint | None:
    """Return the last checkpoint of a run, if it has one.

    Raises:
        AesError: it cannot be read.

    """
    found = _checkpoints(run)
    if not found:
        return None
    try:
        state = json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))
        return Checkpoint(int(state["step"]), found[-1], state)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AesError(
            f"{escape(str(found[-1]))} cannot be read: {error!r}", hint="remove it: the one before is used"
        ) from error


def _read(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        found: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError) as error:
        raise AesError(f"{escape(str(file))} cannot be read: {error}", hint="train again, into a new folder") from error
    return found


def load_checkpoint(
    checkpoint: Checkpoint, parameters: Mapping[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Give parameters and optimiser what a checkpoint holds.

    Raises:
        AesError: it is of another training, or cannot be read.

    """
    held, moments = (_read(checkpoint.folder / f"{name}.safetensors") for name in ("trained", "moments"))
    if held.keys() != parameters.keys():
        raise AesError(f"{escape(str(checkpoint.folder))} is of another training: it holds other parameters")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(held[name])
            if f"step.{name}" in moments:
                optimizer.state[parameter] = {
                    "step": moments[f"step.{name}"],
                    **{kind: moments[f"{kind}.{name}"].to(parameter.device) for kind in _MOMENTS[1:]},
                }


def save_best(run: Path, parameters: Mapping[str, Tensor], step: int) -> None:
    """Keep what is trained as the best so far, in the place of what was."""
    from safetensors.torch import save

    held = {name: each.detach().cpu().contiguous() for name, each in parameters.items()}
    (run / FOLDER).mkdir(parents=True, exist_ok=True)
    with replace_file(run / FOLDER / BEST_FILE) as stream:
        stream.write(save(held, {"step": str(step)}))


def load_best(run: Path) -> dict[str, Tensor]:
    """Return what was best, by the names of the parameters.

    Raises:
        AesError: it cannot be read.

    """
    return _read(run / FOLDER / BEST_FILE)


def _checkpoints(run: Path) -> list[Path]:
    folder = run / FOLDER
    names = sorted((each.name for each in folder.iterdir()) if folder.is_dir() else ())
    return sorted((folder / name for name in names if _NAME.match(name)), key=lambda path: int(path.name[5:]))
