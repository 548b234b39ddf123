"""Whether a model was itself trained on the data that its head is judged by, as far as its card says.

Names are compared word by word: cards describe their data in sentences, whose words are no names.
"""

import re

from aescli.cards import ModelCard


def is_trained_on(card: ModelCard, data: str) -> bool:
    """Tell whether a model's card names this data among what it has seen.

    An entry of `trained_on` begins with a name, as `OASIS: 669 photographs` and `ImageNet-1k (backbone)` do; a size or
    year at the end of a name may be left out.
    """
    names = _names(data)
    trained_on = {name for entry in card.trained_on for name in _names(re.split(r"[:(]", entry)[0])}
    leaks = [f" {' '.join(_words(entry))} " for entry in card.leaks]
    return not names.isdisjoint(trained_on) or any(f" {name} " in leak for name in names for leak in leaks)


def _names(data: str) -> set[str]:
    """Return what data are called: all words, and those before a size or a year at the end."""
    words = _words(data)
    found = {" ".join(words)} if words else set()
    while len(words) > 1 and re.search(r"\d", words[-1]):
        words.pop()
        found.add(" ".join(words))
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())
