"""What inference leaves behind and evaluation reads: one JSON line for each item, appended as it comes.

A line that was cut by the end of a process is cut off before more are appended. Lines that failed for a reason that
may pass are tried again; the last line of an item counts.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from aescli.errors import AesError, ErrorCode, OutputFailed, OutputLocked
from aescli.names import escape
from aescli.output import lock_file

FORMAT = 1

_NEEDED = ("suite", "split", "item", "model")
_EXAMPLE = '{"suite": "scores", "split": "holidays", "item": "a.jpg", "model": "theirs", "overall": 6.5}'
# What a model said for itself: an answer, if a useless one. Everything else that failed may succeed another time.
FINAL_ERRORS = frozenset({ErrorCode.REFUSED.value, ErrorCode.BAD_ANSWER.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One item and what a model said of it.

    Args:
        suite: which benchmark.
        split: which of its parts, or the labelled set's name.
        item: names the item within suite and split.
        model: as rows call it.
        path: of the picture; empty where it was no file.
        sha256: of its bytes; empty where it could not be read, or in lines from before it was kept.
        look: its difference hash, 16 hexadecimal digits (images.fingerprints); empty as that may be.
        revision: of the model's weights.
        setup: everything that the answer depends on beside the picture: prompt, decoding, precision, image side.
        trained_on: sets that the model's card names as trained on.
        leaks: sets whose pictures or sources it has seen in some other way.
        seen: it was trained on this very picture, told by its bytes or its look.
        sources: of the item's picture, as the set tells them.
        labels: what people said, by name.
        label_range: lowest and highest label possible.
        range_guessed: nobody states it: it ends where the set's own labels do.
        answer: the right option's letter, where it is known.
        options: letter to text.
        groups: ability, question type and the like, by name.
        prompt: what was asked, word for word.
        reply: what came, word for word; None where nothing did.
        likely: how likely the answer begins with each option's word, 0 to 1, by letter, where the model tells.
        parsed: the letter that was read from the reply, for people to see: evaluation reads the reply again.
        overall: out of 10.
        raw: the model's own number.
        dims: out of 10.
        flags: of the score.
        tokens_in: None where they are not counted.
        tokens_out: None where they are not counted.
        seconds: this item's share of its batch.
        cost: in the currency of the prices.
        error_code: why there is no answer; empty where there is one.
        error: the same in words.
        format: version of this layout.

    """

    suite: str
    split: str
    item: str
    model: str
    path: str = ""
    sha256: str = ""
    look: str = ""
    revision: str = ""
    setup: Mapping[str, Any] = field(default_factory=dict)
    trained_on: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()
    seen: bool = False
    sources: tuple[str, ...] = ()
    labels: Mapping[str, float] = field(default_factory=dict)
    label_range: tuple[float, float] | None = None
    range_guessed: bool = False
    answer: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    prompt: str = ""
    reply: str | None = None
    likely: Mapping[str, float] = field(default_factory=dict)
    parsed: str | None = None
    overall: float | None = None
    raw: float | None = None
    dims: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float | None = None
    cost: float | None = None
    error_code: str = ""
    error: str = ""
    format: int = FORMAT

    def is_done(self) -> bool:
        """Tell whether asking again would bring nothing new."""
        return not self.error_code or self.error_code in FINAL_ERRORS


class Appender:
    """An open file of lines; `kept` are those that need no asking any more, by item."""

    def __init__(self, stream: BinaryIO, kept: Mapping[str, Line]) -> None:
        self._stream = stream
        self.kept = kept

    def add(self, line: Line) -> None:
        """Write one line whole, and hand it to the system."""
        self._stream.write(json.dumps(asdict(line), allow_nan=False, sort_keys=True).encode() + b"\n")
        self._stream.flush()


