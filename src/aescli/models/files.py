"""Hashes of weight files, without any inference library."""

import hashlib
from collections.abc import Sequence
from pathlib import Path


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
