"""`AES_HOME/models.lock.json`: which commit of each model was pulled, and the SHA-256 of every file."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aescli.errors import WeightsUnavailable
from aescli.home import aes_home
from aescli.names import escape
from aescli.output import replace_file


@dataclass(frozen=True, slots=True)
class LockedFile:
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class LockedSource:
    """One repository at one commit, with the hash of every file that was taken from it."""

    repo: str
    commit: str
    files: Mapping[str, LockedFile]


def read_lock() -> dict[str, tuple[LockedSource, ...]]:
    """Return what was pulled, by the model's name.

    Raises:
        WeightsUnavailable: the lock file cannot be read: a guess would defeat it.

    """
    try:
        content = json.loads(lock_file().read_text(encoding="utf-8"))
        return {name: tuple(map(_source_from, sources)) for name, sources in content["models"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsUnavailable(
            f"{escape(str(lock_file()))} cannot be read: {error!r}",
            hint="move it away and pull again",
        ) from error


def lock_file() -> Path:
    return aes_home() / "models.lock.json"


def write_lock(models: Mapping[str, Iterable[LockedSource]]) -> None:
    file = lock_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "version": 1,
        "models": {name: [asdict(one) for one in sources] for name, sources in models.items()},
    }
    with replace_file(file) as stream:
        stream.write(json.dumps(content, indent=2, sort_keys=True).encode() + b"\n")


def _source_from(fields: Mapping[str, Any]) -> LockedSource:
    files = {name: LockedFile(str(file["sha256"]), int(file["size"])) for name, file in fields["files"].items()}
    return LockedSource(str(fields["repo"]), str(fields["commit"]), files)
