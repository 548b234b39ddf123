"""Adapters: the low-rank changes of a checkpoint in a folder of their own, loaded onto their base without merging.

The files are named and laid out as peft has them (`adapter_config.json`, `adapter_model.safetensors`), the names of the
layers are those of transformers' classes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from aescli.errors import WeightsUnavailable
from aescli.models.checkpoint import ADAPTER_FILE, read_config
from aescli.models.lora import TARGETS, LoraChoices, attach
from aescli.names import escape

CONFIG_FILE = "adapter_config.json"
_PREFIX = "base_model.model."  # of peft


def load_onto(network: Any, folder: Path) -> None:
    """Put a folder's adapter around the layers of its loaded base; nothing where the folder has none.

    Raises:
        WeightsUnavailable: the adapter is not one of ours, or does not fit the network.

    """
    if not (folder / ADAPTER_FILE).is_file():
        return
    from safetensors.torch import load_file

    fields = read_config(folder, CONFIG_FILE)
    try:
        choices = LoraChoices(rank=int(fields["r"]), alpha=float(fields["lora_alpha"]), dropout=0.0)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsUnavailable(f"{escape(str(folder / CONFIG_FILE))} does not state its rank: {error!r}") from error
    attach(network, choices)
    held = {name: each for name, each in network.named_parameters() if ".lora_" in name}
    state = {_short(name): tensor for name, tensor in load_file(folder / ADAPTER_FILE).items()}
    wrong = sorted(held.keys() ^ state.keys()) or [
        name for name, each in held.items() if each.shape != state[name].shape
    ]
    if wrong:
        raise WeightsUnavailable(
            f"{escape(str(folder))}: its adapter does not fit: {', '.join(map(escape, wrong[:3]))}"
            + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        )
    for name, parameter in held.items():
        parameter.data.copy_(state[name])


def write_adapter(folder: Path, state: Mapping[str, Tensor], choices: LoraChoices, base: str) -> None:
    """Write the trained `NAME.lora_A` and `NAME.lora_B` among a state's tensors."""
    from safetensors.torch import save_file

    named = {
        f"{_PREFIX}{name}.weight": tensor.float().contiguous() for name, tensor in state.items() if ".lora_" in name
    }
    save_file(named, folder / ADAPTER_FILE, {"format": "pt"})
    fields = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": choices.rank,
        "lora_alpha": choices.alpha,
        "lora_dropout": choices.dropout,
        "target_modules": TARGETS.pattern.strip("^$"),
        "bias": "none",
        "task_type": None,
        "inference_mode": True,
    }
    (folder / CONFIG_FILE).write_text(json.dumps(fields, indent=1), encoding="utf-8")


def _short(name: str) -> str:
    return name.removeprefix(_PREFIX).removesuffix(".weight")
