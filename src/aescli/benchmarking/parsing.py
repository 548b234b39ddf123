"""From a reply to the option that it chose, by rules alone: nothing is drawn at random, and no model is asked.

In this order: an option's letter at the start; the only letter that stands as one; the only option whose whole text
occurs on word boundaries. Anything else is invalid, which counts as wrong.
"""

import re
from collections.abc import Mapping

PARSER = "letter-start, only-letter, only-text; 1"

_MARK = re.compile(r"(?:^|(?<=[\s(;,/]))\(?([A-Z])[.):](?=\s|$)")
_START = re.compile(r"[\s*_`\"'(\[]*(?:(?:the\s+)?(?:correct\s+|best\s+)?(?:answer|option|choice)\s*(?:is|:)?\s*:?)?"
                    r"[\s*_`\"'(\[]*([A-Za-z])(?P<end>[\s*_`\"']*(?:[.):\]]|$|\n))", re.IGNORECASE)  # fmt: skip
_LETTER = re.compile(r"(?<![\w'])([A-Z])(?![\w'])")
_ARTICLE = re.compile(r"\s+(?!or\b|and\b|is\b|because\b|but\b|nor\b|as\b)[a-z]")
_NEGATION = re.compile(r"(?:\bnot|\bno|\bnever|\bneither|\bnor|n't|\bisn.t)\s+(?:\w+\s+){0,2}$", re.IGNORECASE)


def read_options(text: str) -> dict[str, str]:
    """Return letter to text of options in one string, such as `A) High B) Medium` or lines of `A. High`.

    Letters must follow one another from A; an empty result means that there are no options.
    """
    found: dict[str, str] = {}
    begun, letter = 0, ""
    for match in _MARK.finditer(text):
        if match[1] != chr(ord("A") + len(found) + bool(letter)):
            continue
        if letter:
            found[letter] = _tidy(text[begun : match.start()])
        letter, begun = match[1], match.end()
    if letter:
        found[letter] = _tidy(text[begun:])
    return found if len(found) > 1 else {}


def parse(reply: str | None, options: Mapping[str, str]) -> str | None:
    """Return the letter of the option that a reply chose, or None."""
    text = (reply or "").strip()
    if not text:
        return None
    return _at_the_start(text, options) or _only_letter(text, options) or _only_text(text, options)


def _at_the_start(text: str, options: Mapping[str, str]) -> str | None:
    match = _START.match(text)
    if not match or match[1].upper() not in options:
        return None
    letter = match[1].upper()
    marked = {other for other in _MARK.findall(text) if other in options}
    # `A) High B) Medium C) Low` repeats the question; `A, B` and `A or B` never reach this rule.
    return letter if marked <= {letter} else None


def _only_letter(text: str, options: Mapping[str, str]) -> str | None:
    """Return the only letter that is not negated; before a word, A may be an article and I a pronoun."""
    found = [
        match
        for match in _LETTER.finditer(text)
        if match[1] in options and not (match[1] in "AI" and _ARTICLE.match(text, match.end()))
    ]
    letters = {match[1] for match in found}
    negated = all(_NEGATION.search(text[: match.start()]) for match in found)
    return letters.pop() if len(letters) == 1 and not negated else None


def _only_text(text: str, options: Mapping[str, str]) -> str | None:
    """Return the only option whose text occurs; one that occurs only within a longer one's text does not count."""
    places = {letter: _places(text, option) for letter, option in options.items() if option}
    chosen = [
        letter
        for letter, own in places.items()
        if any(not any(_within(place, other) for name in places if name != letter for other in places[name])
               for place in own)
    ]  # fmt: skip
    marked = {letter for letter in _MARK.findall(text) if letter in options}
    if len(chosen) != 1 or marked - set(chosen):
        return None
    negated = all(_NEGATION.search(text[:start]) for start, _ in places[chosen[0]])
    return None if negated else chosen[0]


def _places(text: str, option: str) -> list[tuple[int, int]]:
    pattern = rf"(?<!\w){re.escape(option.rstrip('.'))}(?!\w)"
    return [match.span() for match in re.finditer(pattern, text, re.IGNORECASE)]


def _within(place: tuple[int, int], other: tuple[int, int]) -> bool:
    return other[0] <= place[0] and place[1] <= other[1] and other != place


def _tidy(text: str) -> str:
    return text.strip().rstrip(",;").strip()
