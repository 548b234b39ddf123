"""Words of a model made safe: they may come from text inside a picture, so they are data and never anything else."""

import re
import unicodedata

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\(([^)\s]*)\)")
_SCHEME = re.compile(r"\b(https?|ftp|file|javascript|data|mailto)(?=:)", re.IGNORECASE)
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


def clean(text: str) -> str:
    """Return text without what a terminal, a page or a mail program would act on.

    Escape sequences, control and format characters go, but for line feeds; tags cannot open; links lose their target's
    scheme and their form. Blank ends go as well.
    """
    text = _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " "))
    text = text.replace("\u2028", "\n").replace("\u2029", "\n")
    kept = (letter for letter in text if letter == "\n" or unicodedata.category(letter)[0] != "C")
    text = _LINK.sub(r"\1 (\2)", "".join(kept)).replace("](", "] (")
    text = _SCHEME.sub(lambda match: f"{match[1]}\u2236", text).replace("\u2236:", "\u2236")
    return _TAG.sub("\u2039", text).strip()
