"""Evaluation of multiple choice: accuracies over all items and over answered ones, never one without the other."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from aescli.benchmarking.leaks import find_leak
from aescli.benchmarking.lines import Line
from aescli.benchmarking.parsing import parse
from aescli.benchmarking.published import ALWAYS_HIGH, comparable
from aescli.benchmarking.records import Record
from aescli.benchmarking.statistics import wilson

OVERALL = "overall"
FEW = 50  # items: fewer carry no headline

_NOT_CLASSES = frozenset({"ability", "picture", "group"})
_PREFIXES = {"type": "type_"}


def choice_records(lines: Sequence[Line], model: str, suite: str, split: str) -> Iterator[Record]:
    """Yield accuracies of each ability and class, the valid rate, and the recall of each right answer.

    The reply is read again, whatever the line says was read from it. Where a model told how likely the options' words
    are, the same stands beside it by the likeliest word, as `accuracy_logits`. A refusal and a reply that cannot be
    read are wrong; items that were never answered, for lack of a server or of money, are left out and counted in the
    note.
    """
    leak = find_leak(lines)
    for part, chosen in split_parts(lines).items():
        asked = [line for line in chosen if line.is_done()]
        warnings = (_incomplete(len(chosen) - len(asked)), leak)  # first, where no table cuts them off
        for metric, right, n, more in _counts(asked):
            interval = wilson(right, n) if n else None
            error = f"se {interval.error:.4f}" if interval else ""
            yield Record(
                suite=suite, split=split, model=model, metric=f"{part}/{metric}", value=right / n if n else None,
                low=interval.low if interval else None, high=interval.high if interval else None, n=n,
                note="; ".join(filter(None, (f"{right} of {n}", *warnings, more, error, _few(part, len(asked))))),
            )  # fmt: skip


def baseline_records(lines: Sequence[Line], suite: str, split: str) -> Iterator[Record]:
    """Yield what needs no model: guessing, and always the most common right answer, where answers are known.

    Those of AesBench's assessment are withheld, but how many of them are High was worked out from published shares.
    """
    for part, chosen in split_parts(line for line in lines if line.options).items():
        known = [line for line in chosen if line.answer]
        chance = sum(1 / len(line.options) for line in known or chosen) / len(known or chosen)
        yield Record(suite=suite, split=split, model="baseline: random", metric=f"{part}/accuracy", value=chance,
                     n=len(known or chosen), note="expected of guessing")  # fmt: skip
        if not known:
            yield from _always_high(suite, split, part)
            continue
        answers = Counter(line.options[line.answer or ""].casefold() for line in known)
        text, count = min(answers.items(), key=lambda each: (-each[1], each[0]))
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
    yield from _of_each_option(asked, read, "")
    yield from _likeliest(asked)


def _likeliest(asked: Sequence[Line]) -> Iterator[tuple[str, int, int, str]]:
    """Yield what the likeliest words say, whatever was replied."""
    told = [line for line in asked if line.likely]
    if not told:
        return
    read = {line.item: max(line.likely, key=lambda letter: line.likely[letter]) for line in told}
    known = [line for line in told if line.answer]
    if known:
        right = sum(read[line.item] == line.answer for line in known)
        share = sum(sum(line.likely.values()) for line in told) / len(told)
        yield (
            "accuracy_logits",
            right,
            len(known),
            f"the likeliest word; all of them are {share:.1%} of what may be said",
        )
    yield from _of_each_option(told, read, "_logits")


def _of_each_option(
    asked: Sequence[Line], read: Mapping[str, str | None], suffix: str
) -> Iterator[tuple[str, int, int, str]]:
    """Yield the recall of each right answer and what it was taken for, or how often each option was said.

    Only where all items have the same options, as AesA's High, Medium and Low.
    """
    known = [line for line in asked if line.answer]
    options = {tuple(text.casefold() for text in line.options.values()) for line in asked}
    if len(options) != 1 or len(known or asked) < len(next(iter(options))):
        return
    for letter, text in asked[0].options.items():
        if not known:
            said = sum(read[line.item] == letter for line in asked)
            yield f"share_{_plain(text)}{suffix}", said, len(asked), "said so; the right answers are not known here"
            continue
        of_it = Counter(read[line.item] for line in known if line.answer == letter)
        if not of_it:
            continue
        names = [*asked[0].options.items(), (None, "unreadable")]
        others = [f"{name} {of_it[each]}" for each, name in names if each != letter and of_it[each]]
        said = sum(read[line.item] == letter for line in known)
        taken = f"; taken for {', '.join(others)}" if others else ""
        yield f"recall_{_plain(text)}{suffix}", of_it[letter], of_it.total(), f"said {said} times{taken}"


def _always_high(suite: str, split: str, part: str) -> Iterator[Record]:
    """Yield the line that AesBench's assessment must be held to, where no key tells it."""
    if (suite, split, part) == ("aesbench", "test", f"AesA/{OVERALL}"):
        yield from (each for each in comparable(suite, split) if each.model == ALWAYS_HIGH)


def _ability(line: Line) -> str:
    name = line.groups.get("ability", "")
    return f"{name.replace('AesA1', 'AesA')}/" if name else ""


def _plain(value: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_")


def _incomplete(missing: int) -> str:
    return f"incomplete: {missing} items not answered" if missing else ""


def _few(part: str, n: int) -> str:
    return f"fewer than {FEW} items" if not part.endswith(OVERALL) and n < FEW else ""
