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
