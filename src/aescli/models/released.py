"""A trained network written in the layout of the checkpoint that it was made of, tensor by tensor.

Every tensor of the original file is read, changed where it was trained, and written under its own name in its own
precision: no name can be missing, and no more than one shard is held in memory.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aescli.cards import CARD_FILE
from aescli.errors import AesError
from aescli.models import internvl, llava
from aescli.models.checkpoint import HEAD_PREFIXES, read_config, read_tensors

_SHARD = 5_000_000_000  # bytes, as the Hub has it
_SETTINGS = (".json", ".model", ".txt", ".jinja")
_NOT_SETTINGS = (CARD_FILE, "model.safetensors.index.json", "adapter_config.json", "expected.json")

Change = Callable[[str, Tensor], Tensor]  # a weight's name in memory and its value in the file, to its new value


def write_weights(base: Path, target: Path, change: Change, heads: Mapping[str, Tensor]) -> None:
    """Write the weights of a checkpoint with changes.

    Args:
        base: a folder in the released layout of InternVL2 or of LLaVA-1.5.
        target: an existing folder; `model.safetensors`, or shards and their index.
        change: is asked for every weight.
        heads: tensors by their names in a checkpoint; they replace those of the base.

    """
    shards: list[dict[str, Tensor]] = [{}]
    size, place = 0, {}
    total = 0
    files: list[Path] = []
    for name, tensor in _changed(base, change, heads):
        weight = tensor.numel() * tensor.element_size()
        if size + weight > _SHARD and shards[-1]:
            files.append(_write(target, len(files), shards.pop()))
            shards.append({})
            size = 0
        shards[-1][name] = tensor.contiguous()
        place[name] = len(files)
        size += weight
        total += weight
    files.append(_write(target, len(files), shards.pop()))
    if len(files) == 1:
        files[0].rename(target / "model.safetensors")
        return
    names = [f"model-{at + 1:05}-of-{len(files):05}.safetensors" for at in range(len(files))]
    for file, name in zip(files, names, strict=True):
        file.rename(target / name)
    index = {"metadata": {"total_size": total}, "weight_map": {name: names[at] for name, at in place.items()}}
    (target / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")


def copy_settings(base: Path, target: Path) -> None:
    """Copy configuration, tokenizer and templates; code of a checkpoint stays behind, and what would call it."""
    for file in sorted(base.iterdir()):
        if file.suffix in _SETTINGS and file.name not in _NOT_SETTINGS and file.is_file():
            shutil.copyfile(file, target / file.name)
    config = read_config(base)
    config.pop("auto_map", None)
    _write_config(target, config)


def change_settings(folder: Path, **fields: object) -> None:
    """Change fields of a folder's configuration."""
    _write_config(folder, {**read_config(folder), **fields})


def _write_config(folder: Path, config: Mapping[str, Any]) -> None:
    text = json.dumps(config, indent=1, ensure_ascii=False)
    (folder / "config.json").write_text(text, encoding="utf-8")


def _write(target: Path, number: int, tensors: dict[str, Tensor]) -> Path:
    from safetensors.torch import save_file

    file = target / f"part-{number}.safetensors"
    try:
        save_file(tensors, file, {"format": "pt"})
    except OSError as error:
        raise AesError(f"{file} cannot be written: {error.strerror}") from error
    return file


def _changed(base: Path, change: Change, heads: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    config = read_config(base)
    rebuild: Callable[[str, Tensor, Change, Any], Tensor]
    if llava.is_llava(base):
        rebuild, network = llava.rebuild, None
    else:
        rebuild, network = internvl.rebuild, internvl.network_config(config, str(base))
    for name, tensor in read_tensors(base):
        if not name.startswith(HEAD_PREFIXES):
            yield name, rebuild(name, tensor, change, network)
    for name, tensor in heads.items():
        yield name, tensor.to(torch.float32)
