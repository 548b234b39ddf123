"""Tensors of a checkpoint folder: safetensors only, every one finite, every one accounted for."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from aescli import weights
from aescli.cards import CARD_FILE, ModelCard
from aescli.errors import AesError, WeightsUnavailable, first_line
from aescli.models.files import hash_files
from aescli.names import escape
from aescli.registry import find_card

ADAPTER_FILE, HEADS_FILE = "adapter_model.safetensors", "heads.safetensors"
# Of HumanAesExpert's tensors: the Regression head, the Expert head, the MetaVoter.
HEAD_PREFIXES = ("language_model.lm_regression_head.", "language_model.expert_head.", "metavoter.")

_NAMED = 6  # tensors that a message lists before it counts the rest


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Return a folder's configuration, or another of its JSON files.

    Raises:
        WeightsUnavailable: there is none, or it is no JSON object.

    """
    config = read_json(folder / name)
    if not isinstance(config, dict):
        raise WeightsUnavailable(f"{escape(str(folder / name))} is no configuration")
    return config


def read_json(file: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        WeightsUnavailable: it cannot be read.

    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsUnavailable(f"{escape(str(file))} cannot be read: {error}") from error


def read_tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor by its name in the file, as it is stored.

    Raises:
        WeightsUnavailable: no safetensors, a file that is none, or numbers that are not finite.

    """
    if (folder / ADAPTER_FILE).is_file():
        # What an adapter changes is read from its base; its heads lie beside it.
        yield from (each for each in read_tensors(find_base(folder)) if not each[0].startswith(HEAD_PREFIXES))
        files = [folder / HEADS_FILE] if (folder / HEADS_FILE).is_file() else []
    else:
        files = weight_files(folder)
    for file in files:
        with open_weights(file) as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                refuse_whole_numbers(file, name, opened.get_slice(name).get_dtype())
                tensor = opened.get_tensor(name)
                if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                    raise WeightsUnavailable(f"{escape(str(file))}: {escape(name)} holds numbers that are not finite")
                yield name, tensor


def refuse_whole_numbers(file: Path, name: str, data_type: str) -> None:
    """Refuse weights of a type that holds whole numbers: cut to these they are others, and load as if nothing was.

    Args:
        file: that holds the tensor.
        name: of the tensor; buffers, such as `position_ids`, may be whole.
        data_type: as safetensors names it.

    Raises:
        WeightsUnavailable: they are such weights.

    """
    if name.endswith(("weight", "bias")) and data_type.startswith(("I", "U", "BOOL")):
        raise WeightsUnavailable(f"{escape(str(file))}: {escape(name)} holds whole numbers ({data_type})")


@contextmanager
def open_weights(file: Path) -> Iterator[Any]:
    """Open a file of safetensors.

    Raises:
        WeightsUnavailable: it cannot be read.

    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        raise WeightsUnavailable(f"{escape(str(file))} cannot be read: {error}") from error


def weight_files(folder: Path) -> list[Path]:
    """Return a folder's safetensors files: those that its index lists, or the only one.

    Raises:
        WeightsUnavailable: there are none, or one of the index is missing.

    """
    if (folder / ADAPTER_FILE).is_file():
        return [folder / name for name in (ADAPTER_FILE, HEADS_FILE) if (folder / name).is_file()]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        listed = read_json(index)
        if not isinstance(listed, dict) or not isinstance(listed.get("weight_map"), dict) or not listed["weight_map"]:
            raise WeightsUnavailable(f"{escape(str(index))} lists no files")
        names = sorted(set(map(str, listed["weight_map"].values())))
        files = [folder / name for name in names]
        for file in files:
            if file.parent != folder or not file.is_file():
                raise WeightsUnavailable(f"{escape(str(index))} lists {escape(file.name)}, which is not there")
        if (alone := folder / "model.safetensors").is_file() and alone not in files:
            raise WeightsUnavailable(
                f"{escape(str(folder))} has two sets of weights: model.safetensors, and what {index.name} lists",
                hint="take one of them away",
            )
        return files
    if not (folder / "model.safetensors").is_file():
        raise WeightsUnavailable(
            f"{escape(str(folder))} has no model.safetensors", hint="pickled weights are not read: they can run code"
        )
    return [folder / "model.safetensors"]


def find_base(folder: Path) -> Path:
    """Return the folder of the checkpoint that an adapter was trained on.

    Raises:
        WeightsUnavailable: its card does not name it, it is not here, or it is another than the adapter was trained on.

    """
    described = read_config(folder, CARD_FILE).get("base")
    if not isinstance(described, dict) or not described.get("model") or not described.get("revision"):
        raise WeightsUnavailable(f"{escape(str(folder))}: its card does not name the base of its adapter")
    name = str(described["model"])
    card = find_card(name)
    base = card.folder or weights.locate(card)[0]
    if (base / ADAPTER_FILE).is_file():
        raise WeightsUnavailable(f"{escape(str(folder))}: its base {escape(name)} is an adapter itself")
    found = check_revision(card, base)
    if found != described["revision"]:
        raise WeightsUnavailable(
            f"{escape(str(folder))}: its adapter was trained on {described['revision'][:12]}... of {escape(name)}, "
            f"here is {found[:12]}...",
        )
    return base


def check_revision(card: ModelCard, folder: Path) -> str:
    """Return what tells these weights from others: the commit, or the SHA-256 of the files.

    Raises:
        WeightsUnavailable: the files are not those that the card was written for.

    """
    if card.sources:
        return card.revision or folder.name
    found = hash_files(weight_files(folder))
    if card.revision and card.revision != found:
        raise WeightsUnavailable(
            f"{card.id}: its weights have SHA-256 {found[:12]}..., its card says {card.revision[:12]}...",
            hint="copy the whole model folder again",
        )
    return found


@contextmanager
def understood(folder: Path) -> Iterator[None]:
    """Turn what a malformed checkpoint makes the loading code raise into one error that names the folder."""
    try:
        yield
    except (AesError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the libraries' classes have nothing else in common
        problem = first_line(error)
        raise WeightsUnavailable(
            f"{escape(str(folder))} cannot be understood: {type(error).__name__}: {problem}"
        ) from error


def fill(module: torch.nn.Module, state: Mapping[str, torch.Tensor], what: str) -> None:
    """Give a module its parameters, all of them and no others: a silent random weight is the worst there is.

    Args:
        module: may be on the meta device.
        state: by the module's own names.
        what: the checkpoint's name, for the message.

    Raises:
        WeightsUnavailable: a name is missing or unexpected, or a shape is another.

    """
    wanted = module.state_dict()
    problems = [
        *_listed("missing", wanted.keys() - state.keys()),
        *_listed("unexpected", state.keys() - wanted.keys()),
        *_listed(
            "of another shape",
            (
                f"{name} {list(state[name].shape)} for {list(wanted[name].shape)}"
                for name in wanted.keys() & state.keys()
                if state[name].shape != wanted[name].shape
            ),
        ),
    ]
    if problems:
        raise WeightsUnavailable(f"{what}: tensors do not match: {'; '.join(problems)}")
    module.load_state_dict(dict(state), strict=True, assign=True)


def _listed(kind: str, names: Any) -> list[str]:
    found = sorted(map(escape, names))
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return [f"{kind}: {', '.join(found[:_NAMED])}{more}"] if found else []
