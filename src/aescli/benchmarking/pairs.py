"""Pairs: which of two pictures is better, asked in both orders; what changes with the order is position bias.

A scorer needs no question: the higher score wins. A critic is shown both side by side in one picture, twice.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from aescli import metrics
from aescli.benchmarking.asking import hash_picture
from aescli.benchmarking.copies import find_units
from aescli.benchmarking.items import Item
from aescli.benchmarking.labelled import find_group
from aescli.benchmarking.leaks import find_leak
from aescli.benchmarking.lines import Line
from aescli.benchmarking.parsing import parse
from aescli.benchmarking.records import Record
from aescli.benchmarking.statistics import Interval, wilson
from aescli.labels.links import connect, link_equal
from aescli.labels.values import Pair

if TYPE_CHECKING:
    from PIL import Image

SIDE = 512  # pixels of each picture's height, side by side
PROMPT = (
    "The image shows two photographs side by side. Which of them is more beautiful? Choose one from the following "
    "options:\nA) The left one B) The right one\nYou should output a correct option without explanation."
)
OPTIONS = {"A": "The left one", "B": "The right one"}
STRAIGHT, TURNED = "winner left", "winner right"


def both_orders(
    pairs: Sequence[Pair], folder: Path, split: str, open_picture: "Callable[[str], Image.Image | None]"
) -> Iterator[Item]:
    """Yield two items for each pair, and write what is shown: the winner on the left, then on the right.

    Args:
        pairs: that people judged.
        folder: where side-by-side pictures are kept.
        split: the set's name.
        open_picture: from a path to a picture, upright; None where it cannot be read, and its pairs are left out.

    """
    folder.mkdir(parents=True, exist_ok=True)
    series = _link_series(pairs)
    times: Counter[str] = Counter()
    for at, pair in enumerate(pairs):
        name = f"{pair.winner} > {pair.loser}"
        times[name] += 1
        name += f" ({times[name]})" if times[name] > 1 else ""
        winner, loser = open_picture(pair.winner), open_picture(pair.loser)
        if winner is None or loser is None:
            continue
        for order, (left, right), answer in ((STRAIGHT, (winner, loser), "A"), (TURNED, (loser, winner), "B")):
            file = folder / f"{at:06d}-{answer}.png"
            file.write_bytes(side_by_side(left, right))
            groups = {
                "pair": name, "order": order, "winner": pair.winner, "loser": pair.loser,
                "winner_unit": _find_unit(pair.winner, series), "loser_unit": _find_unit(pair.loser, series),
            }  # fmt: skip
            yield Item(
                suite="pairs", split=split, name=f"{name}/{order}", path=file, prompt=PROMPT, options=OPTIONS,
                answer=answer, groups=groups,
            )  # fmt: skip


def side_by_side(left: "Image.Image", right: "Image.Image") -> bytes:
    """Return a PNG of two pictures of one height with a grey bar between them."""
    from PIL import Image

    made = [each.resize((max(1, round(each.width * SIDE / each.height)), SIDE)) for each in (left, right)]
    canvas = Image.new("RGB", (made[0].width + made[1].width + 16, SIDE), (128, 128, 128))
    canvas.paste(made[0], (0, 0))
    canvas.paste(made[1], (made[0].width + 16, 0))
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue()


def scored_pairs(pairs: Sequence[Pair], split: str) -> list[Item]:
    """Return an item for each picture of the pairs, for a scorer; it carries what it was compared with."""
    paths = dict.fromkeys(path for pair in pairs for path in (pair.winner, pair.loser))
    series = _link_series(pairs)
    lost: dict[str, list[str]] = {path: [] for path in paths}
    for pair in pairs:
        lost[pair.winner].append(pair.loser)
    return [
        Item(
            suite="pairs",
            split=split,
            name=path,
            path=Path(path),
            groups={"beats": "\n".join(lost[path]), **({"group": series[path]} if path in series else {})},
        )
        for path in paths
    ]


def units_of(lines: Sequence[Line]) -> dict[str, str]:
    """Return what each picture of `points` stands and falls together with: its series, its file, its photograph."""
    if any(line.options for line in lines):
        return {
            line.groups[end]: line.groups.get(f"{end}_unit") or line.groups[end]
            for line in lines for end in ("winner", "loser")
        }  # fmt: skip
    return {line.item: str(unit) for line, unit in zip(lines, find_units(lines), strict=True)}


def _link_series(pairs: Sequence[Pair]) -> dict[str, str]:
    """Return the series of each picture that has one: all in rows of one are of it, over however many others."""
    told = [(name, pair) for pair in pairs if (name := find_group(pair.columns))]
    ends = [path for _, pair in told for path in (pair.winner, pair.loser)]
    links = [*link_equal([name for name, _ in told for _ in range(2)]), *link_equal(ends)]
    return {path: f"series {each}" for path, each in zip(ends, connect(len(ends), links).tolist(), strict=True)}


def _find_unit(path: str, series: Mapping[str, str]) -> str:
    """Return a picture's series, or what its bytes are called."""
    return series.get(path) or hash_picture(Path(path)) or path