@contextmanager
def appending(file: Path, *, fresh: bool = False) -> Iterator[Appender]:
    """Open a file of lines for more.

    Raises:
        OutputLocked: another run writes it.
        OutputFailed: it cannot be written.
        AesError: it holds something else.

    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("a+b")
    except OSError as error:
        raise OutputFailed(f"{escape(str(file))} cannot be written: {error.strerror}") from error
    with stream:
        try:
            lock_file(stream)
        except OSError:
            raise OutputLocked(f"{escape(str(file))} is being written by another run", hint="wait for it") from None
        if fresh:
            stream.truncate(0)
        _cut_off(stream)
        kept = {line.item: line for line in latest(read_lines([file])) if line.is_done()}
        try:
            yield Appender(stream, kept)
            os.fsync(stream.fileno())
        except OSError as error:
            raise OutputFailed(f"{escape(str(file))} cannot be written: {error.strerror}") from error


def read_lines(files: Iterable[Path]) -> Iterator[Line]:
    """Yield the lines of files, without a last one that was cut.

    Raises:
        AesError: a file cannot be read, or holds something else.

    """
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise AesError(f"{escape(str(file))} cannot be read: {error.strerror}") from error
        *whole, rest = content.split(b"\n")
        for number, text in enumerate(whole, 1):
            if text.strip():
                yield _line(text, f"{escape(str(file))}, line {number}")
        if rest.strip() and _is_whole(rest):  # written by something that ends without a line feed
            yield _line(rest, f"{escape(str(file))}, its last line")


def latest(lines: Iterable[Line]) -> list[Line]:
    """Return the last line of each model, setup and item, in the order in which they first came."""
    found: dict[tuple[str, ...], Line] = {}
    for line in lines:
        found[line.suite, line.split, line.model, line.revision, digest(line.setup), line.item] = line
    return list(found.values())


def file_name(suite: str, split: str, model: str, setup: Mapping[str, Any]) -> str:
    """Return a name that differs where suite, split, model or setup differ."""
    words = "-".join(re.sub(r"[^\w.]+", "_", word).strip("_.") or "_" for word in (suite, split, model))
    return f"{words[:120]}-{digest([suite, split, model, dict(setup)])}.jsonl"


def why(error: Exception) -> str:
    """Return why a file cannot be read, in words."""
    return getattr(error, "strerror", None) or str(error)


def digest(value: Any) -> str:
    """Return eight hexadecimal digits that stand for JSON values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _cut_off(stream: BinaryIO) -> None:
    """Remove an unfinished last line: it will be asked for again."""
    stream.seek(0)
    content = stream.read()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        stream.truncate(end)
    stream.seek(0, os.SEEK_END)


def _line(text: bytes, where: str) -> Line:
    try:
        known = _known(json.loads(text))
        tuples: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in known.items()
        }
        return _checked(Line(**tuples))
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise AesError(f"{where}: no line of aes bench: {error}", hint=_EXAMPLE) from error


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    missing = [name for name in _NEEDED if name not in values]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    return {each.name: values[each.name] for each in fields(Line) if each.name in values}


def _checked(line: Line) -> Line:
    for says, is_so in _RULES.items():
        if not is_so(line):
            raise ValueError(says)
    return line


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _are_numbers(values: Iterable[object], low: float = -math.inf, high: float = math.inf) -> bool:
    return all(_is_number(value) and low <= value <= high for value in values)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_scale(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and _are_numbers(value) and value[0] <= value[1]


_RULES: Mapping[str, Callable[[Line], bool]] = {
    f"its format is not {FORMAT}": lambda line: line.format == FORMAT,
    "a name is no text": lambda line: _are_texts((
        line.suite, line.split, line.item, line.model, line.path, line.sha256, line.revision, line.prompt,
        line.error_code, line.error,
    )),
    "the look is not 16 hexadecimal digits": lambda line: (
        isinstance(line.look, str) and bool(re.fullmatch(r"(?:[0-9a-f]{16})?", line.look))
    ),
    "the reply is no text": lambda line: _are_texts(
        each for each in (line.reply, line.parsed, line.answer) if each is not None
    ),
    "sets, sources and flags are lists of texts": lambda line: all(
        isinstance(each, tuple) and _are_texts(each) for each in (line.trained_on, line.leaks, line.sources, line.flags)
    ),
    "setup, options and groups are objects, of texts but for the setup": lambda line: (
        isinstance(line.setup, dict) and _are_texts((*line.options.values(), *line.groups.values()))
    ),
    "labels, dims and likely are objects": lambda line: all(
        isinstance(each, dict) for each in (line.labels, line.dims, line.likely)
    ),
    "seen and range_guessed are true or false": lambda line: (
        isinstance(line.seen, bool) and isinstance(line.range_guessed, bool)
    ),
    "raw, tokens, seconds and cost are numbers": lambda line: _are_numbers(
        each for each in (line.raw, line.tokens_in, line.tokens_out, line.seconds, line.cost) if each is not None
    ),
    "the right answer is none of the options": lambda line: (
        not line.options or line.answer is None or line.answer in line.options
    ),
    "labels are finite numbers": lambda line: _are_numbers(line.labels.values()),
    "label_range is no two numbers, the lowest and the highest label": lambda line: (
        line.label_range is None or _is_scale(line.label_range)
    ),
    "overall and dimensions are numbers from 0 to 10": lambda line: _are_numbers(
        (*line.dims.values(), *([] if line.overall is None else [line.overall])), 0, 10
    ),
    "probabilities are numbers from 0 to 1": lambda line: _are_numbers(line.likely.values(), 0, 1),
}  # fmt: skip


def _is_whole(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
