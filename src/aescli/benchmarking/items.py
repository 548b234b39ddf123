"""What is asked: one item for each question, and where answers go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question about one picture.

    Args:
        suite: which benchmark.
        split: which of its parts.
        name: names the item within suite and split.
        path: of the picture.
        prompt: what is asked, word for word.
        options: letter to text; empty for a question in free text.
        answer: the right option's letter, where it is known.
        groups: ability, question type and the like, by name.
        sources: sets that the picture comes from.
        labels: what people said, by name.
        words: of which it is read how likely the answer begins with each, by option; empty for none.
        template: names the words in which the question was put; part of what an answer depends on.
        label_range: lowest and highest label possible, of `overall`.
        range_guessed: nobody states it: it ends where the set's own labels do.

    """

    suite: str
    split: str
    name: str
    path: Path
    prompt: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    answer: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    labels: Mapping[str, float] = field(default_factory=dict)
    label_range: tuple[float, float] | None = None
    range_guessed: bool = False
    words: Mapping[str, str] = field(default_factory=dict)
    template: str = ""
