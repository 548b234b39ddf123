"""Whether a model has seen what it is tested on, as far as its card, its authors and its list of pictures say."""

import re
from collections.abc import Sequence

from aescli.benchmarking.lines import Line

TRAINED_ON = "leak: trained on"

# Sets that are made of others' pictures, or share a photo site with them.
_NO_SETS = frozenset({"", "scores", "pairs", "robust", "test", "train", "val", "qa", "labels"})
_MADE_OF = {
    "humanbeauty": ("mebeauty", "ava", "scut", "tad66k", "baid", "agiqa"),
    "aesbench": ("aadb", "para", "tad66k", "spaq", "koniq", "baid", "agiqa"),
    "uniaa": ("ava", "para", "flickr", "tad66k"),
    "eva": ("ava",),
}


def find_leak(lines: Sequence[Line]) -> str:
    """Return what a number must carry with it where its model has seen what it is tested on, or nothing.

    That is `leak: trained on 3 of these 40 pictures` by the bytes of files, else by the names of sets `leak: trained on
    X` or `leak: has seen pictures of X`.
    """
    if seen := sum(line.seen for line in lines):
        return f"{TRAINED_ON} {seen} of these {len(lines)} pictures"
    return next((found for line in lines if (found := _find_set(line))), "")


def _find_set(line: Line) -> str:
    tested = {word for name in (line.suite, line.split, *line.sources) if (word := _first_word(name)) not in _NO_SETS}
    for name in line.trained_on:
        if _first_word(name) in tested:
            return f"{TRAINED_ON} {_short(name)}"
    related = tested.union(*(_MADE_OF.get(name, ()) for name in tested))
    for name in (*line.leaks, *line.trained_on):
        if _first_word(name) in related:
            return f"leak: has seen pictures of {_short(name)}"
    return ""


def _first_word(name: str) -> str:
    """Return what a set is called without its size, year or split: `HumanBeauty-58K` is humanbeauty."""
    return next(iter(re.findall(r"[^\W_]+", name.lower())), "")


def _short(name: str) -> str:
    return re.split(r"[:(]", name)[0].strip()
