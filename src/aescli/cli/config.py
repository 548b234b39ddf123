"""Defaults from files: `aes.toml` in the folder, then the user's own; both weaker than an option or AES_*.

model = "laion-v2"          # for every command that has the option
[score]
dims = "all"                # for one command; dashes may be written as underscores
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from aescli.errors import UsageError
from aescli.names import escape
from aescli.registry import nearest

# What a file may set, and for which commands.
_SETTINGS = {
    "score": {
        "model", "dims", "format", "device", "dtype", "batch_size", "workers", "store", "no_store", "check",
        "exact_decode", "allow_truncated", "isolate", "timeout", "max_pixels", "include", "exclude", "all_files", "sort",
        "engine", "actors", "gpus_per_actor",
    }
}  # fmt: skip
_PARAMETER_OF = {"dtype": "data_type"}


def read_defaults() -> dict[str, Any]:
    """Return for each command the values that the files set.

    Raises:
        UsageError: a file is no TOML, or sets something unknown; the hint names the nearest.

    """
    merged: dict[str, Any] = {command: {} for command in _SETTINGS}
    for file in (_user_file(), Path("aes.toml")):
        for command, values in _read(file).items():
            merged[command].update(values)
    return merged


def _user_file() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME")
    if folder:
        return Path(folder) / "aes" / "aes.toml"
    import platformdirs

    return Path(platformdirs.user_config_dir("aes", appauthor=False)) / "aes.toml"


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{escape(str(file))} cannot be read: {error}") from error
    found: dict[str, dict[str, Any]] = {command: {} for command in _SETTINGS}
    for name, value in content.items():
        if isinstance(value, dict):
            if name not in _SETTINGS:
                raise _unknown(file, f"[{name}]", name, list(_SETTINGS))
            for option, each in value.items():
                found[name][_parameter(file, option, name)] = _value(each, option)
        else:
            for command in _SETTINGS:
                found[command].setdefault(_parameter(file, name, command), _value(value, name))
    return found


def _value(value: object, option: str) -> object:
    return ",".join(map(str, value)) if option == "dims" and isinstance(value, list) else value


def _parameter(file: Path, option: str, command: str) -> str:
    name = option.replace("-", "_")
    if name not in _SETTINGS[command]:
        raise _unknown(file, option, name, sorted(_SETTINGS[command]))
    return _PARAMETER_OF.get(name, name)


def _unknown(file: Path, shown: str, name: str, known: list[str]) -> UsageError:
    close = nearest(name, known)
    return UsageError(
        f"{escape(str(file))}: there is no setting '{escape(shown)}'",
        hint=f"did you mean '{close}'?" if close else f"known: {', '.join(known)}",
    )
