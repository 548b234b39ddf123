"""Names for what is kept in `--work`: each says what it was made of, so that nothing answers for other inputs."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).parent


def keep(file: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, and give it its name when it is whole."""
    part = file.with_suffix(".part")
    write(part)
    part.replace(file)


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
