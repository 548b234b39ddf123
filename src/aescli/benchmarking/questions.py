"""Multiple choice in other layouts: UNIAA-Bench and UniPercept-Bench, whose right answers are public."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aescli.benchmarking import prompts
from aescli.benchmarking.items import Item
from aescli.benchmarking.parsing import read_options
from aescli.errors import AesError
from aescli.names import escape

_LETTERS = "ABCDEFGHIJ"
_UNIPERCEPT_GROUPS = ("category", "type", "dimension", "task")


def read_uniaa(source: Path) -> list[Item]:
    """Return the items of `UNIAA_QA.json` (KwaiVGI/Uniaa): `img_path`, `question`, `candidates`, `correct_ans`.

    Raises:
        AesError: it is something else, or an answer is none of its candidates.

    """
    file = source / "UNIAA_QA.json" if source.is_dir() else source
    return [_uniaa_item(at, entry, file) for at, entry in enumerate(_read_list(file))]


def read_unipercept(source: Path) -> list[Item]:
    """Return the items of a VQA file of UniPercept-Bench: `image`, `question` with its options, `answer` a letter.

    Raises:
        AesError: it is something else, or a question has no options.

    """
    return [_unipercept_item(at, entry, source) for at, entry in enumerate(_read_list(source))]


def choose_letter(said: str | None, options: Mapping[str, str], where: str) -> str | None:
    """Return the letter of a right answer, which a key gives as a letter, as a text or as both.

    Raises:
        AesError: it is none of the options.

    """
    if said is None or not options:
        return None
    bare = said.strip()
    if bare.upper().strip("().: ") in options:
        return bare.upper().strip("().: ")
    texts = {text.casefold(): letter for letter, text in options.items()}
    if bare.casefold() in texts:
        return texts[bare.casefold()]
    if bare[:1].upper() in options and bare[1:2] in (")", ".", ":"):
        return bare[0].upper()
    raise AesError(f"{where}: the answer {escape(said)!r} is none of its options")


def _uniaa_item(at: int, entry: Mapping[str, Any], file: Path) -> Item:
    where = f"{escape(str(file))}, item {at}"
    try:
        options = dict(zip(_LETTERS, (str(text).strip() for text in entry["candidates"]), strict=False))
        question, answer, picture = str(entry["question"]), str(entry["correct_ans"]), str(entry["img_path"])
    except (KeyError, TypeError) as error:
        raise AesError(f"{where} has no {error}") from error
    groups = {"ability": "perception"}
    groups |= {
        ours: str(entry[theirs]) for theirs, ours in (("dimension", "class"), ("type", "type")) if theirs in entry
    }
    return Item(
        suite="uniaa",
        split="QA",
        name=str(at),
        path=file.parent / picture,
        prompt=prompts.fill(prompts.UNIAA, question.strip(), lettered=options),
        options=options,
        answer=choose_letter(answer, options, where),
        groups=groups | ({"source": str(entry["source"])} if entry.get("source") else {}),
        sources=(str(entry["dataset"]),) if entry.get("dataset") else (),
    )


def _unipercept_item(at: int, entry: Mapping[str, Any], file: Path) -> Item:
    where = f"{escape(str(file))}, item {at}"
    try:
        question, answer, picture = str(entry["question"]), str(entry["answer"]), str(entry["image"])
    except (KeyError, TypeError) as error:
        raise AesError(f"{where} has no {error}") from error
    options = read_options(question)
    if not options:
        raise AesError(f"{where} has no lettered options")
    return Item(
        suite="unipercept",
        split=file.stem,
        name=str(at),
        path=file.parent / picture,
        prompt=prompts.fill(prompts.UNIPERCEPT, question),
        options=options,
        answer=choose_letter(answer, options, where),
        groups={name: str(entry[name]) for name in _UNIPERCEPT_GROUPS if isinstance(entry.get(name), str)},
    )


def _read_list(file: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AesError(f"{escape(str(file))} cannot be read: {error}") from error
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise AesError(f"{escape(str(file))} is no list of questions")
    return found
