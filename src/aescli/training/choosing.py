"""Choices of a recipe by their names: `losses.text=0.5` for one leaf of nested frozen values."""

import math
import types
import typing
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from aescli.errors import UsageError
from aescli.registry import nearest

Choices = TypeVar("Choices")


def change(choices: Choices, word: str) -> Choices:
    """Return choices with one of them changed.

    Args:
        choices: a frozen dataclass of values and of further ones.
        word: NAME=VALUE; parts of a name stand with points between them, parts of a list with commas.

    Raises:
        UsageError: there is no such choice, or the value is none for it.

    """
    name, equals, text = word.partition("=")
    if not equals:
        raise UsageError(f"'{word}' sets nothing", hint="--set NAME=VALUE")
    known = {name: kind for name, kind, _ in list_choices(choices)}
    if name not in known:
        close = nearest(name, list(known))
        raise UsageError(
            f"there is no choice '{name}'", hint=f"did you mean '{close}'?" if close else "docs/finetune.md"
        )
    try:
        value = _parse(text, known[name])
    except ValueError:
        raise UsageError(f"'{text}' is no value of {name}", hint=f"it is {_named(known[name])}") from None
    changed: Choices = _put(choices, name.split("."), value)
    return changed


def list_choices(choices: Any, before: str = "") -> list[tuple[str, Any, Any]]:
    """Return name, type and value of every choice, in order."""
    found = []
    hints = typing.get_type_hints(type(choices))
    for field in fields(choices):
        value = getattr(choices, field.name)
        if is_dataclass(value):
            found += list_choices(value, f"{before}{field.name}.")
        else:
            found.append((before + field.name, hints[field.name], value))
    return found


def _put(choices: Any, names: list[str], value: Any) -> Any:
    first, *rest = names
    return replace(choices, **{first: _put(getattr(choices, first), rest, value) if rest else value})


def _parse(text: str, kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [each for each in typing.get_args(kind) if each is not type(None)]
        return None if text == "none" else _parse(text, kinds[0])
    if typing.get_origin(kind) is tuple:
        first, *others = typing.get_args(kind)
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if Ellipsis not in others and len(parts) != 1 + len(others):
            raise ValueError(text)
        return tuple(_parse(part, first) for part in parts)
    if kind is bool:
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    value = kind(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(text)
    return value


def _named(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)
