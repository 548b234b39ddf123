"""Options that several commands share as one value: a dataclass is declared once, each field of it is an option."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from aescli.errors import ExitCode


def grouped(command: Callable[..., ExitCode]) -> Callable[..., ExitCode]:
    """Return a command with an option for each field of its parameters that are dataclasses, in their place.

    Typer reads a command's options from its signature; the fields' annotations are those of options. The command
    itself is called with whole values.
    """
    signature = inspect.signature(command)
    groups: dict[str, Any] = {
        name: each.annotation for name, each in signature.parameters.items() if is_dataclass(each.annotation)
    }
    options: list[inspect.Parameter] = []
    for name, each in signature.parameters.items():
        options += _options(groups[name]) if name in groups else [each.replace(kind=inspect.Parameter.KEYWORD_ONLY)]

    def call(**words: Any) -> ExitCode:
        made = {
            name: group(**{each.name: words.pop(each.name) for each in fields(group)}) for name, group in groups.items()
        }
        return command(**words, **made)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__annotations__ = {each.name: each.annotation for each in options}
    call.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    return call


def _options(group: Any) -> list[inspect.Parameter]:
    return [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
            annotation=each.type,
        )
        for each in fields(group)
    ]
