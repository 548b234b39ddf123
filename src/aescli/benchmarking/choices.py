"""Evaluation of multiple choice: accuracies over all items and over answered ones, never one without the other."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from aescli.benchmarking.leaks import find_leak
from aescli.benchmarking.lines import Line
from aescli.benchmarking.parsing import parse
from aescli.benchmarking.records import Record
from aescli.benchmarking.statistics import wilson

OVERALL = "overall"
FEW = 50  # items: fewer carry no headline

_NOT_CLASSES = frozenset({"ability", "picture", "group"})
_PREFIXES = {"type": "type_"}


def choice_records(lines: Sequence[Line], model: str, suite: str, split: str) -> Iterator[Record]:
    """Yield accuracies of each ability and class, the valid rate, and the recall of each right answer.

    The reply is read again, whatever the line says was read from it. A refusal and a reply that cannot be read are
    wrong; items that were never answered, for lack of a server or of money, are left out and counted in the note.
    """
    leak = next((found for line in lines if (found := find_leak(line))), "")
    for part, chosen in split_parts(lines).items():
        asked = [line for line in chosen if line.is_done()]
        note = "; ".join(filter(None, (_incomplete(len(chosen) - len(asked)), _few(part, len(asked)), leak)))
        for metric, right, n, more in _counts(asked):
            interval = wilson(right, n) if n else None
            error = f"se {interval.error:.4f}" if interval else ""
            yield Record(
                suite=suite, split=split, model=model, metric=f"{part}/{metric}", value=right / n if n else None,
                low=interval.low if interval else None, high=interval.high if interval else None, n=n,
                note="; ".join(filter(None, (f"{right} of {n}", error, more, note))),
            )  # fmt: skip


def baseline_records(lines: Sequence[Line], suite: str, split: str) -> Iterator[Record]:
    """Yield what needs no model: guessing, and always the most common right answer."""
    for part, chosen in split_parts(lines).items():
        known = [line for line in chosen if line.answer]
        if not known:
            continue
        chance = sum(1 / len(line.options) for line in known) / len(known)
        answers = Counter(line.options[line.answer or ""].casefold() for line in known)
        text, count = min(answers.items(), key=lambda each: (-each[1], each[0]))
        yield Record(suite=suite, split=split, model="baseline: random", metric=f"{part}/accuracy", value=chance,
                     n=len(known), note="expected of guessing")  # fmt: skip
        yield Record(suite=suite, split=split, model="baseline: majority", metric=f"{part}/accuracy",
                     value=count / len(known), n=len(known), note=f"always {text!r}")  # fmt: skip


def split_parts(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Return the lines of each part: an ability's `overall` first, then its classes, question types and sources."""
    parts: dict[str, list[Line]] = {}
    for line in lines:
        parts.setdefault(f"{_ability(line)}{OVERALL}", []).append(line)
    for line in lines:
        for kind, value in line.groups.items():
            if kind not in _NOT_CLASSES:
                parts.setdefault(f"{_ability(line)}{_PREFIXES.get(kind, '')}{_plain(value)}", []).append(line)
    return parts


def is_right(line: Line) -> bool:
    """Tell whether the reply, as it is read now, names the right option."""
    return line.answer is not None and parse(line.reply, line.options) == line.answer


def _counts(asked: Sequence[Line]) -> Iterator[tuple[str, int, int, str]]:
    """Yield metric, successes, items and a note."""
    read = {line.item: parse(line.reply, line.options) for line in asked}
    valid = [line for line in asked if read[line.item]]
    known = [line for line in asked if line.answer]
    if known:
        right = [line for line in known if read[line.item] == line.answer]
        answered = [line for line in known if read[line.item]]
        yield "accuracy", len(right), len(known), "all items; what cannot be read is wrong"
        yield "accuracy_answered", len(right), len(answered), "only replies that can be read"
    yield "valid_rate", len(valid), len(asked), ""
    refused = sum(line.error_code == "refused" for line in asked)
    if refused:
        yield "refused_rate", refused, len(asked), ""
    yield from _recalls(known, read)


def _recalls(known: Sequence[Line], read: Mapping[str, str | None]) -> Iterator[tuple[str, int, int, str]]:
    """Yield the recall of each right answer where all items have the same options, as in AesA's High, Medium, Low."""
    options = {tuple(text.casefold() for text in line.options.values()) for line in known}
    if len(options) != 1 or len(known) < len(next(iter(options))):
        return
    for letter, text in known[0].options.items():
        of_it = [line for line in known if line.answer == letter]
        said = sum(read[line.item] == letter for line in known)
        hits = sum(read[line.item] == letter for line in of_it)
        yield f"recall_{_plain(text)}", hits, len(of_it), f"said {said} times"


def _ability(line: Line) -> str:
    name = line.groups.get("ability", "")
    return f"{name.replace('AesA1', 'AesA')}/" if name else ""


def _plain(value: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_")


def _incomplete(missing: int) -> str:
    return f"incomplete: {missing} items not answered" if missing else ""


def _few(part: str, n: int) -> str:
    return f"fewer than {FEW} items" if not part.endswith(OVERALL) and n < FEW else ""
