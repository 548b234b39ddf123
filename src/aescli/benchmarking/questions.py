"""Multiple choice in other layouts: UNIAA-Bench and UniPercept-Bench, whose right answers are public."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aescli.benchmarking import prompts
from aescli.benchmarking.items import Item
from aescli.benchmarking.lines import why
from aescli.benchmarking.parsing import read_options
from aescli.errors import AesError, UsageError
from aescli.names import escape

_LETTERS = "ABCDEFGHIJ"
_UNIPERCEPT_FILES = "UniPercept-Bench-*.json"
_UNIPERCEPT_HINT = 'a list of {"image": ..., "question": "...\\nA. ...\\nB. ...", "answer": "A"}'
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

    Its authors' script (thunderbolt215/UniPercept 3b0133b, src/eval/eval_vqa.py) reads these three fields, of
    `benchmark/VQA/IAA/UniPercept-Bench-IAA.json` and of IQA and ISTA beside it, and runs in the folder above
    `benchmark`; a picture is looked for beside the file, in its `images`, and below every folder above it. The files
    themselves lie behind a download that nobody here has seen: what is laid out in another way is refused.

    Args:
        source: such a file, or a folder that holds one, at any depth.

    Raises:
        UsageError: the folder holds several.
        AesError: it is something else, or a question has no options.

    """
    file = _find_unipercept(source) if source.is_dir() else source
    return [_unipercept_item(at, entry, file) for at, entry in enumerate(_read_list(file))]


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
        candidates = entry["candidates"]
        question, answer, picture = str(entry["question"]), str(entry["correct_ans"]), str(entry["img_path"])
    except (KeyError, TypeError) as error:
        raise AesError(f"{where} has no {error}") from error
    if not isinstance(candidates, list):
        raise AesError(f"{where}: its 'candidates' are no list")
    options = dict(zip(_LETTERS, (str(text).strip() for text in candidates), strict=False))
    groups = {"ability": "perception"}
    groups |= {
        ours: str(entry[theirs]) for theirs, ours in (("dimension", "class"), ("type", "type")) if theirs in entry
    }
    return Item(
        suite="uniaa",
        split="QA",
        name=f"{at} {picture}",
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
        raise AesError(f"{where} has no {error}", hint=_UNIPERCEPT_HINT) from error
    options = read_options(question)
    if not options:
        raise AesError(f"{where} has no lettered options in its question", hint=_UNIPERCEPT_HINT)
    return Item(
        suite="unipercept",
        split=re.sub(r"^UniPercept-Bench-(VQA-)?", "VQA-", file.stem),
        name=f"{at} {picture}",
        path=_unipercept_picture(picture, file),
        prompt=prompts.fill(prompts.UNIPERCEPT, question),
        options=options,
        answer=choose_letter(answer, options, where),
        groups={name: str(entry[name]) for name in _UNIPERCEPT_GROUPS if isinstance(entry.get(name), str)},
    )


def _unipercept_picture(name: str, file: Path) -> Path:
    """Return where a picture is; where it is nowhere, the place beside its questions."""
    places = [
        file.parent / name,
        file.parent / "images" / name,
        *(above / name for above in file.resolve().parents[1:]),
    ]
    return next((place for place in places if place.is_file()), places[0])


def _find_unipercept(folder: Path) -> Path:
    found = sorted(folder.rglob(_UNIPERCEPT_FILES))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(escape(str(each.relative_to(folder))) for each in found)
        raise UsageError(f"{escape(str(folder))} holds several sets of questions", hint=f"--data one of {names}")
    raise AesError(f"{escape(str(folder))} holds no {_UNIPERCEPT_FILES}", hint="--data FILE.json")


def _read_list(file: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AesError(f"{escape(str(file))} cannot be read: {why(error)}") from error
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise AesError(f"{escape(str(file))} is no list of questions")
    return found