def pair_records(lines: Sequence[Line], model: str, split: str) -> Iterator[Record]:
    """Yield how often a model agrees with people, and what the order of the pictures changes."""
    asked = [line for line in lines if line.options]
    found = _asked_records(asked) if asked else _scored_records(lines)
    leak = find_leak(lines)
    for metric, value, interval, n, note in found:
        yield Record(
            suite="pairs", split=split, model=model, metric=metric, value=value, n=n,
            low=interval.low if interval else None, high=interval.high if interval else None,
            note="; ".join(filter(None, (note, leak))),
        )  # fmt: skip


def baseline_records(lines: Sequence[Line], split: str) -> Iterator[Record]:
    """Yield what guessing gives; two orders must agree, so half of that again is left of it."""
    found = {"pair_accuracy": 0.5}
    if any(line.options for line in lines):
        found |= {"consistent_accuracy": 0.25, "flip_rate": 0.5, "left_share": 0.5}
    for metric, value in found.items():
        yield Record(suite="pairs", split=split, model="baseline: random", metric=metric, value=value,
                     n=len(points(lines)), note="expected of guessing")  # fmt: skip


def points(lines: Sequence[Line]) -> dict[tuple[str, ...], float]:
    """Return how far a model is with people on each pair: 1, 0, or 0.5 for a tie or a flip.

    A pair that several people judged stands several times.
    """
    if any(line.options for line in lines):
        answers = _answers(lines).items()
        return {(*ends, pair): ((one == "A") + (two == "B")) / 2 for pair, (ends, (one, two)) in answers}
    scores = {line.item: line.overall for line in lines if line.overall is not None}
    found: dict[tuple[str, ...], float] = {}
    times: Counter[tuple[str, str]] = Counter()
    for one, two in _judged(lines):
        if one in scores and two in scores:
            times[one, two] += 1
            won = 1.0 if scores[one] > scores[two] else 0.5 if scores[one] == scores[two] else 0.0
            found[one, two, str(times[one, two])] = won
    return found


Found = Iterator[tuple[str, float | None, Interval | None, int, str]]


def bradley_terry(wins: Iterable[tuple[str, str]], rounds: int = 200) -> dict[str, float]:
    """Return the log strength of each name, mean 0, from (winner, loser) pairs (Bradley and Terry 1952).

    Fitted by Hunter's minorization (Annals of Statistics 32, 2004) with half a win and half a loss against an average
    opponent added to everybody, so that one who always wins stays finite.
    """
    pairs = list(wins)
    names = sorted({name for pair in pairs for name in pair})
    at = {name: place for place, name in enumerate(names)}
    if not pairs:
        return {}
    won = np.array([at[winner] for winner, _ in pairs])
    lost = np.array([at[loser] for _, loser in pairs])
    successes = np.bincount(won, minlength=len(names)) + 0.5
    strength = np.ones(len(names))
    for _ in range(rounds):
        shares = 1 / (strength[won] + strength[lost])
        meetings = np.bincount(won, shares, len(names)) + np.bincount(lost, shares, len(names)) + 1 / (strength + 1)
        strength = successes / meetings
        strength /= np.exp(np.log(strength).mean())
    return dict(zip(names, np.log(strength).tolist(), strict=True))


def _answers(lines: Sequence[Line]) -> dict[str, tuple[tuple[str, str], tuple[str | None, str | None]]]:
    """Return for each pair that was asked in both orders its winner and loser, and both answers."""
    said: dict[str, dict[str, str | None]] = {}
    for line in lines:
        if line.is_done():
            said.setdefault(line.groups["pair"], {})[line.groups["order"]] = parse(line.reply, line.options)
    ends = {line.groups["pair"]: (line.groups["winner"], line.groups["loser"]) for line in lines}
    return {pair: (ends[pair], (found[STRAIGHT], found[TURNED])) for pair, found in said.items() if len(found) == 2}


