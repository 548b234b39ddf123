"""Names for what is kept in `--work`: each says what it was made of, so that nothing answers for other inputs."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def keep(file: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, and give it its name when it is whole and has reached the disk."""
    part = file.with_suffix(".part")
    write(part)
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())
    part.replace(file)


def keep_arrays(file: Path, **arrays: np.ndarray) -> None:
    """Keep arrays as an archive of numpy's."""

    def write(part: Path) -> None:
        with part.open("wb") as stream:  # a name would be given another suffix
            np.savez(stream, **arrays)

    keep(file, write)


def name_kept(stem: str, files: Sequence[Path], sources: Sequence[str], settings: object = None) -> str:
    """Return a name for what is made of files, by the code of sources, with settings.

    Args:
        stem: what it is.
        files: their names and contents count, in this order.
        sources: modules of the recipe.
        settings: as its `repr` says.

    """
    digest = hashlib.sha256(repr(settings).encode())
    for file in (*files, *(HERE / f"{source}.py" for source in sources)):
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return f"{stem}-{digest.hexdigest()[:12]}"
