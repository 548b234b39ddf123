"""Defaults from files: `aes.toml` in the folder, then the user's own; both weaker than an option or AES_*.

dtype = "fp32"              # what AES_DTYPE says, for every command that heeds it
[critique]
model = "endpoint:llama"    # for one command, also by an option's own name; dashes may be written as underscores
[bench.scores]
batch-size = 4              # for one of its commands; [bench] is for all of them
"""

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from aescli.errors import UsageError
from aescli.names import escape
from aescli.registry import nearest

_PREFIX = "AES_"  # of a variable: what none sets, no file sets
_PRIVATE = ("base_url",)  # whoever sends a folder must not learn the key of those who look at it


def read_defaults(commands: TyperGroup) -> dict[str, Any]:
    """Return for each command the values that the files set, as Click has them: by parameter, nested like the commands.

    Raises:
        UsageError: a file is no TOML, or sets something unknown; the hint names the nearest. The folder's own says
            where a key is sent.

    """
    own, of_folder = _user_file(), Path("aes.toml")
    merged = _of_group(commands, _read(own), {}, escape(str(own)))
    content = _read(of_folder)
    if private := next((name for name in _all_names(content) if name in _PRIVATE), None):
        raise UsageError(
            f"{of_folder}: {private} must not stand in a folder's settings: your key would follow it",
            hint=f"{escape(str(own))} is your own",
        )
    _merge(merged, _of_group(commands, content, {}, str(of_folder)))
    return merged


def has_settings(command: Any) -> bool:
    """Tell whether a file can set something of a command or of one below it: others need not fail for a bad file."""
    return bool(_names(command)) or any(map(has_settings, getattr(command, "commands", {}).values()))


def _user_file() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME")
    if folder:
        return Path(folder) / "aes" / "aes.toml"
    import platformdirs

    return Path(platformdirs.user_config_dir("aes", appauthor=False)) / "aes.toml"


def _read(file: Path) -> dict[str, Any]:
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # a FIFO would be waited for without end
            raise UsageError(f"{escape(str(file))} cannot be read: it is no file")
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{escape(str(file))} cannot be read: {error}") from error


def _all_names(content: Mapping[str, Any]) -> Iterator[str]:
    for name, value in content.items():
        yield _underscored(name)
        yield from _all_names(value) if isinstance(value, dict) else ()


def _of_group(group: TyperGroup, content: Mapping[str, Any], shared: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return the values of a group's commands: sections by their names, and what stands before them for all."""
    sections = {name: value for name, value in content.items() if isinstance(value, dict)}
    for name in sections:
        if name not in group.commands or not has_settings(group.commands[name]):
            known = sorted(each for each, command in group.commands.items() if has_settings(command))
            raise _unknown(file, f"[{name}]", name, known)
    values = {_underscored(name): value for name, value in content.items() if name not in sections}
    variables = sorted(set(_variables(group)))
    for name in values:
        if name not in variables:
            raise _unknown(file, name, name, variables)
    found = {}
    for name, command in group.commands.items():
        of: Any = _of_group if isinstance(command, TyperGroup) else _of_command
        found[name] = of(command, sections.get(name, {}), {**shared, **values}, file)
    return found


def _of_command(
    command: TyperCommand, content: Mapping[str, Any], shared: Mapping[str, Any], file: str
) -> dict[str, Any]:
    parameters = _names(command)
    found = {
        parameter.name: _value(shared[name], parameter) for name, parameter in parameters.items() if name in shared
    }
    own = {_own_name(parameter): parameter for parameter in parameters.values()}
    for name, value in content.items():
        parameter = own.get(_underscored(name)) or parameters.get(_underscored(name))
        if parameter is None:
            raise _unknown(file, name, _underscored(name), sorted(own))
        found[parameter.name] = _value(value, parameter)
    return found


def _variables(command: Any) -> Iterator[str]:
    yield from _names(command)
    for each in getattr(command, "commands", {}).values():
        yield from _variables(each)


def _names(command: Any) -> dict[str, Any]:
    """Return the parameters that a file may set, by their variables' names without what these begin with."""
    return {
        each.envvar.removeprefix(_PREFIX).lower(): each
        for each in command.params
        if isinstance(each.envvar, str) and each.envvar.startswith(_PREFIX)
    }


def _own_name(parameter: Any) -> str:
    return _underscored(max(parameter.opts, key=len).removeprefix("--"))


def _underscored(name: str) -> str:
    return name.replace("-", "_")


def _value(value: object, parameter: Any) -> object:
    return ",".join(map(str, value)) if isinstance(value, list) and not parameter.multiple else value


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict):
            _merge(into.setdefault(name, {}), value)
        else:
            into[name] = value


def _unknown(file: str, shown: str, name: str, known: Sequence[str]) -> UsageError:
    close = nearest(name, known)
    return UsageError(
        f"{file}: there is no setting '{escape(shown)}'",
        hint=f"did you mean '{close}'?" if close else f"known: {', '.join(known)}",
    )
