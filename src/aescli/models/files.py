"""Weight files and their hashes, without any inference library."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aescli.cards import CARD_FILE, ModelCard
from aescli.errors import WeightsUnavailable
from aescli.names import escape

GRAPH_FILE, DATA_FILE = "model.onnx", "model.onnx.data"


def hash_files(files: Sequence[Path]) -> str:
    """Return one SHA-256 over files, in their order."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def hash_settings(folder: Path) -> str:
    """Return one SHA-256 over configuration, tokenizer and templates: what scores depend on beside the weights."""
    kinds = (".json", ".model", ".txt", ".jinja")
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in kinds and file.is_file() and file.name != "expected.json":
            digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def read_section(folder: Path | None, name: str) -> Mapping[str, Any]:
    """Return an object of a folder's card, such as `head`, `base` or `training`; empty where it says nothing."""
    try:
        found = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))[name] if folder else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def graph_files(folder: Path) -> list[Path]:
    """Return the ONNX graph of a folder, and its data where they are a file of their own."""
    data = folder / DATA_FILE
    return [folder / GRAPH_FILE, data] if data.is_file() else [folder / GRAPH_FILE]


def is_one_file(folder: Path) -> bool:
    """Tell whether the graph of a folder holds its weights: gigabytes lie beside one, and are not copied."""
    return len(graph_files(folder)) == 1


def check_graph(card: ModelCard) -> Path:
    """Return the ONNX graph of a model folder, checked against its card, whose revision is the files' SHA-256.

    Raises:
        WeightsUnavailable: it is missing, or was swapped or damaged.

    """
    files = graph_files(card.folder or Path())
    check_files(card, files, card.revision)
    return files[0]


def open_whole(file: Path) -> bytes | Path:
    """Return a checked graph as a session should open it: its bytes where it is one file.

    Then nothing that lies beside it, and that no hash covers, can be a part of it.
    """
    return file.read_bytes() if is_one_file(file.parent) else file


def check_whole(file: Path) -> None:
    """Open a file of safetensors, whose head says how long it must be.

    Raises:
        WeightsUnavailable: it is none, or not whole.

    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np"):
            pass
    except (OSError, SafetensorError) as error:
        raise WeightsUnavailable(f"{escape(str(file))} cannot be read: {error}") from error


def check_files(card: ModelCard, files: Sequence[Path], recorded: str) -> None:
    """Compare a model's files with the SHA-256 that its card says.

    Raises:
        WeightsUnavailable: one cannot be read, or they are not those that the card was written for.

    """
    try:
        found = hash_files(files)
    except OSError as error:
        raise WeightsUnavailable(f"{card.id}: {files[0]} cannot be read: {error.strerror}") from error
    if found != recorded:
        raise WeightsUnavailable(
            f"{card.id}: {files[0]} has SHA-256 {found[:12]}..., its card says {recorded[:12]}...",
            hint="reinstall the package" if card.id == "mini" else "copy the whole model folder again",
        )
