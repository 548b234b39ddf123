"""Inference: pictures and questions to lines. It never looks at an answer key; evaluation is another step."""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from aescli.benchmarking.items import Item
from aescli.benchmarking.lines import Line
from aescli.benchmarking.parsing import PARSER, parse
from aescli.errors import PictureError
from aescli.images.opening import Opener
from aescli.images.source import read_file
from aescli.models.base import Critic
from aescli.results import Exchange, Row, Score


def ask_all(
    items: Iterable[Item], critic: Critic, opener: Opener, *, most_tokens: int, price: tuple[float, float] = (0, 0)
) -> Iterator[Line]:
    """Yield one line for each item, in order; greedy, asked once.

    Args:
        items: what is asked.
        critic: a loaded model.
        opener: decodes pictures.
        most_tokens: of an answer.
        price: of a million tokens asked and said.

    """
    setup = describe_asking(critic, opener, most_tokens)
    remaining = iter(items)
    while batch := list(islice(remaining, critic.batch_size)):
        for item, line in zip(batch, _ask(batch, critic, opener, most_tokens), strict=True):
            yield _priced(replace(line, setup=with_template(setup, item)), price)


def describe_asking(critic: Critic, opener: Opener, most_tokens: int) -> dict[str, Any]:
    """Return everything that an answer depends on beside picture and prompt, as JSON values."""
    return {
        "decoding": "exact" if opener.decoding.exact else "draft2x",
        "generation": "greedy",
        "most_tokens": most_tokens,
        "parser": PARSER,
        "backend": critic.backend,
        **critic.fingerprint,
    }


def with_template(setup: Mapping[str, Any], item: Item) -> dict[str, Any]:
    """Return a setup with the words in which this item is put."""
    return {**setup, "template": item.template} if item.template else dict(setup)


def is_about(line: Line, item: Item) -> bool:
    """Tell whether a line answers the item as it is asked now, word for word and on the same picture, byte for byte.

    Lines from before the picture's hash was kept are believed only where asking again would cost more than time.
    """
    if line.prompt != (item.prompt or line.prompt) or dict(line.options) != dict(item.options):
        return False
    if not line.sha256:
        return bool(line.prompt) or line.cost is not None
    return line.sha256 == hash_picture(item.path)


def hash_picture(path: Path) -> str:
    """Return the SHA-256 of a picture's file, empty where there is none to read."""
    if not os.path.isfile(path):  # noqa: PTH113 - a device would never end, and what may not be looked at is none
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def restate(line: Line, item: Item) -> Line:
    """Return a line with what is known of its item now: labels and keys are corrected, and pictures are moved."""
    return replace(
        line, path=str(item.path), answer=item.answer, groups=dict(item.groups), sources=item.sources,
        labels=dict(item.labels), label_range=item.label_range, range_guessed=item.range_guessed,
    )  # fmt: skip


def score_lines(
    items: Sequence[Item], rows: Iterable[Row], start: Line, price: tuple[float, float] = (0, 0)
) -> Iterator[Line]:
    """Yield one line for each item from the rows of its pictures, in the same order.

    Args:
        items: what is scored.
        rows: one for each.
        start: what all lines share: model, revision, setup.
        price: of a million tokens asked and said, where a server is asked.

    """
    before = time.perf_counter()
    for item, row in zip(items, rows, strict=True):
        now = time.perf_counter()
        line = replace(_begun(item, start), seconds=round(now - before, 6))
        before = now
        if isinstance(row, Score):
            line = replace(line, overall=row.overall, raw=row.raw, dims=dict(row.dims), flags=row.flags)
            yield _priced(_with_exchange(line, row.exchange), price)
        else:
            yield replace(line, error_code=row.code.value, error=row.message)


def _with_exchange(line: Line, said: Exchange | None) -> Line:
    if said is None:
        return line
    return replace(line, prompt=said.prompt, reply=said.reply, tokens_in=said.tokens_in, tokens_out=said.tokens_out)


def _ask(batch: Sequence[Item], critic: Critic, opener: Opener, most_tokens: int) -> Iterator[Line]:
    begun = time.perf_counter()
    prepared = [_prepare(item, critic, opener) for item in batch]
    asked = [(each, item.prompt) for each, item in zip(prepared, batch, strict=True) if not _failed(each)]
    said = iter(critic.answer(asked, most_tokens) if asked else [])
    answers = [each if _failed(each) else next(said) for each in prepared]
    likely = _read_words(batch, prepared, critic)
    seconds = (time.perf_counter() - begun) / len(batch)
    card = critic.card
    start = Line(
        suite="", split="", item="", model=card.id, revision=card.revision, trained_on=card.trained_on,
        leaks=card.leaks, seconds=round(seconds, 6),
    )  # fmt: skip
    for item, picture, answer in zip(batch, prepared, answers, strict=True):
        line = replace(_begun(item, start), likely=likely.get(item.name, {}))
        if isinstance(answer, PictureError):
            yield replace(line, error_code=answer.code.value, error=answer.message)
            continue
        counted = critic.count_tokens(picture, item.prompt, answer, most_tokens) or (None, None)
        parsed = parse(answer, item.options) if item.options else None
        yield replace(line, reply=answer, parsed=parsed, tokens_in=counted[0], tokens_out=counted[1])


def _read_words(batch: Sequence[Item], prepared: Sequence[Any], critic: Critic) -> dict[str, dict[str, float]]:
    """Return for items that ask for it how likely each option's word begins the answer, by letter."""
    alike: dict[tuple[str, ...], list[tuple[Item, Any]]] = {}
    for item, picture in zip(batch, prepared, strict=True):
        if item.words and not _failed(picture):
            alike.setdefault(tuple(item.words.values()), []).append((item, picture))
    found: dict[str, dict[str, float]] = {}
    for words, asked in alike.items():
        rows = critic.read_words([(picture, item.prompt) for item, picture in asked], words) or []
        for (item, _), row in zip(asked, rows, strict=False):
            if not isinstance(row, PictureError):
                found[item.name] = {letter: row[word] for letter, word in item.words.items()}
    return found


def _begun(item: Item, start: Line) -> Line:
    known = restate(start, item)
    return replace(
        known, suite=item.suite, split=item.split, item=item.name, prompt=item.prompt, options=dict(item.options),
        sha256=hash_picture(item.path),
    )  # fmt: skip


def _prepare(item: Item, critic: Critic, opener: Opener) -> Any:
    """Return what the critic keeps of a picture, or why it cannot be read."""
    try:
        file = read_file(str(item.path))
        with opener.open(file.data, str(item.path)) as view:
            return critic.prepare(view)
    except PictureError as error:
        return error


def _failed(prepared: Any) -> bool:
    return isinstance(prepared, PictureError)


def _priced(line: Line, price: tuple[float, float]) -> Line:
    if line.tokens_in is None or line.tokens_out is None or not any(price):
        return line
    return replace(line, cost=(line.tokens_in * price[0] + line.tokens_out * price[1]) / 1e6)
