"""Critiques as words for people, Markdown, one JSON array, or JSON lines (`docs/critique.schema.json`)."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from aescli import names
from aescli.critiquing import CUT_SHORT, DISAGREES
from aescli.results import Critique, Failure
from aescli.writers.csv import ESCAPED
from aescli.writers.opening import choose_by_suffix

FORMATS = ("text", "md", "json", "jsonl")
_OF_SUFFIX = {".txt": "text", ".md": "md", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_LISTS = ("strengths", "weaknesses", "suggestions")
_MARKS = frozenset("\\`*_{}[]<>#|!~@&")
_NUMBER = re.compile(r"^(\d+)([.)])")
_CUT = "cut short at --max-tokens"
_WEB = re.compile(r"\b(www)\.", re.IGNORECASE)


def choose_critique_format(wanted: str, target: Path | None) -> str:
    """Return the format that `--format` and the target's suffix name; `text` on stdout.

    Raises:
        UsageError: the word or the suffix is no format.

    """
    return choose_by_suffix(wanted, target, FORMATS, _OF_SUFFIX, alone="text", piped="text")


class CritiqueWriter:
    """Writes critiques to a binary stream.

    Args:
        stream: is not closed.
        form: one of FORMATS.
        named: every critique begins with its path; False where there is one picture alone.
        told: says whether the words of the first answer are on the terminal already, as they came.

    """

    def __init__(self, stream: BinaryIO, form: str, *, named: bool, told: Callable[[], bool] = lambda: False) -> None:
        self._stream = stream
        self._form = form
        self._named = named
        self._told = told
        self._count = 0

    def write(self, row: Critique | Failure) -> None:
        match self._form:
            case "jsonl":
                self._line(json.dumps(critique_record(row), allow_nan=False))
            case "json":
                self._line(
                    ("[" if not self._count else ",") + json.dumps(critique_record(row), indent=1, allow_nan=False)
                )
            case "md":
                self._line(_markdown(row))
            case _:
                self._line(_text(row, named=self._named, told=self._told()))
        self._count += 1

    def finish(self) -> None:
        if self._form == "json":
            self._line("]" if self._count else "[]")

    def _line(self, text: str) -> None:
        self._stream.write(text.encode() + b"\n")


def critique_record(row: Critique | Failure) -> dict[str, Any]:
    """Return the row's values as JSON; `path` is exact when it is UTF-8, else escaped with its bytes in `path_b64`."""
    exact = names.exact_bytes(row.path)
    common: dict[str, Any] = {
        "path": row.path if exact is None else names.escape(row.path),
        **({} if exact is None else {"path_b64": exact}),
        "status": "error" if isinstance(row, Failure) else "ok",
        "model": row.model,
        "revision": row.revision,
        "backend": row.backend,
        "flags": sorted({*row.flags, *([] if exact is None else [ESCAPED])}),
        "error_code": str(row.code) if isinstance(row, Failure) else None,
        "error": names.escape(row.message) if isinstance(row, Failure) else None,
    }
    if isinstance(row, Failure):
        return common
    if row.answer:
        return {**common, "answer": row.answer}
    return {
        **common,
        "overall": row.overall,
        "read_out": row.read_out or None,
        "summary": row.summary,
        **{name: list(getattr(row, name)) for name in _LISTS},
        "dims": dict(row.dims),
    }


def _text(row: Critique | Failure, *, named: bool, told: bool) -> str:
    """Return lines for people; whatever a model said begins no line that could pass for one of ours."""
    if isinstance(row, Failure):
        return "\n".join([names.escape(row.path), names.escape(f"  {row.code}: {row.message}")])
    lines = [""] if told else []  # the line that was told is not ended yet
    if row.overall is not None:
        otherwise = "  the words say otherwise" if DISAGREES in row.flags else ""
        lines.append(f"{row.overall:.2f} of 10 ({row.read_out}){otherwise}")
    lines += [] if told else [set_in(row.answer or row.summary)]
    for name in _LISTS:
        lines += [f"{name}:", *(f"  - {_line(item)}" for item in getattr(row, name))] if getattr(row, name) else []
    lines += [f"{name}: {_line(text)}" for name, text in row.dims.items()]
    lines += [_CUT] if CUT_SHORT in row.flags else []
    return "\n".join([names.escape(row.path), set_in("\n".join(["", *lines])), ""]) if named else "\n".join(lines)


def set_in(text: str) -> str:
    """Return words whose further lines are set in: only what is ours begins at the margin."""
    return text.replace("\n", "\n  ")


def _markdown(row: Critique | Failure) -> str:
    lines = [f"## {_plain(names.escape(row.path))}", ""]
    if isinstance(row, Failure):
        return "\n".join([*lines, f"`{row.code}` {_plain(names.escape(row.message))}", ""])
    if row.overall is not None:
        lines += [f"**{row.overall:.2f}** of 10 ({row.read_out})", ""]
    lines += [_plain(row.answer or row.summary), ""]
    for name in _LISTS:
        if items := getattr(row, name):
            lines += [f"### {name}", "", *(f"- {_plain(_line(item))}" for item in items), ""]
    for name, text in row.dims.items():
        lines += [f"### {_plain(name)}", "", _plain(_line(text)), ""]
    lines += [f"*{_CUT}*", ""] if CUT_SHORT in row.flags else []
    return "\n".join(lines)


def _line(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is: no mark, no list, no rule, no code, no address made a link."""
    escaped = "".join(f"\\{letter}" if letter in _MARKS else letter for letter in text)
    lines = (_NUMBER.sub(r"\1\\\2", _WEB.sub(r"\1\\.", line.lstrip(" "))) for line in escaped.split("\n"))
    return "\n".join(f"\\{line}" if line[:1] in ("-", "+", "=") else line for line in lines)