def _judged(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Return the pairs that people judged, of lines that carry what each picture was preferred to."""
    return [(line.item, loser) for line in lines for loser in line.groups.get("beats", "").split("\n") if loser]


def _asked_records(lines: Sequence[Line]) -> Found:
    answered = _answers(lines)
    both = {pair: found for pair, (_, found) in answered.items()}
    n = len(both)
    if not n:
        return
    judged, units = [each for each, _ in answered.values()], units_of(lines)
    ends = [(units[winner], units[loser]) for winner, loser in judged]
    again = _say_again(ends)

    def share(count: float, of: int, of_each: Sequence[float]) -> tuple[float, Interval, int]:
        answers = count_apart(of_each, ends) * of / n
        return count / of, wilson(count / of * answers, answers), of

    right = [((one == "A") + (two == "B")) / 2 for one, two in both.values()]
    yield "pair_accuracy", *share(2 * sum(right), 2 * n, right), f"each order by itself; unreadable is wrong{again}"
    consistent = [found == ("A", "B") for found in both.values()]
    yield "consistent_accuracy", *share(sum(consistent), n, consistent), f"right in both orders{again}"
    flipped = [None not in found and found[0] == found[1] for found in both.values()]
    yield "flip_rate", *share(sum(flipped), n, flipped), f"the same side in both orders: counts as a tie{again}"
    answers = [letter for found in both.values() for letter in found]
    read = [letter for letter in answers if letter]
    if read:
        lefts = [sum(letter == "A" for letter in found) / 2 for found in both.values()]
        left = sum(letter == "A" for letter in read)
        yield "left_share", *share(left, len(read), lefts), f"0.5 without position bias{again}"
    valid = [sum(map(bool, found)) / 2 for found in both.values()]
    yield "valid_rate", *share(len(read), len(answers), valid), again.removeprefix("; ")
    wins = [
        pair if better else pair[::-1]
        for pair, found in answered.values()
        for better in [letter == good for letter, good in zip(found, "AB", strict=True) if letter]
    ]
    yield _strengths(bradley_terry(wins), judged, "the model's answers")


def _strengths(
    ours: Mapping[str, float], judged: Sequence[tuple[str, str]], what: str
) -> tuple[str, float | None, None, int, str]:
    """Return how what a model makes of each picture goes with the strengths by people's answers."""
    theirs = bradley_terry(judged)
    names = sorted(set(ours) & set(theirs))
    value = metrics.srcc([ours[name] for name in names], [theirs[name] for name in names])
    return "bradley_terry_srcc", value, None, len(names), f"{what} and Bradley-Terry strengths by people's"


def _pair_of(ends: tuple[str, ...]) -> tuple[str, ...]:
    """Return the two pictures of a judgement, whoever won: judgements of one pair stand and fall together."""
    return tuple(sorted(ends))


def count_apart(values: ArrayLike, ends: Sequence[tuple[str, ...]]) -> float:
    """Return how many judgements of pairs without a picture in common would tell as much as these, 1 at least.

    Whoever judges a pair again tells little that is new, and neither do pairs that share a picture which a model rates
    too high (metrics.find_error). Where few pictures are in most pairs that is not known well, for which Student's t
    stands. Where all judgements agree there is no variance to go by: then as many as weigh like these.

    Args:
        values: of the judgements, 0 to 1.
        ends: the two pictures of each, or what they stand and fall together with.

    """
    found, pictures, pairs = np.asarray(values, np.float64), np.array(ends), len(set(map(_pair_of, ends)))
    units, error = metrics.count_units(pictures), metrics.find_error(found, pictures)
    if not np.ptp(found):
        return min(pairs, units)
    wide = metrics.student(max(units - 1, 1)) / metrics.Z_95
    return max(1.0, min(pairs, float(found.var()) / (wide * error) ** 2)) if error else pairs


def _say_again(ends: Sequence[tuple[str, ...]]) -> str:
    pairs = len(set(map(_pair_of, ends)))
    return f"; {len(ends)} judgements of {pairs} pairs" if pairs < len(ends) else ""


def _scored_records(lines: Sequence[Line]) -> Found:
    judged, known = _judged(lines), points(lines)
    n = len(known)
    if not n:
        return
    values = np.array(list(known.values()))
    left_out = f"; {len(judged) - n} pairs without a score left out" if n < len(judged) else ""
    units = units_of(lines)
    ends = [(units[winner], units[loser]) for winner, loser, _ in known]
    apart = count_apart(values, ends)
    interval = wilson(values.mean() * apart, apart)
    yield "pair_accuracy", float(values.mean()), interval, n, f"a tie counts a half{left_out}{_say_again(ends)}"
    scores = {line.item: line.overall for line in lines if line.overall is not None}
    yield _strengths(scores, judged, "its scores")
    yield "valid_rate", len(scores) / len(lines), wilson(len(scores), len(lines)), len(lines), "pictures with a score"
