"""Conversations from files: LLaVA's JSON (`image`, `conversations`), and ms-swift's JSON lines.

Sources: haotian-liu/LLaVA, docs/Finetune_Custom_Data.md; modelscope/ms-swift (`messages` and `images`, or `query`,
`response` and `history`); KwaiVGI/HumanAesExpert (the same with `scores` and `is_expert`).
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aescli.dimensions import HUMAN_DIMENSIONS
from aescli.errors import UsageError
from aescli.labels.cells import number
from aescli.labels.rows import read_text
from aescli.labels.values import Problem
from aescli.names import escape
from aescli.training.samples import Data, Rated, Sample, Talk, level_of

_IMAGE = "<image>"
_ASKING, _ANSWERING = ("human", "user"), ("gpt", "assistant")
_FOLDERS = ("", "images", "image")  # beside the file, where a relative path may begin

Record = Mapping[str, Any]


def read_talks(name: str, file: Path) -> Data:
    """Read conversations, one or more turns each.

    Raises:
        UsageError: the file is no JSON.

    """
    return _collect(name, file, _talk)


def read_rated_swift(name: str, file: Path) -> Data:
    """Read lines as HumanAesExpert's repository prepares them: `images`, twelve `scores`, `is_expert`."""
    return _collect(name, file, _rated)


def is_rated_swift(file: Path) -> bool:
    """Tell whether the first line of a file has `images`, `scores` and `is_expert`."""
    if file.suffix not in (".jsonl", ".ndjson"):
        return False
    with file.open(encoding="utf-8", errors="surrogateescape") as stream:
        first = stream.readline(1 << 20)
    return all(f'"{key}"' in first for key in ("images", "scores", "is_expert"))


def _collect(name: str, file: Path, understand: Callable[[Record, str, str], Sample]) -> Data:
    here: list[Sample] = []
    missing: list[Sample] = []
    problems: list[Problem] = []
    for source, record in _records(file):
        try:
            fields = _object(record, "it")
            picture, there = _resolve(file.parent, _picture(fields))
            (here if there else missing).append(understand(fields, picture, source))
        except ValueError as error:
            problems.append(Problem(source, str(error)))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Data(name, tuple(here), (), tuple(problems), tuple(missing), digest)


def _records(file: Path) -> Iterator[tuple[str, Any]]:
    text = read_text(file)
    if file.suffix == ".json":
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{escape(str(file))} is no JSON: {error}") from error
        if not isinstance(found, list):
            raise UsageError(f"{escape(str(file))} is no list of conversations")
        yield from ((f"{file.name}:{at}", record) for at, record in enumerate(found, 1))
        return
    for at, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"{file.name}:{at}", json.loads(line)
            except (ValueError, RecursionError):
                yield f"{file.name}:{at}", None


def _object(value: object, what: str) -> Record:
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"{what} is no JSON object")


def _picture(record: Record) -> str:
    found = record.get("image") or record.get("images")
    if isinstance(found, list):
        if len(found) != 1:
            raise ValueError(f"{len(found)} pictures: one is understood")
        found = found[0]
    if isinstance(found, Mapping):
        found = found.get("path")
    if not isinstance(found, str) or not found or "\0" in found:
        raise ValueError("it names no picture")
    return found


def _talk(record: Record, picture: str, source: str) -> Talk:
    turns = _turns(record)
    if not turns:
        raise ValueError("it has no question with an answer")
    return Talk(picture, turns, str(record.get("source") or record.get("type") or ""), source)


def _turns(record: Record) -> tuple[tuple[str, str], ...]:
    if "query" in record:
        earlier = record.get("history") or []
        said = [text for pair in earlier for text in pair] + [record["query"], record.get("response")]
    else:
        said = _alternating(record.get("conversations") or record.get("messages"))
    texts = [_text(text) for text in said]
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def _alternating(messages: object) -> list[object]:
    """Return what was said, question and answer in turn; a system message is not understood."""
    if not isinstance(messages, list) or len(messages) % 2:
        raise ValueError("its messages are no questions and answers in turn")
    said = []
    for at, message in enumerate(messages):
        fields = _object(message, "a message")
        who = fields.get("from", fields.get("role"))
        if who not in (_ANSWERING if at % 2 else _ASKING):
            raise ValueError(f"message {at + 1} is from {who!r}: questions and answers must take turns")
        said.append(fields.get("value", fields.get("content")))
    return said


def _text(text: object) -> str:
    found = text.replace(_IMAGE, "").strip() if isinstance(text, str) else ""
    if not found:
        raise ValueError("a message is empty, or no text")
    return found


def _rated(record: Record, picture: str, source: str) -> Rated:
    values = record.get("scores")
    if not isinstance(values, list) or len(values) != len(HUMAN_DIMENSIONS):
        raise ValueError(f"its scores are no list of {len(HUMAN_DIMENSIONS)}")
    scores = tuple(number(value, name) for value, name in zip(values, HUMAN_DIMENSIONS, strict=True))
    if not all(0 <= score <= 1 for score in scores):
        raise ValueError("a score is outside of 0 to 1")
    # Of a picture with one score the other eleven are written as 0.
    kept = scores if record.get("is_expert") else scores[-1:]
    return Rated(picture, kept, level_of(kept[-1]), str(record.get("source") or ""), source)


def _resolve(folder: Path, path: str) -> tuple[str, bool]:
    candidates = [path] if os.path.isabs(path) else [os.path.join(folder, below, path) for below in _FOLDERS]  # noqa: PTH117, PTH118
    for candidate in candidates:
        if os.path.isfile(candidate):  # noqa: PTH113 - bytes stay exact
            return candidate, True
    return candidates[0], False
