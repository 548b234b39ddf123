"""AVA.txt, as Murray, Marchesotti and Perronnin (CVPR 2012) published it: votes 1 to 10 for 255,530 photographs.

A line is `index id c1 ... c10 tag1 tag2 challenge`, or ends with the counts; the picture is `images/ID.jpg` beside the
file.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from aescli.errors import UsageError
from aescli.labels.rows import TableRow, read_text
from aescli.labels.values import Problem
from aescli.names import escape

_LEVELS = 10
_EXTRA = ("tag_1", "tag_2", "challenge")
_LENGTHS = (2 + _LEVELS, 2 + _LEVELS + len(_EXTRA))  # words of a line


def read_ava(file: Path) -> Iterator[TableRow | Problem]:
    """Yield the rows of an AVA.txt, as those of a table: `image`, `count1` to `count10`, tags and challenge.

    Raises:
        UsageError: its first line is no line of AVA.
        AesError: it cannot be read.

    """
    lines = read_text(file).split("\n")
    first = next((line for line in lines if line.strip()), "")
    if first and len(first.split()) < 2 + _LEVELS:
        raise UsageError(
            f"{escape(str(file))} is no AVA.txt: its first line has {len(first.split())} words, not 12 or more",
            hint="a table of labels ends in .csv, .tsv, .parquet or .jsonl",
        )
    return _read(lines, file.name)


def _read(lines: list[str], name: str) -> Iterator[TableRow | Problem]:
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        source = f"{name}:{number}"
        if len(words) not in _LENGTHS:  # with a count too few, a tag would be taken for the tenth
            yield Problem(source, f"no line of AVA: it has {len(words)} words, not {' or '.join(map(str, _LENGTHS))}")
            continue
        if not all(re.fullmatch(r"[0-9]{1,12}", word) for word in words[: 2 + _LEVELS]):
            yield Problem(source, "no line of AVA: it begins with an index, an id and ten counts")
            continue
        votes = {f"count{level}": words[1 + level] for level in range(1, _LEVELS + 1)}
        extra = dict(zip(_EXTRA, words[2 + _LEVELS :], strict=False))
        yield TableRow({"image": f"{words[1]}.jpg", **votes, **extra}, source)
