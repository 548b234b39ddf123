r"""Names are data: how a path is written where a person, a terminal or a spreadsheet will read it.

A name that holds control, format, surrogate, bidi or line-separating characters is escaped as a whole: `\xNN`, `\uNNNN`
or `\UNNNNNNNN` for those characters and `\\` for its backslashes. Every other name stands as it is.
"""

import base64
import os
import unicodedata

# Cc control, Cf format (all bidi controls among them), Cs surrogate (a byte that is not UTF-8),
# Zl and Zp: U+2028 and U+2029, which many readers take for the end of a line.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def is_unsafe(text: str) -> bool:
    """Tell whether `text` must be escaped before it is shown."""
    # Printable ASCII is nearly every name, and the check below costs a look-up for each character.
    if text.isascii() and text.isprintable():
        return False
    return any(unicodedata.category(character) in _UNSAFE for character in text)


def escape(text: str) -> str:
    """Return `text` as one printable line that no terminal acts upon."""
    if not is_unsafe(text):
        return text
    return "".join(_escape_character(character) for character in text)


def escape_cell(text: str) -> str:
    """Return a path as a CSV cell that no spreadsheet takes for a formula: `./` goes before `= + - @`."""
    shown = escape(text)
    return f"./{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def may_head_column(text: str) -> bool:
    """Tell whether a name can stand over a column as it is: readable, and no formula."""
    return bool(text.strip()) and not is_unsafe(text) and not text.startswith(("=", "+", "-", "@"))


def escape_sentence(text: str) -> str:
    """Return a message as a CSV cell; it is no path, so an apostrophe keeps a formula from starting."""
    shown = escape(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def exact_bytes(path: str) -> str | None:
    """Return the path's bytes in base64 when it is not valid UTF-8, else None."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return base64.b64encode(os.fsencode(path)).decode()
    return None


def _escape_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if unicodedata.category(character) not in _UNSAFE:
        return character
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
